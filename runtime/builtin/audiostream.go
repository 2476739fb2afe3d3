package builtin

import (
	"context"
	"fmt"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// streamed follows the sound of one connection: whether each frame goes on
// where the one before ended.
//
// It does not where frames are missing (a gap in the sequence, or the flag
// Discontinuity), where the format changes, and where the time jumps: by more
// than half a frame, of at least 1 and at most 20 ms. Smaller differences are
// clocks that are not exact; samples are counted then. Frames that all carry
// one time have none, and are counted too.
type streamed struct {
	format channel.AudioFormat
	base   int64 // PTS of the first sample since the stream last broke
	count  int64 // samples of a channel since then
	begun  bool
	next   uint64 // sequence
	last   int64  // PTS and samples of the frame before
	length int64
}

// take takes the next frame and says whether the stream begins anew with it.
func (s *streamed) take(f node.Frame) (anew bool, err error) {
	h := f.Header
	if err := wantAudio(f); err != nil {
		return false, err
	}
	format := *h.Audio()
	anew = !s.begun || h.Flags&channel.Discontinuity != 0 || h.Sequence != s.next || format != s.format || s.jumps(h.PTS)
	if anew {
		s.base, s.count, s.format, s.begun = h.PTS, 0, format, true
	}
	s.next, s.last, s.length = h.Sequence+1, h.PTS, int64(len(f.Payload)/blockBytes(format))
	s.count += s.length
	return anew, nil
}

func (s *streamed) jumps(pts int64) bool {
	off := pts - (s.base + sampleTime(s.count, s.format.Rate))
	limit := min(max(sampleTime(s.length, s.format.Rate)/2, int64(time.Millisecond)), int64(20*time.Millisecond))
	return (off > limit || off < -limit) && pts != s.last
}

// start is the PTS of the first sample of the frame taken last.
func (s *streamed) start() int64 {
	return s.base + sampleTime(s.count-s.length, s.format.Rate)
}

// audioOut sends samples to a port. What does not fit into one frame goes in
// several. The presentation time is counted in samples.
type audioOut struct {
	ports  *node.Ports
	port   string
	limit  int64 // bytes of a frame
	format channel.AudioFormat
	base   int64    // PTS of the sample that at gave
	sent   int64    // samples of a channel since then
	flags  uint8    // of the next frame
	trace  [16]byte // of the frames
}

func newAudioOut(ports *node.Ports, port string) *audioOut {
	return &audioOut{ports: ports, port: port, limit: maxFrameOf(ports, port)}
}

// at says the format and the time of the next sample.
func (o *audioOut) at(format channel.AudioFormat, pts int64) {
	o.format, o.base, o.sent = format, pts, 0
}

// anew is at, for samples that do not go on where those before ended: the next
// frame says so.
func (o *audioOut) anew(format channel.AudioFormat, pts int64) {
	if o.format.Rate != 0 {
		o.flags |= channel.Discontinuity
	}
	o.at(format, pts)
}

// inherit takes over from a received frame what is not sound.
func (o *audioOut) inherit(h *channel.Header) {
	o.flags |= h.Flags & channel.Discontinuity
	o.trace = h.TraceID
}

// most is how many samples of a channel go into a frame.
func (o *audioOut) most() int64 { return o.limit / int64(blockBytes(o.format)) }

// loan gives a frame for the next samples of all that are left, as many as it
// holds.
func (o *audioOut) loan(left int) (node.Loan, int, error) {
	block := blockBytes(o.format)
	n := int(min(int64(left), o.most()))
	if n == 0 {
		return node.Loan{}, 0, fmt.Errorf("one sample of %d channels needs %d bytes, max_frame of the output is %d: raise max_frame: %w",
			o.format.Channels, block, o.limit, channel.ErrTooLarge)
	}
	l, err := o.ports.Loan(o.port, n*block)
	if err != nil {
		return node.Loan{}, 0, err
	}
	l.Header.Kind, l.Header.PTS = channel.Audio, o.base+sampleTime(o.sent, o.format.Rate)
	l.Header.Flags, l.Header.TraceID = o.flags, o.trace
	*l.Header.Audio() = o.format
	o.sent += int64(n)
	o.flags = 0
	return l, n, nil
}

// floats sends interleaved numbers in the format of the output.
func (o *audioOut) floats(ctx context.Context, x []float64) error {
	channels := int(o.format.Channels)
	for len(x) > 0 {
		l, n, err := o.loan(len(x) / channels)
		if err != nil {
			return err
		}
		encodeSamples(l.Payload, x[:n*channels], o.format.Format)
		x = x[n*channels:]
		if err := l.Send(ctx); err != nil {
			return err
		}
	}
	return nil
}

// bytes sends samples that are in the format of the output.
func (o *audioOut) bytes(ctx context.Context, b []byte) error {
	for len(b) > 0 {
		l, _, err := o.loan(len(b) / blockBytes(o.format))
		if err != nil {
			return err
		}
		b = b[copy(l.Payload, b):]
		if err := l.Send(ctx); err != nil {
			return err
		}
	}
	return nil
}
