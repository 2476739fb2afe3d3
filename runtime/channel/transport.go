package channel

import (
	"context"
	"io"
	"time"
)

// Transport moves frames between the ends of a channel. It knows neither
// credits nor sequences: those are Publisher's and Subscriber's, so that each
// transport has the same rules.
type Transport interface {
	// Create makes the channel with its qualities of service and its ledger,
	// empty, and keeps it until closed. Writers and readers may come and go. What
	// it returns may have a method Leave() error, which leaves the channel to
	// others.
	Create(Spec) (io.Closer, error)
	// Outlet opens the writer's end of a channel that was created.
	Outlet(Spec) (Outlet, error)
	// Inlet opens the end of reader slot.
	Inlet(s Spec, slot int) (Inlet, error)
	// Clean removes what dead peers left behind and says how many they were.
	Clean() (int, error)
	Close() error
}

// Raw is one frame inside a transport. The ticket names it in Send, Discard
// and Release; each ticket is good for one of those calls, once.
type Raw struct {
	Header  *Header
	Payload []byte
	Ticket  uint64
}

// Outlet is a writer's end without rules. All methods may be called from any
// goroutine, also during and after Close: then they answer ErrClosed.
type Outlet interface {
	Ledger() *Ledger
	Loan(n int) (Raw, error)
	Send(ticket uint64) error
	Discard(ticket uint64) error
	// Refresh connects with readers that have come, and gives those that get
	// frames again the last Spec.History() frames. Send does it too.
	Refresh() error
	// Wake wakes the readers that wait.
	Wake() error
	// Wait returns when a reader woke it, after limit, or with ctx's error.
	Wait(ctx context.Context, limit time.Duration) error
	// ReaderAlive says whether a process holds the lock of a reader's slot.
	ReaderAlive(slot int) bool
	Close() error
}

// Inlet is a reader's end without rules.
type Inlet interface {
	Ledger() *Ledger
	// Receive fills into with frames that have arrived and says how many; it
	// never waits.
	Receive(into []Raw) (int, error)
	Release(ticket uint64) error
	// Wake wakes the writer if it waits for room.
	Wake() error
	Wait(ctx context.Context, limit time.Duration) error
	WriterAlive() bool
	Close() error
}
