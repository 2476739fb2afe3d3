package builtin

import (
	"context"
	"math"
	"slices"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// testPatternSource sends pictures of colour bars that move to the left by two
// pixels a frame. The frame's number stands in the top rows, to be read by a
// machine: 32 cells of width/32 pixels, the highest bit first, white for 1 and
// black for 0. It survives a change of format, of size and of quality. In the
// middle it stands in decimal digits after an F, black on white, to be read by
// people and by text recognition; a picture of less than 76 by 23 pixels has no
// room for them.
type testPatternSource struct {
	width, height int
	format        videoFormat
	fps           float64
	frames        int64 // 0: endless
	paced         bool
}

const (
	counterBits = 32
	pixelsMoved = 2 // a frame; even, so that halved chroma moves too
)

func newTestPatternSource(s setup) (node.Builtin, error) {
	return patternSource(s).run, nil
}

func patternSource(s setup) testPatternSource {
	all := videoFormats()
	name := s.params.text("format")
	return testPatternSource{
		width:  int(s.params.integer("width")),
		height: int(s.params.integer("height")),
		format: all[slices.IndexFunc(all, func(f videoFormat) bool { return f.name == name })],
		fps:    s.params.number("fps"),
		frames: s.params.integer("frames"),
		paced:  s.params.boolean("paced"),
	}
}

func patternMaxFrame(s setup) (int64, error) {
	return int64(newPicture(patternSource(s)).size), nil
}

func (t testPatternSource) run(ctx context.Context, ports *node.Ports) error {
	p := newPicture(t)
	pace := newPace(t.paced)
	for n := int64(0); t.frames == 0 || n < t.frames; n++ {
		pts := int64(math.Round(float64(n) * 1e9 / t.fps))
		if err := pace.wait(ctx, pts); err != nil {
			return err
		}
		l, err := ports.Loan(channel.DefaultOutput, p.size)
		if err != nil {
			return err
		}
		l.Header.Kind, l.Header.PTS = channel.Video, pts
		*l.Header.Video() = channel.VideoFormat{
			Width: uint32(t.width), Height: uint32(t.height),
			Stride: uint32(p.planes[0].row), FourCC: t.format.code,
		}
		p.draw(l.Payload, n)
		if err := l.Send(ctx); err != nil {
			return err
		}
	}
	return nil
}

// videoFormat is how the pixels of a picture are stored: one or more planes.
type videoFormat struct {
	name   string
	code   uint32
	planes []planeFormat
}

// planeFormat is one plane. Its samples are components of a colour, one unit
// after the other; halved planes have one unit for four pixels.
type planeFormat struct {
	unit   []component
	halved bool
}

// component is what one byte of a unit says of the colour.
type component int

const (
	red component = iota
	green
	blue
	alpha
	luma
	blueness
	redness
)

func videoFormats() []videoFormat {
	full := func(unit ...component) planeFormat { return planeFormat{unit: unit} }
	half := func(unit ...component) planeFormat { return planeFormat{unit: unit, halved: true} }
	return []videoFormat{
		{"rgb24", channel.RGB24, []planeFormat{full(red, green, blue)}},
		{"bgr24", channel.BGR24, []planeFormat{full(blue, green, red)}},
		{"rgba", channel.RGBA, []planeFormat{full(red, green, blue, alpha)}},
		{"gray8", channel.Gray8, []planeFormat{full(luma)}},
		{"i420", channel.I420, []planeFormat{full(luma), half(blueness), half(redness)}},
		{"nv12", channel.NV12, []planeFormat{full(luma), half(blueness, redness)}},
	}
}

func videoFormatNames() []string {
	var names []string
	for _, f := range videoFormats() {
		names = append(names, f.name)
	}
	return names
}

// colour is a colour with each component of 0 to 255; video has luma of 16 to
// 235 and chroma around 128 (BT.601).
type colour struct{ r, g, b float64 }

func (c colour) component(k component) byte {
	var v float64
	switch k {
	case red:
		v = c.r
	case green:
		v = c.g
	case blue:
		v = c.b
	case alpha:
		v = 255
	case luma:
		v = 16 + (65.481*c.r+128.553*c.g+24.966*c.b)/255
	case blueness:
		v = 128 + (-37.797*c.r-74.203*c.g+112*c.b)/255
	case redness:
		v = 128 + (112*c.r-93.786*c.g-18.214*c.b)/255
	}
	return byte(math.Round(v))
}

// bars are the colours from left to right.
func bars() [8]colour {
	return [8]colour{
		{255, 255, 255}, {255, 255, 0}, {0, 255, 255}, {0, 255, 0},
		{255, 0, 255}, {255, 0, 0}, {0, 0, 255}, {0, 0, 0},
	}
}
