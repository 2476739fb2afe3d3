package builtin

import (
	"bytes"
	"strconv"
)

const (
	glyphColumns = 8
	glyphRows    = 11
	glyphGap     = 2 // points between two
	glyphF       = 10
)

type glyph [glyphRows]byte

// glyphs are the digits and the letter F in points, a byte a row, the leftmost
// point its highest bit.
func glyphs() [glyphF + 1]glyph {
	return [...]glyph{
		{0x3c, 0x66, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3, 0x66, 0x3c},
		{0x18, 0x38, 0x78, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x7e},
		{0x3c, 0x66, 0xc3, 0x03, 0x03, 0x06, 0x0c, 0x18, 0x30, 0x60, 0xff},
		{0x3c, 0x66, 0xc3, 0x03, 0x06, 0x1c, 0x06, 0x03, 0xc3, 0x66, 0x3c},
		{0x06, 0x0e, 0x0e, 0x1e, 0x36, 0x36, 0x66, 0xc6, 0xff, 0x06, 0x06},
		{0x7e, 0x60, 0x60, 0xc0, 0xfc, 0xc6, 0x03, 0x03, 0xc3, 0x66, 0x3c},
		{0x3c, 0x66, 0xc3, 0xc0, 0xdc, 0xe6, 0xc3, 0xc3, 0xc3, 0x66, 0x3c},
		{0xff, 0x03, 0x06, 0x06, 0x0c, 0x0c, 0x18, 0x18, 0x18, 0x30, 0x30},
		{0x3c, 0x66, 0xc3, 0xc3, 0x66, 0x3c, 0x66, 0xc3, 0xc3, 0x66, 0x3c},
		{0x3c, 0x66, 0xc3, 0xc3, 0xc3, 0x67, 0x3b, 0x03, 0xc3, 0x66, 0x3c},
		{0xff, 0xff, 0xc0, 0xc0, 0xc0, 0xfe, 0xfe, 0xc0, 0xc0, 0xc0, 0xc0},
	}
}

const (
	boxMargin = 4   // points around the number
	boxGlyphs = 7   // that a box has room for, so that it keeps its size for hours
	boxShare  = 120 // rows of a picture for a row of points
	boxRows   = glyphRows + 2*boxMargin
)

// box is where the frame's number stands in a picture: F and the digits, black
// on white, in the middle. Without a letter text recognition takes 68 for 89
// that is upside down.
type box struct {
	text          []int // glyphs
	point         int   // pixels
	x, y          int   // pixels, even, so that halved planes have the same edges
	width, height int
	inset         int // points from the left edge to the first glyph
}

// boxOf is the box of a number; false if the picture is too small for one.
func (p *picture) boxOf(n uint32) (box, bool) {
	b := box{text: []int{glyphF}, point: max(1, p.height/boxShare)}
	for _, digit := range strconv.FormatUint(uint64(n), 10) {
		b.text = append(b.text, int(digit-'0'))
	}
	columns := wide(max(boxGlyphs, len(b.text))) + 2*boxMargin
	b.point = min(b.point, p.width/columns)
	b.width, b.height = columns*b.point&^1, boxRows*b.point&^1
	b.x, b.y = (p.width-b.width)/2&^1, (p.height-b.height)/2&^1
	b.inset = (columns - wide(len(b.text))) / 2
	return b, b.point > 0 && b.y > p.strip
}

// wide is how many points n glyphs take.
func wide(n int) int { return n*(glyphColumns+glyphGap) - glyphGap }

// number draws the frame's number into a plane. In a halved plane black and
// white are the same grey.
func (p *picture) number(pl *plane, to []byte, n uint32) {
	b, ok := p.boxOf(n)
	if !ok {
		return
	}
	unit, scale := len(pl.unit), 1
	if pl.halved {
		scale = 2
	}
	blank := pl.blank[:b.width/scale*unit]
	at := pl.offset + b.y/scale*pl.row + b.x/scale*unit
	line, drawn := blank, 0
	for y := range b.height / scale {
		if row := y / b.point; row != drawn && !pl.halved {
			line, drawn = p.points(pl, b, blank, row-boxMargin), row
		}
		copy(to[at+y*pl.row:], line)
	}
}

// points is one row of points of the number, as a row of pixels.
func (p *picture) points(pl *plane, b box, blank []byte, row int) []byte {
	if row < 0 || row >= glyphRows {
		return blank
	}
	line := pl.cells[:copy(pl.cells, blank)]
	black := bytes.Repeat(pl.off, b.point)
	for i, g := range b.text {
		bits := p.glyphs[g][row]
		for x := range glyphColumns {
			if bits>>(glyphColumns-1-x)&1 == 1 {
				point := b.inset + i*(glyphColumns+glyphGap) + x
				copy(line[point*len(black):], black)
			}
		}
	}
	return line
}
