package builtin

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// chunker sends sound again in frames of one length. Where the stream ends or
// breaks, the frame that is not full is sent as it is, or filled up with
// silence; the next one begins with the first sample after the break.
type chunker struct {
	frameMS float64
	samples int64 // of a channel; 0: as frameMS says
	pad     bool
	in      streamed
	out     *audioOut
	held    []byte // of the frame that is not full
	size    int    // of a full frame
}

func newChunk(s setup) (node.Builtin, error) {
	frameMS, samples, pad := s.params.number("frame_ms"), s.params.integer("samples"), s.params.boolean("pad")
	return func(ctx context.Context, ports *node.Ports) error {
		c := chunker{frameMS: frameMS, samples: samples, pad: pad, out: newAudioOut(ports, channel.DefaultOutput)}
		err := each(ctx, ports, func(f node.Frame) error { return c.take(ctx, f) })
		if err != nil && !errors.Is(err, node.ErrIncomplete) {
			return err
		}
		return errors.Join(err, c.rest(ctx))
	}, nil
}

func (c *chunker) take(ctx context.Context, f node.Frame) error {
	anew, err := c.in.take(f)
	if err != nil {
		return err
	}
	if anew {
		if err := c.rest(ctx); err != nil {
			return err
		}
		if err := c.begin(); err != nil {
			return err
		}
	}
	c.out.inherit(f.Header)
	for b := f.Payload; len(b) > 0; {
		n := min(len(b), c.size-len(c.held))
		c.held = append(c.held, b[:n]...)
		b = b[n:]
		if len(c.held) == c.size {
			if err := c.send(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *chunker) begin() error {
	format := c.in.format
	samples := c.samples
	if samples == 0 {
		samples = max(1, int64(math.Round(float64(format.Rate)*c.frameMS/1000)))
	}
	block := int64(blockBytes(format))
	if samples > c.out.limit/block {
		return fmt.Errorf("a frame of %d samples of %d channels needs %d bytes, max_frame of the output is %d: raise max_frame: %w",
			samples, format.Channels, samples*block, c.out.limit, channel.ErrTooLarge)
	}
	c.size = int(samples * block)
	c.out.anew(format, c.in.start())
	return nil
}

func (c *chunker) send(ctx context.Context) error {
	err := c.out.bytes(ctx, c.held)
	c.held = c.held[:0]
	return err
}

// rest sends the frame that is not full.
func (c *chunker) rest(ctx context.Context) error {
	if len(c.held) == 0 {
		return nil
	}
	if have := len(c.held); c.pad {
		c.held = append(c.held, make([]byte, c.size-have)...)
		silence(c.held[have:], c.out.format.Format)
	}
	return c.send(ctx)
}
