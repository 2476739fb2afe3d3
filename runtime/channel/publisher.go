package channel

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// checkEvery bounds a wait: after it the writer looks whether the readers it
	// waits for are alive, and a lost wake-up costs no more than this.
	checkEvery = 50 * time.Millisecond
	// spins is how often a wait looks again before it sleeps: some 20 us, about
	// what a wake-up on another core costs, and longer than a Python peer takes
	// to answer. "make bench" shows what it is good for.
	spins = 256
)

// Publisher is the writer of a channel. Its methods may be called from any
// goroutine; frames are sent in the order in which Send is called.
type Publisher struct {
	spec   Spec
	out    Outlet
	ledger *Ledger
	turn   chan struct{} // holds one token: the right to send
	closed atomic.Bool
}

// NewPublisher opens the writer's end of a created channel.
func NewPublisher(t Transport, s Spec) (*Publisher, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	out, err := t.Outlet(s)
	if err != nil {
		return nil, fmt.Errorf("channel %s: publish: %w", s.Name, err)
	}
	p := &Publisher{spec: s, out: out, ledger: out.Ledger(), turn: make(chan struct{}, 1)}
	p.ledger.Start().Store(p.ledger.Next().Load())
	p.ledger.Starved().Store(0) // the writer before may have died while it waited
	p.ledger.State().Store(Attached)
	p.turn <- struct{}{}
	return p, nil
}

// Spec is what the channel was made from.
func (p *Publisher) Spec() Spec { return p.spec }

// Ledger is the channel's ledger.
func (p *Publisher) Ledger() *Ledger { return p.ledger }

// Loan is a frame to be written in place. It ends by Send or Release, once;
// after that Header and Payload must not be touched: they are shared memory
// that belongs to somebody else.
type Loan struct {
	Header  *Header
	Payload []byte
	from    *Publisher
	ticket  uint64
}

// Loan gives n bytes of shared memory, uninitialised, with a zero header. It
// does not wait: ErrLoaned says that Spec.Loans frames are not sent yet.
func (p *Publisher) Loan(n int) (Loan, error) {
	if n > p.spec.MaxFrame {
		return Loan{}, fmt.Errorf("channel %s: %w: %d bytes, max_frame of the output is %d: raise max_frame", p.spec.Name, ErrTooLarge, n, p.spec.MaxFrame)
	}
	raw, err := p.out.Loan(n)
	if err != nil {
		return Loan{}, fmt.Errorf("channel %s: loan of %d bytes: %w", p.spec.Name, n, err)
	}
	*raw.Header = Header{Version: HeaderVersion}
	return Loan{Header: raw.Header, Payload: raw.Payload, from: p, ticket: raw.Ticket}, nil
}

// Release ends a loan without sending it.
func (l Loan) Release() error {
	if l.from == nil {
		return ErrReleased
	}
	return l.from.out.Discard(l.ticket)
}

// Send gives the frame to every reader. Under Block it first waits until each
// has room, until ctx ends, or until the publisher is closed; the loan is then
// still good and must be released or sent again. An error of the transport ends
// it: Release then answers ErrReleased.
func (l Loan) Send(ctx context.Context) error {
	p := l.from
	if p == nil {
		return ErrReleased
	}
	if err := l.Header.Check(len(l.Payload)); err != nil {
		return fmt.Errorf("channel %s: send: %w", p.spec.Name, err)
	}
	select {
	case <-p.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.turn <- struct{}{} }()
	sequence := p.ledger.Next().Load()
	if p.spec.Policy == Block {
		if err := p.room(ctx, sequence); err != nil {
			return fmt.Errorf("channel %s: send: %w", p.spec.Name, err)
		}
	}
	return p.send(l, sequence)
}

func (p *Publisher) send(l Loan, sequence uint64) error {
	l.Header.Sequence = sequence
	l.Header.Sent = Now()
	size, ends := uint64(len(l.Payload)), endOf(l.Header)
	// The claim comes before the frame: a reader that joins in between reads the
	// claim as its base and does not count this frame as lost.
	p.ledger.Next().Store(sequence + 1)
	if ends != 0 {
		p.ledger.Ended().Store(ends)
	}
	if err := p.out.Send(l.ticket); err != nil {
		// Any other failure may have reached some of the readers: the sequence is
		// spent, or they would take the next frame for one that they have had.
		if errors.Is(err, ErrReleased) || errors.Is(err, ErrClosed) {
			p.ledger.Next().Store(sequence)
			if ends != 0 {
				p.ledger.Ended().Store(0)
			}
		}
		return fmt.Errorf("channel %s: send: %w", p.spec.Name, err)
	}
	p.ledger.Bytes().Store(p.ledger.Bytes().Load() + size)
	p.wakeReaders()
	return nil
}

// endOf is what the header of an end of stream puts into the ledger, else 0.
func endOf(h *Header) uint64 {
	switch h.Flags & (EndOfStream | Failed) {
	case EndOfStream:
		return EndedWell
	case EndOfStream | Failed:
		return EndedFailed
	}
	return 0
}

func (p *Publisher) wakeReaders() {
	for i := range p.ledger.Slots() {
		if s := p.ledger.Slot(i); s.Waiting().Load() != 0 {
			_ = p.out.Wake() // the frame is sent: what fails here costs a reader checkEvery
			return
		}
	}
}

// wait is one wait for a reader. One that has come back gets here what it had
// not finished.
func (p *Publisher) wait(ctx context.Context) error {
	if err := p.out.Wait(ctx, checkEvery); err != nil || p.spec.History() == 0 {
		return err
	}
	if err := p.out.Refresh(); err != nil {
		return err
	}
	p.wakeReaders()
	return nil
}

// room waits until every attached reader has room for a frame.
func (p *Publisher) room(ctx context.Context, sequence uint64) error {
	for range spins {
		if p.full(sequence, false) < 0 {
			return p.alive()
		}
	}
	began := time.Now()
	defer func() {
		p.ledger.Starved().Store(0)
		p.ledger.Blocked().Store(p.ledger.Blocked().Load() + uint64(time.Since(began)))
	}()
	for {
		p.ledger.Starved().Store(1)
		if p.full(sequence, true) < 0 {
			return p.alive()
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
		if err := p.alive(); err != nil {
			return err
		}
	}
}

func (p *Publisher) alive() error {
	if p.closed.Load() {
		return ErrClosed
	}
	return nil
}

// full is the first reader without room, or -1. With check, a reader that died
// is found by its lock and waited for no longer, unless it will come back.
func (p *Publisher) full(sequence uint64, check bool) int {
	for i := range p.ledger.Slots() {
		s := p.ledger.Slot(i)
		if s.State().Load() != Attached || int64(sequence-s.Next().Load()) < int64(s.Capacity().Load()) {
			continue
		}
		if check && s.Expected().Load() == 0 && !p.out.ReaderAlive(i) {
			s.State().Store(Detached)
			if !p.out.ReaderAlive(i) {
				continue
			}
			s.State().Store(Attached) // another one has just come, and may have said so before
		}
		return i
	}
	return -1
}

// End sends the end of the stream; failed says that it ends by an error. A
// stream that a writer before this one has ended stays as it is.
func (p *Publisher) End(ctx context.Context, failed bool) error {
	if p.ledger.Ended().Load() != 0 {
		return nil
	}
	l, err := p.Loan(0)
	if err != nil {
		return err
	}
	l.Header.Kind, l.Header.Flags = Control, EndOfStream
	if failed {
		l.Header.Flags |= Failed
	}
	if err := l.Send(ctx); err != nil {
		_ = l.Release() // unless Send has ended it
		return err
	}
	return nil
}

// Drain waits until every attached reader has taken what was sent, or is gone
// for good. A writer that closes earlier takes unread frames with it.
func (p *Publisher) Drain(ctx context.Context) error {
	for {
		if !p.unread() {
			return nil
		}
		p.ledger.Starved().Store(1)
		if !p.unread() {
			p.ledger.Starved().Store(0)
			return nil
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
}

func (p *Publisher) unread() bool {
	sent := p.ledger.Next().Load()
	for i := range p.ledger.Slots() {
		s := p.ledger.Slot(i)
		if s.State().Load() == Attached && s.Next().Load() < sent && (s.Expected().Load() != 0 || p.out.ReaderAlive(i)) {
			return true
		}
	}
	return false
}

// Close ends the publisher; safe twice and during calls of other goroutines.
func (p *Publisher) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.ledger.State().Store(Detached)
	return p.out.Close()
}
