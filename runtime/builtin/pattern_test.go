package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// counter reads the frame's number from the first plane; unit is its bytes a
// pixel, at the byte that is looked at.
func counter(f taken, unit, at int) uint32 {
	cell := int(f.header.Video().Width) / 32
	var n uint32
	for i := range 32 {
		n <<= 1
		if f.payload[(i*cell+cell/2)*unit+at] >= 128 {
			n |= 1
		}
	}
	return n
}

func TestPatternFormats(t *testing.T) {
	for _, c := range []struct {
		format   string
		unit, at int
		code     uint32
	}{
		{"rgb24", 3, 1, channel.RGB24}, {"bgr24", 3, 0, channel.BGR24}, {"rgba", 4, 2, channel.RGBA},
		{"gray8", 1, 0, channel.Gray8}, {"i420", 1, 0, channel.I420}, {"nv12", 1, 0, channel.NV12},
	} {
		for _, size := range [][2]int{{320, 240}, {33, 17}, {32, 1}, {1281, 721}} {
			t.Run(fmt.Sprintf("%s %dx%d", c.format, size[0], size[1]), func(t *testing.T) {
				params := map[string]any{"width": size[0], "height": size[1], "format": c.format, "frames": 5, "paced": false, "fps": 29.97}
				need, err := builtin.MaxFrame("TestPatternSource", params, t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				got, err := runSource(t, "TestPatternSource", params, t.TempDir(), int(need))
				if err != nil || len(got) != 5 {
					t.Fatalf("%d frames, %v", len(got), err)
				}
				for i, f := range got {
					if n := counter(f, c.unit, c.at); n != uint32(i) {
						t.Errorf("frame %d says %d", i, n)
					}
					if v := f.header.Video(); v.FourCC != c.code || int64(len(f.payload)) != need {
						t.Errorf("frame %d: %+v, %d bytes", i, *v, len(f.payload))
					}
				}
				if pts := got[3].header.PTS; pts != 100_100_100 {
					t.Errorf("frame 3 at %d ns", pts)
				}
			})
		}
	}
}

// The bars move by two pixels to the left, and chroma goes with luma.
func TestPatternMoves(t *testing.T) {
	params := map[string]any{"width": 64, "height": 32, "format": "i420", "frames": 40, "paced": false}
	got, err := runSource(t, "TestPatternSource", params, t.TempDir(), 64*32*3/2)
	if err != nil {
		t.Fatal(err)
	}
	const lumaRow, chromaRow = 64 * 31, 64*32 + 32*15
	for i := range got[1:] {
		a, b := got[i].payload, got[i+1].payload
		for x := range 62 {
			if b[lumaRow+x] != a[lumaRow+x+2] {
				t.Fatalf("frame %d: luma of pixel %d did not move", i, x)
			}
		}
		for x := range 31 {
			if b[chromaRow+x] != a[chromaRow+x+1] {
				t.Fatalf("frame %d: chroma of unit %d did not move", i, x)
			}
		}
	}
	white, yellow := got[0].payload[lumaRow], got[0].payload[lumaRow+8]
	if white != 235 || yellow != 210 {
		t.Errorf("luma of white %d, of yellow %d", white, yellow)
	}
}

func TestPatternStops(t *testing.T) {
	w := wire(t, "TestPatternSource", map[string]any{"width": 32, "height": 1, "fps": 0.01}, t.TempDir(), nil, 96)
	ctx, cancel := context.WithCancel(t.Context())
	done := w.run(ctx)
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("an endless source does not stop")
	}
}
