package builtin

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// newPassthrough sends on what it gets: a place in the graph where frames may
// wait, be copied, or be dropped by a connection that says so.
func newPassthrough(setup) (node.Builtin, error) {
	return func(ctx context.Context, ports *node.Ports) error {
		return each(ctx, ports, func(f node.Frame) error { return forward(ctx, ports, f) })
	}, nil
}

// forward sends a frame on with its times and format.
func forward(ctx context.Context, ports *node.Ports, f node.Frame) error {
	if err := ports.Send(ctx, channel.DefaultOutput, *f.Header, f.Payload); err != nil {
		return fmt.Errorf("frame %d from %s: %w", f.Header.Sequence, f.Source, err)
	}
	return nil
}

// What a throttle does with a frame that comes too early, and how it knows.
const (
	throttleDrop  = "drop"
	throttleDelay = "delay"
	byPTS         = "pts"
	byArrival     = "arrival"
)

// origin is one connection that enters a node.
type origin struct{ port, source, sourcePort string }

func originOf(f node.Frame) origin { return origin{f.Port, f.Source, f.SourcePort} }

// newThrottle lets at most fps frames a second of each connection through.
func newThrottle(s setup) (node.Builtin, error) {
	fps, arrival := s.params.number("fps"), s.params.text("by") == byArrival
	if s.params.text("mode") == throttleDelay {
		return delay(fps), nil
	}
	return func(ctx context.Context, ports *node.Ports) error {
		slots, begin := map[origin]*slots{}, time.Now()
		return each(ctx, ports, func(f node.Frame) error {
			at := f.Header.PTS
			if arrival {
				at = int64(time.Since(begin))
			}
			from := slotsOf(slots, f, fps)
			if !arrival && from.timeless(at) {
				return fmt.Errorf("frames from %s have no presentation time: set by: %s", f.Source, byArrival)
			}
			if !from.take(at) {
				return nil
			}
			return forward(ctx, ports, f)
		})
	}, nil
}

func slotsOf(all map[origin]*slots, f node.Frame, fps float64) *slots {
	from, ok := all[originOf(f)]
	if !ok {
		from = &slots{fps: fps}
		all[originOf(f)] = from
	}
	return from
}

// slots cut time into parts of 1/fps; the first frame of each part goes on.
// So any rate below the source's is kept on average, whether it divides the
// source's or not. A time that goes back begins anew.
type slots struct {
	fps    float64
	frames int
	first  int64 // ns, where the parts begin
	before int64 // when the last frame came
	taken  int64 // the part of the frame that went on last
}

// timeless says that the second frame stands at 0 as the first one did.
func (s *slots) timeless(at int64) bool {
	return s.frames == 1 && s.before == 0 && at == 0
}

func (s *slots) take(at int64) bool {
	const rounding = 1000 // ns by which a time may be too early
	again := s.frames == 0 || at < s.before
	s.frames++
	s.before = at
	if again {
		s.first, s.taken = at, 0
		return true
	}
	slot := int64(math.Floor((float64(at-s.first) + rounding) * s.fps / 1e9))
	if slot == s.taken {
		return false
	}
	s.taken = slot
	return true
}

// delay holds a frame back until 1/fps after the one before it went on. What
// comes meanwhile waits in the connection, which drops or blocks as it says.
func delay(fps float64) node.Builtin {
	apart := time.Duration(math.Round(1e9 / fps))
	return func(ctx context.Context, ports *node.Ports) error {
		due := map[origin]time.Time{}
		return each(ctx, ports, func(f node.Frame) error {
			if err := sleep(ctx, time.Until(due[originOf(f)])); err != nil {
				return err
			}
			due[originOf(f)] = time.Now().Add(apart)
			return forward(ctx, ports, f)
		})
	}
}
