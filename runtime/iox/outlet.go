//go:build cgo && linux

package iox

import (
	"context"
	"fmt"
	"sync"
	"time"
	"unsafe"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// outlet is a writer's end.
type outlet struct {
	owner  *Transport
	limit  int // bytes of a frame
	ledger *ledger
	bell   *bell
	// Loans own their memory: one that is out when the outlet closes stays
	// mapped until it is ended.
	loans channel.Tickets[unsafe.Pointer]

	mu  sync.RWMutex // held for reading during a call of the library
	raw *cOutlet     // nil once closed
}

// Outlet opens the writer's end of a channel that was created.
func (t *Transport) Outlet(s channel.Spec) (channel.Outlet, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	l, err := openLedger(t.dir, s, writerByte)
	if err != nil {
		return nil, err
	}
	o := &outlet{owner: t, limit: s.MaxFrame, ledger: l}
	err = t.open(s, o, func(n *cNode, c *cSpec) (err error) {
		if o.bell, err = newBell(n, c, true); err != nil {
			return err
		}
		if o.raw, err = openOutlet(n, c); err != nil {
			o.bell.close()
		}
		return err
	})
	if err != nil {
		l.close()
		return nil, err
	}
	return o, nil
}

func (o *outlet) Ledger() *channel.Ledger { return o.ledger.Ledger }

func (o *outlet) Loan(n int) (channel.Raw, error) {
	if n < 0 || n > o.limit {
		return channel.Raw{}, fmt.Errorf("%w: %d bytes, the channel has %d", channel.ErrTooLarge, n, o.limit)
	}
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.raw == nil {
		return channel.Raw{}, channel.ErrClosed
	}
	frame, err := loan(o.raw, n)
	if err != nil {
		return channel.Raw{}, err
	}
	header, payload := raw(frame)
	return channel.Raw{Header: header, Payload: payload, Ticket: o.loans.Put(frame.handle)}, nil
}

func (o *outlet) Send(ticket uint64) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.raw == nil {
		return channel.ErrClosed
	}
	handle, ok := o.loans.Take(ticket)
	if !ok {
		return channel.ErrReleased
	}
	return sendLoan(handle)
}

func (o *outlet) Discard(ticket uint64) error {
	handle, ok := o.loans.Take(ticket)
	if !ok {
		return channel.ErrReleased
	}
	dropLoan(handle)
	return nil
}

// Refresh also lets go of readers that are gone: while one of the two ends has a
// connection open, its file stays.
func (o *outlet) Refresh() error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if o.raw == nil {
		return nil
	}
	return refreshOutlet(o.raw)
}

func (o *outlet) Wake() error { return o.bell.ring() }

func (o *outlet) Wait(ctx context.Context, limit time.Duration) error { return o.bell.wait(ctx, limit) }

func (o *outlet) ReaderAlive(slot int) bool { return o.ledger.locked(readerByte(slot)) }

// Close ends the outlet, safe twice. The lock goes last: who gets it finds the
// channel without a writer.
func (o *outlet) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.raw == nil {
		return nil
	}
	o.bell.close()
	dropOutlet(o.raw)
	o.raw = nil
	o.ledger.close()
	o.owner.forget(o)
	return nil
}
