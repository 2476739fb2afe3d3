package node

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// output is one port with its channels: one for the readers that block, one
// with a copy for those that drop, or none.
type output struct {
	channel.Output
	channels []*channel.Publisher
	unread   atomic.Uint64

	tracer *tracer // nil: nobody wants spans
	source bool    // the node has no inputs
}

// Loan is a frame to be written in place: Header (kind, time, format) and
// Payload. It ends by Send or Release, once.
type Loan struct {
	Header  *channel.Header
	Payload []byte
	out     *output
	loans   [2]channel.Loan
	n       int
}

// Loan gives n bytes of shared memory for a frame of a port.
func (p *Ports) Loan(port string, n int) (Loan, error) {
	out, ok := p.outputs[port]
	if !ok {
		return Loan{}, fmt.Errorf("%w: output %q", ErrNoPort, port)
	}
	if len(out.channels) == 0 { // nothing reads the port
		return Loan{Header: &channel.Header{Version: channel.HeaderVersion}, Payload: make([]byte, n), out: out}, nil
	}
	l := Loan{out: out}
	for i, pub := range out.channels {
		loan, err := pub.Loan(n)
		if err != nil {
			return Loan{}, errors.Join(fmt.Errorf("output %s: %w", port, err), l.Release())
		}
		l.loans[i] = loan
		l.n++
	}
	l.Header, l.Payload = l.loans[0].Header, l.loans[0].Payload
	return l, nil
}

// Release ends the loan without sending it.
func (l Loan) Release() error {
	var err error
	for _, loan := range l.loans[:l.n] {
		err = errors.Join(err, loan.Release())
	}
	return err
}

// Send gives the frame to every reader of the port, and waits for those that
// block. With an error the loan is over too.
func (l Loan) Send(ctx context.Context) error {
	if l.out == nil {
		return channel.ErrReleased
	}
	if kind := l.out.Kind; kind != "" && l.Header.Kind.String() != kind {
		return errors.Join(fmt.Errorf("output %s: frame is %s, want %s", l.out.Port, l.Header.Kind, kind), l.Release())
	}
	if l.n == 0 {
		l.out.unread.Add(1)
		return nil
	}
	if l.out.tracer != nil {
		l.out.tracer.sending(l.Header, l.out.Port, l.out.source)
	}
	// Copies first: what is sent must not be touched any more. The one that
	// may wait is sent first, so that an interrupted send reaches nobody.
	for _, loan := range l.loans[1:l.n] {
		*loan.Header = *l.Header
		copy(loan.Payload, l.Payload)
	}
	for i, loan := range l.loans[:l.n] {
		if err := loan.Send(ctx); err != nil {
			for _, rest := range l.loans[i:l.n] {
				_ = rest.Release() // unless Send has ended it
			}
			return fmt.Errorf("output %s: %w", l.out.Port, err)
		}
		ctx = context.WithoutCancel(ctx) // sent to some, so sent to all: the others do not wait
	}
	return nil
}

// Send sends a copy of payload as a frame of a port, with the kind, times and
// format of h. A received frame goes on with Send(ctx, port, *f.Header, f.Payload).
func (p *Ports) Send(ctx context.Context, port string, h channel.Header, payload []byte) error {
	l, err := p.Loan(port, len(payload))
	if err != nil {
		return err
	}
	h.Version = channel.HeaderVersion
	*l.Header = h
	copy(l.Payload, payload)
	return l.Send(ctx)
}
