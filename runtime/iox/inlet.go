//go:build cgo && linux

package iox

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// inlet is a reader's end.
type inlet struct {
	owner  *Transport
	limit  uint64 // bytes of a frame
	hold   int
	ledger *ledger
	bell   *bell
	// Samples own their memory: one that is out when the inlet closes stays
	// mapped until it is released.
	samples channel.Tickets[unsafe.Pointer]
	held    atomic.Int64 // counts one down after the library has it back

	receiving sync.Mutex // guards frames
	frames    []cFrame

	mu  sync.RWMutex // held for reading during a call of the library
	raw *cInlet      // nil once closed
}

// Inlet opens the end of reader slot.
func (t *Transport) Inlet(s channel.Spec, slot int) (channel.Inlet, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if slot < 0 || slot >= len(s.Readers) {
		return nil, fmt.Errorf("channel %s: reader %d of %d", s.Name, slot, len(s.Readers))
	}
	l, err := openLedger(t.dir, s, readerByte(slot))
	if err != nil {
		return nil, err
	}
	r := s.Readers[slot]
	in := &inlet{
		owner: t, limit: uint64(max(1, s.MaxFrame)), hold: r.Hold, ledger: l,
		frames: make([]cFrame, r.Hold),
	}
	err = t.open(s, in, func(n *cNode, c *cSpec) (err error) {
		if in.bell, err = newBell(n, c, false); err != nil {
			return err
		}
		if in.raw, err = openInlet(n, c, r); err != nil {
			in.bell.close()
		}
		return err
	})
	if err != nil {
		l.close()
		return nil, err
	}
	return in, nil
}

func (in *inlet) Ledger() *channel.Ledger { return in.ledger.Ledger }

func (in *inlet) Receive(into []channel.Raw) (int, error) {
	in.receiving.Lock()
	defer in.receiving.Unlock()
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.raw == nil {
		return 0, channel.ErrClosed
	}
	if len(into) == 0 {
		return 0, nil
	}
	room := min(len(into), in.hold-int(in.held.Load()))
	if room <= 0 {
		if waits, err := pending(in.raw); err != nil || !waits {
			return 0, err
		}
		return 0, channel.ErrHeld
	}
	n, err := receive(in.raw, in.frames[:room])
	if err != nil {
		return 0, err
	}
	for i, f := range in.frames[:n] {
		into[i] = in.frame(f)
	}
	in.held.Add(int64(n))
	return n, nil
}

// frame is a received frame. One whose length no frame can have gets a header
// that no check passes.
func (in *inlet) frame(f cFrame) channel.Raw {
	ticket := in.samples.Put(f.handle)
	if uint64(f.len) > in.limit {
		sequence := (*channel.Header)(f.header).Sequence
		return channel.Raw{Header: &channel.Header{Sequence: sequence}, Ticket: ticket}
	}
	header, payload := raw(f)
	return channel.Raw{Header: header, Payload: payload, Ticket: ticket}
}

// Refresh lets go of writers that are gone and have nothing unread.
func (in *inlet) Refresh() error {
	in.mu.RLock()
	defer in.mu.RUnlock()
	if in.raw == nil {
		return nil
	}
	_, err := pending(in.raw)
	return err
}

func (in *inlet) Release(ticket uint64) error {
	handle, ok := in.samples.Take(ticket)
	if !ok {
		return channel.ErrReleased
	}
	release(handle)
	in.held.Add(-1)
	return nil
}

func (in *inlet) Wake() error { return in.bell.ring() }

func (in *inlet) Wait(ctx context.Context, limit time.Duration) error {
	return in.bell.wait(ctx, limit)
}

func (in *inlet) WriterAlive() bool { return in.ledger.locked(writerByte) }

// Close ends the inlet, safe twice. The lock goes last: who gets it finds room
// for its reader.
func (in *inlet) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.raw == nil {
		return nil
	}
	in.bell.close()
	dropInlet(in.raw)
	in.raw = nil
	in.ledger.close()
	in.owner.forget(in)
	return nil
}
