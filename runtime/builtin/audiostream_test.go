package builtin

import (
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// Which frames go on where the one before ended.
func TestStreamed(t *testing.T) {
	const ms = int64(1e6)
	type frame struct {
		sequence uint64
		pts      int64 // of 20 ms
		flags    uint8
		rate     uint32
	}
	regular := []frame{{0, 0, 0, 8000}, {1, 20 * ms, 0, 8000}}
	for name, c := range map[string]struct {
		next  frame
		anew  bool
		start int64
	}{
		"next":               {frame{2, 40 * ms, 0, 8000}, false, 40 * ms},
		"a little late":      {frame{2, 50 * ms, 0, 8000}, false, 40 * ms},
		"a little early":     {frame{2, 31 * ms, 0, 8000}, false, 40 * ms},
		"a frame is missing": {frame{3, 60 * ms, 0, 8000}, true, 60 * ms},
		"only the time says": {frame{2, 60 * ms, 0, 8000}, true, 60 * ms},
		"back in time":       {frame{2, 0, 0, 8000}, true, 0},
		"no time of its own": {frame{2, 20 * ms, 0, 8000}, false, 40 * ms},
		"flag":               {frame{2, 40 * ms, channel.Discontinuity, 8000}, true, 40 * ms},
		"other rate":         {frame{2, 40 * ms, 0, 16000}, true, 40 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			var s streamed
			for i, f := range append(regular[:2:2], c.next) {
				h := channel.Header{Kind: channel.Audio, Sequence: f.sequence, PTS: f.pts, Flags: f.flags}
				*h.Audio() = channel.AudioFormat{Rate: f.rate, Channels: 1, Format: channel.U8}
				anew, err := s.take(node.Frame{Header: &h, Payload: make([]byte, f.rate/50)})
				if err != nil {
					t.Fatal(err)
				}
				if want := i == 0 || i == 2 && c.anew; anew != want {
					t.Errorf("frame %d: anew %v, want %v", i, anew, want)
				}
			}
			if got := s.start(); got != c.start {
				t.Errorf("begins at %d, want %d", got, c.start)
			}
		})
	}
}
