package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// lookEvery is how often a reader that waits looks whether its writer lives.
const lookEvery = 250 * time.Millisecond

// Frame is a received frame: read-only shared memory, good until Release.
type Frame struct {
	Port       string // of this node
	Source     string // the producing node
	SourcePort string
	Header     *channel.Header
	Payload    []byte
	sample     channel.Sample
	in         *input
	began      uint64 // of a frame with a trace id, if somebody wants to know
}

// Release gives the memory back. A node may keep as many frames of a
// connection as its hold says; the next ones wait until then. Once a frame.
func (f Frame) Release() {
	if f.began != 0 {
		f.in.tracer.released(f)
	}
	if f.in != nil && f.sample.Release() == nil {
		<-f.in.room
	}
}

// input is one connection that enters the node. room holds a token for every
// frame that the node keeps.
type input struct {
	channel.Input
	sub   *channel.Subscriber
	begun *atomic.Bool // every producer has been there
	room  chan struct{}

	tracer *tracer // nil: nobody wants spans
}

type arrival struct {
	frame Frame
	in    *input
	err   error // io.EOF, ErrIncomplete, or why receiving failed: the last of its input
}

// Receive waits for the next frame of any input; frames of one connection
// come in order. When every input that is no feedback has ended it answers
// io.EOF, or ErrIncomplete if one of them ended early. One goroutine at a time.
func (p *Ports) Receive(ctx context.Context) (Frame, error) {
	for {
		if f, ended, err := p.ReceiveOrEnd(ctx); err != nil || !ended {
			return f, err
		}
	}
}

// ReceiveOrEnd is Receive for a node that treats its connections each on its
// own: ended tells the end of the connection that the frame's Port, Source and
// SourcePort name. There is nothing else in that frame.
func (p *Ports) ReceiveOrEnd(ctx context.Context) (f Frame, ended bool, err error) {
	if p.left == 0 {
		if p.failed {
			return Frame{}, false, ErrIncomplete
		}
		return Frame{}, false, io.EOF
	}
	a := p.next(ctx)
	switch {
	case a.err == nil:
		if a.in.tracer != nil {
			a.in.tracer.received(&a.frame)
		}
		return a.frame, false, nil
	case !errors.Is(a.err, io.EOF) && !errors.Is(a.err, ErrIncomplete):
		return Frame{}, false, a.err
	case !a.in.Feedback:
		p.left--
		p.failed = p.failed || errors.Is(a.err, ErrIncomplete)
	}
	return Frame{Port: a.in.Port, Source: a.in.Source, SourcePort: a.in.SourcePort}, true, nil
}

func (p *Ports) next(ctx context.Context) arrival {
	if len(p.inputs) == 1 {
		return p.inputs[0].receive(ctx, p.quit)
	}
	if p.merge == nil {
		p.merge = make(chan arrival)
		for _, in := range p.inputs {
			p.pumps.Go(func() { p.pump(in) })
		}
	}
	select {
	case a := <-p.merge:
		return a
	case <-ctx.Done():
		return arrival{err: ctx.Err()}
	}
}

// pump carries the frames of one of several inputs. Closing the subscriber
// ends its wait.
func (p *Ports) pump(in *input) {
	for {
		a := in.receive(context.Background(), p.quit)
		select {
		case p.merge <- a:
		case <-p.quit:
			a.frame.Release()
			return
		}
		if a.err != nil {
			return
		}
	}
}

// receive waits for room and for a frame.
func (in *input) receive(ctx context.Context, quit <-chan struct{}) arrival {
	select {
	case in.room <- struct{}{}:
	case <-quit:
		return arrival{in: in, err: channel.ErrClosed}
	case <-ctx.Done():
		return arrival{in: in, err: ctx.Err()}
	}
	sample, err := in.wait(ctx)
	if err == nil && sample.Header.Flags&channel.EndOfStream != 0 {
		err = io.EOF
		if sample.Header.Flags&channel.Failed != 0 {
			err = ErrIncomplete
		}
		err = errors.Join(err, sample.Release())
	}
	if err == nil {
		if err = in.check(sample.Header); err != nil {
			err = errors.Join(err, sample.Release())
		}
	}
	if err != nil {
		<-in.room
		return arrival{in: in, err: err}
	}
	return arrival{in: in, frame: Frame{
		Port: in.Port, Source: in.Source, SourcePort: in.SourcePort,
		Header: sample.Header, Payload: sample.Payload, sample: sample, in: in,
	}}
}

// check wants a frame of the input's kind.
func (in *input) check(h *channel.Header) error {
	want := in.Kind
	switch {
	case h.Kind == channel.Control && want == "":
		want = "media"
	case want == "" || want == h.Kind.String():
		return nil
	}
	return fmt.Errorf("input %s: frame %d from %s is %s, want %s", in.Port, h.Sequence, in.Source, h.Kind, want)
}

// wait waits for a frame as long as there is a writer, or one is to come back.
// Once the session has begun, a writer that is gone without an end of stream
// has died.
func (in *input) wait(ctx context.Context) (channel.Sample, error) {
	if sample, ok, err := in.sub.TryReceive(); ok || err != nil {
		return sample, err
	}
	for {
		limited, cancel := context.WithTimeout(ctx, lookEvery)
		sample, err := in.sub.Receive(limited)
		cancel()
		if err == nil || ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return sample, err
		}
		begun := in.begun.Load() // asked first: a writer may come in between
		if !in.sub.WriterAlive() && in.sub.Ledger().Expected().Load() == 0 && begun {
			// Looked at again after the lock was seen free: what it sent is here.
			if sample, ok, err := in.sub.TryReceive(); ok || err != nil {
				return sample, err
			}
			return channel.Sample{}, fmt.Errorf("%w: %s is gone", ErrIncomplete, in.Source)
		}
	}
}
