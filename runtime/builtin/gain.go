package builtin

import (
	"context"
	"fmt"
	"math"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// newGain makes sound louder or softer, frame by frame. It has no memory: a
// frame keeps its time, its flags and its format.
func newGain(s setup) (node.Builtin, error) {
	factor := decibel(s.params.number("gain_db"))
	return func(ctx context.Context, ports *node.Ports) error {
		out := newAudioOut(ports, channel.DefaultOutput)
		var x []float64
		return each(ctx, ports, func(f node.Frame) error {
			if err := wantAudio(f); err != nil {
				return err
			}
			out.at(*f.Header.Audio(), f.Header.PTS)
			out.inherit(f.Header)
			if factor == 1 {
				return out.bytes(ctx, f.Payload)
			}
			x = decodeSamples(x[:0], f.Payload, out.format.Format)
			for i := range x {
				x[i] *= factor
			}
			return out.floats(ctx, x)
		})
	}, nil
}

// decibel is the factor of a gain.
func decibel(db float64) float64 { return math.Pow(10, db/20) }

func wantAudio(f node.Frame) error {
	if f.Header.Kind != channel.Audio {
		return fmt.Errorf("frame %d from %s is %s, want audio", f.Header.Sequence, f.Source, f.Header.Kind)
	}
	return nil
}
