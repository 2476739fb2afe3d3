package builtin

import "bytes"

// picture draws the frames of a test pattern, by copying rows: every row of
// bars is a window into the same endless row.
type picture struct {
	width, height int
	period        int // pixels after which the bars repeat, even
	strip         int // rows of the counter
	planes        []plane
	glyphs        [glyphF + 1]glyph
	size          int
}

// plane is one plane of a picture.
type plane struct {
	planeFormat
	offset int // in the picture
	row    int // bytes
	rows   int
	strip  int    // rows of the counter
	bars   []byte // one period and one row more
	on     []byte // a unit of white
	off    []byte // a unit of black
	cells  []byte // a row of the counter, drawn anew for each frame, then of the number
	blank  []byte // a row of white
}

func newPicture(t testPatternSource) *picture {
	p := &picture{
		width: t.width, height: t.height,
		period: t.width + t.width%2,
		strip:  max(1, t.height/16),
		glyphs: glyphs(),
	}
	for _, f := range t.format.planes {
		p.add(f)
	}
	return p
}

func (p *picture) add(f planeFormat) {
	scale := 1
	if f.halved {
		scale = 2
	}
	units := (p.width + scale - 1) / scale
	pl := plane{
		planeFormat: f, offset: p.size,
		row: units * len(f.unit), rows: (p.height + scale - 1) / scale,
		strip: (p.strip + scale - 1) / scale,
		on:    f.paint(colour{255, 255, 255}), off: f.paint(colour{}),
	}
	all := bars()
	for x := range p.period/scale + units {
		bar := x * scale % p.period * len(all) / p.period
		pl.bars = append(pl.bars, f.paint(all[bar])...)
	}
	pl.cells = make([]byte, pl.row)
	pl.blank = bytes.Repeat(pl.on, units)
	p.size += pl.row * pl.rows
	p.planes = append(p.planes, pl)
}

// paint is one unit of a colour.
func (f planeFormat) paint(c colour) []byte {
	unit := make([]byte, len(f.unit))
	for i, k := range f.unit {
		unit[i] = c.component(k)
	}
	return unit
}

// draw writes frame n.
func (p *picture) draw(to []byte, n int64) {
	for i := range p.planes {
		pl := &p.planes[i]
		moved := int(n * pixelsMoved % int64(p.period))
		if pl.halved {
			moved /= 2
		}
		window := pl.bars[moved*len(pl.unit):][:pl.row]
		p.count(pl, window, uint32(n))
		for y := range pl.rows {
			row := window
			if y < pl.strip {
				row = pl.cells
			}
			copy(to[pl.offset+y*pl.row:], row)
		}
		p.number(pl, to, uint32(n))
	}
}

// count draws the row of the counter: cells in front of the bars. In a halved
// plane black and white are the same grey.
func (p *picture) count(pl *plane, window []byte, n uint32) {
	copy(pl.cells, window)
	cell := p.width / counterBits
	for x := range cell * counterBits {
		at := x
		if pl.halved {
			at /= 2
		}
		unit := pl.off
		if n>>(counterBits-1-x/cell)&1 == 1 {
			unit = pl.on
		}
		copy(pl.cells[at*len(pl.unit):], unit)
	}
}
