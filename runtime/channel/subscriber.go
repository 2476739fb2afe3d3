package channel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Subscriber is one reader of a channel. Receive must be called by one
// goroutine at a time (a second one waits); samples may be released by any.
type Subscriber struct {
	spec   Spec
	in     Inlet
	ledger *Ledger
	slot   Slot
	closed atomic.Bool
	hands  *hands // nil for a reader that never comes back

	mu  sync.Mutex // guards what follows, and the receiving order
	raw []Raw
	rejoining
}

// NewSubscriber opens the end of reader slot (its index in Spec.Readers). It
// gets what is sent from now on.
func NewSubscriber(t Transport, s Spec, slot int) (*Subscriber, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if slot < 0 || slot >= len(s.Readers) {
		return nil, fmt.Errorf("channel %s: reader %d of %d", s.Name, slot, len(s.Readers))
	}
	in, err := t.Inlet(s, slot)
	if err != nil {
		return nil, fmt.Errorf("channel %s: subscribe: %w", s.Name, err)
	}
	r := &Subscriber{
		spec: s, in: in, ledger: in.Ledger(), slot: in.Ledger().Slot(slot),
		raw: make([]Raw, s.Readers[slot].Hold),
	}
	if s.Readers[slot].Retry || r.slot.Expected().Load() != 0 {
		r.hands = &hands{slot: r.slot, retry: s.Readers[slot].Retry, out: make([]uint64, 0, s.Readers[slot].Hold)}
	}
	r.slot.Capacity().Store(uint64(s.Readers[slot].Buffer))
	r.slot.Waiting().Store(0) // the reader before may have died in its sleep
	if r.slot.State().Load() == Attached {
		r.comeBack(s.Readers[slot])
	} else {
		r.join()
	}
	return r, nil
}

// join is the attaching of a new reader. It gets what is sent from now on.
func (r *Subscriber) join() {
	r.slot.Next().Store(r.ledger.Next().Load())
	r.slot.State().Store(Attached)
	// Only now does a writer that blocks give this reader credits. What it sent
	// before is not this reader's; what it sends from now on is.
	base := r.ledger.Next().Load()
	r.slot.Base().Store(base - r.slot.Received().Load() - r.slot.Dropped().Load())
	r.slot.Done().Store(base)
	r.slot.Next().Store(base)
}

// Spec is what the channel was made from.
func (r *Subscriber) Spec() Spec { return r.spec }

// Ledger is the channel's ledger.
func (r *Subscriber) Ledger() *Ledger { return r.ledger }

// Slot is the reader's part of the ledger.
func (r *Subscriber) Slot() Slot { return r.slot }

// Sample is a received frame, read-only shared memory, good until Release.
type Sample struct {
	Header  *Header
	Payload []byte
	from    *Subscriber
	ticket  uint64 // 0: an end of stream that was told again
	number  uint64 // the sequence, which a peer cannot change
}

// Release gives the memory back, once. The frame is done with: a reader that
// dies later does not get it again.
func (s Sample) Release() error {
	if s.from == nil {
		return ErrReleased
	}
	if s.ticket == 0 {
		return nil
	}
	err := s.from.in.Release(s.ticket)
	if err == nil && !s.from.closed.Load() {
		s.from.hands.finish(s.number)
	}
	return err
}

// Receive waits for one frame; a frame with EndOfStream is the last.
func (r *Subscriber) Receive(ctx context.Context) (Sample, error) {
	var one [1]Sample
	for {
		if n, err := r.ReceiveBatch(ctx, one[:]); n == 1 || err != nil {
			return one[0], err
		}
	}
}

// TryReceive is Receive without waiting; false if there is no frame.
func (r *Subscriber) TryReceive() (Sample, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var one [1]Sample
	n, err := r.take(one[:])
	return one[0], n == 1, err
}

// ReceiveBatch waits for at least one frame and returns those that are there,
// at most len(into) and at most the reader's hold. With an error it may return
// frames too: the error is about frames between them, which count as dropped.
func (r *Subscriber) ReceiveBatch(ctx context.Context, into []Sample) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range spins {
		if n, err := r.take(into); n > 0 || err != nil {
			return n, err
		}
	}
	defer r.slot.Waiting().Store(0)
	for {
		r.slot.Waiting().Store(1)
		if n, err := r.take(into); n > 0 || err != nil {
			return n, err
		}
		if err := r.in.Wait(ctx, checkEvery); err != nil {
			return 0, fmt.Errorf("channel %s: receive: %w", r.spec.Name, err)
		}
	}
}

// take moves frames that have arrived into into and keeps the ledger.
func (r *Subscriber) take(into []Sample) (int, error) {
	if r.closed.Load() {
		return 0, fmt.Errorf("channel %s: receive: %w", r.spec.Name, ErrClosed)
	}
	// Asked before: what an earlier writer has sent is here, or does not come.
	start, gone := r.ledger.Start().Load(), r.endedWithoutUs()
	arrived, err := r.in.Receive(r.raw[:min(len(r.raw), len(into))])
	if err != nil {
		return 0, fmt.Errorf("channel %s: receive: %w", r.spec.Name, err)
	}
	if arrived == 0 {
		return r.nothing(into, start, gone), nil
	}
	n, now := 0, Now()
	for _, raw := range r.raw[:arrived] {
		if raw.Header.Sequence < r.slot.Next().Load() {
			_ = r.in.Release(raw.Ticket) // from before this reader joined, or done with
			continue
		}
		bad := r.check(raw)
		if errors.Is(bad, errUnclaimed) {
			// The sequence is not to be counted by either; the next frame's gap
			// counts this one.
			_ = r.in.Release(raw.Ticket)
			err = errors.Join(err, fmt.Errorf("channel %s: %w", r.spec.Name, bad))
			continue
		}
		r.count(raw, now, bad == nil)
		if bad != nil {
			_ = r.in.Release(raw.Ticket)
			err = errors.Join(err, fmt.Errorf("channel %s: frame %d: %w", r.spec.Name, raw.Header.Sequence, bad))
			continue
		}
		sequence := r.slot.Next().Load() - 1
		r.hands.take(sequence)
		into[n] = Sample{Header: raw.Header, Payload: raw.Payload, from: r, ticket: raw.Ticket, number: sequence}
		n++
	}
	r.wakeWriter()
	return n, err
}

func (r *Subscriber) wakeWriter() {
	if r.ledger.Starved().Load() != 0 {
		_ = r.in.Wake() // what fails costs the writer checkEvery
	}
}

// errUnclaimed says that a header has a sequence that its writer has not claimed.
var errUnclaimed = fmt.Errorf("%w: sequence not sent yet", ErrCorrupt)

// check says what is wrong with a frame's header. A writer that keeps the
// ledger claims a sequence before it sends; one that never came has no say.
func (r *Subscriber) check(raw Raw) error {
	h := raw.Header
	if r.ledger.State().Load() != Vacant && h.Sequence >= r.ledger.Next().Load() {
		return fmt.Errorf("%w: %d", errUnclaimed, h.Sequence)
	}
	return h.Check(len(raw.Payload))
}

// count keeps the ledger for one frame: a gap in the sequence is what was
// dropped, and so is a frame that is not good. A frame that comes again was
// counted before.
func (r *Subscriber) count(raw Raw, now uint64, good bool) {
	h, s := raw.Header, r.slot
	sequence := h.Sequence
	r.miss(sequence)
	s.Next().Store(sequence + 1)
	ends := h.Flags&EndOfStream != 0
	switch {
	case good && ends:
		r.over = true
		return
	case sequence < r.resume:
		return
	case !good:
		s.Dropped().Store(s.Dropped().Load() + 1)
		return
	}
	s.Received().Store(s.Received().Load() + 1)
	s.Bytes().Store(s.Bytes().Load() + uint64(len(raw.Payload)))
	if now > h.Sent {
		s.CountLatency(now - h.Sent)
	}
}

// WriterAlive says whether a process holds the writer's lock.
func (r *Subscriber) WriterAlive() bool { return r.in.WriterAlive() }

// Close ends the subscriber; safe twice and during calls of other goroutines.
// Samples that are out stay good until they are released.
func (r *Subscriber) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	r.slot.State().Store(Detached)
	r.wakeWriter()
	return r.in.Close()
}

// Leave ends the subscriber as the death of its process does: a writer that
// knows that a reader comes back goes on waiting.
func (r *Subscriber) Leave() error {
	if r.closed.Swap(true) {
		return nil
	}
	return r.in.Close()
}
