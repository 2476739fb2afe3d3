package builtin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

const (
	lowestRate, highestRate = 1000, 1_000_000
	mostFiltered            = 64 // channels
	// mostResampled bounds what is made at once of a frame, in numbers.
	mostResampled = 1 << 18
)

// resample changes the rate, and if asked for the sample format, of sound.
// Where the stream breaks, what came before is brought to its end, and what
// comes after begins as new at its own time: nothing is smeared over a gap.
type resample struct {
	rate    uint32
	format  string
	quality quality
	in      streamed
	out     *audioOut
	filter  *resampler // nil: the rate is right already
	from    channel.AudioFormat
	x, y    []float64
}

func newResample(s setup) (node.Builtin, error) {
	rate, format := uint32(s.params.integer("rate")), s.params.text("format")
	q := qualities()[slices.Index(qualityNames(), s.params.text("quality"))]
	return func(ctx context.Context, ports *node.Ports) error {
		r := resample{rate: rate, format: format, quality: q, out: newAudioOut(ports, channel.DefaultOutput)}
		err := each(ctx, ports, func(f node.Frame) error { return r.take(ctx, f) })
		if err != nil && !errors.Is(err, node.ErrIncomplete) {
			return err
		}
		return errors.Join(err, r.finish(ctx))
	}, nil
}

func (r *resample) take(ctx context.Context, f node.Frame) error {
	anew, err := r.in.take(f)
	if err != nil {
		return err
	}
	if anew {
		if err := r.finish(ctx); err != nil {
			return err
		}
		if err := r.begin(f); err != nil {
			return err
		}
	}
	r.out.inherit(f.Header)
	if r.filter == nil && r.in.format == r.out.format {
		return r.out.bytes(ctx, f.Payload)
	}
	r.x = decodeSamples(r.x[:0], f.Payload, r.in.format.Format)
	if r.filter == nil {
		return r.out.floats(ctx, r.x)
	}
	r.filter.write(r.x)
	return r.send(ctx)
}

// begin makes ready for a stream that begins with f.
func (r *resample) begin(f node.Frame) error {
	have := r.in.format
	switch {
	case have.Rate == r.rate:
		r.filter = nil
	case have.Rate < lowestRate || have.Rate > highestRate:
		return fmt.Errorf("frame %d from %s is at %d Hz: want %d to %d", f.Header.Sequence, f.Source, have.Rate, lowestRate, highestRate)
	case have.Channels > mostFiltered:
		return fmt.Errorf("frame %d from %s has %d channels: want at most %d", f.Header.Sequence, f.Source, have.Channels, mostFiltered)
	case r.filter == nil || r.from.Rate != have.Rate || r.from.Channels != have.Channels:
		r.filter, r.from = newResampler(have.Rate, r.rate, int(have.Channels), r.quality), have
	default:
		r.filter.reset()
	}
	r.out.anew(channel.AudioFormat{Rate: r.rate, Channels: have.Channels, Format: formatNamed(r.format, have.Format)}, r.in.start())
	return nil
}

// send sends what is ready.
func (r *resample) send(ctx context.Context) error {
	channels := int64(r.out.format.Channels)
	for n := r.filter.ready(); n > 0; n = r.filter.ready() {
		n = min(n, max(1, mostResampled/channels))
		r.y = slices.Grow(r.y[:0], int(n*channels))[:n*channels]
		r.filter.read(r.y)
		if err := r.out.floats(ctx, r.y); err != nil {
			return err
		}
	}
	return nil
}

// finish brings the stream to its end.
func (r *resample) finish(ctx context.Context) error {
	if r.filter == nil {
		return nil
	}
	r.filter.end()
	return r.send(ctx)
}
