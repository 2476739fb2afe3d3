package channel

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
	"unsafe"
)

// Memory is a Transport inside one process: for tests, and for a pipeline
// whose nodes are all built in.
type Memory struct {
	mu       sync.Mutex
	services map[string]*memoryService
	closed   bool
}

// NewMemory is an empty transport.
func NewMemory() *Memory { return &Memory{services: map[string]*memoryService{}} }

type memoryService struct {
	owner  *Memory
	name   string
	spec   Spec
	ledger *Ledger
	writer *memoryOutlet
	reader []*memoryInlet
	credit chan struct{}
	// history is what the writer has sent lately, for readers that come back.
	history []*memoryFrame
}

type memoryFrame struct {
	header  Header
	payload []byte
}

// Create makes a channel.
func (m *Memory) Create(s Spec) (io.Closer, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	// uint64s, because counters need 8-byte alignment.
	words := make([]uint64, LedgerSize(len(s.Readers))/8)
	ledger, err := NewLedger(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8), len(s.Readers))
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	if _, ok := m.services[s.Name]; ok {
		return nil, fmt.Errorf("channel %s exists already", s.Name)
	}
	service := &memoryService{
		owner: m, name: s.Name, spec: s, ledger: ledger,
		reader: make([]*memoryInlet, len(s.Readers)), credit: make(chan struct{}, 1),
	}
	m.services[s.Name] = service
	return service, nil
}

// Close removes the channel; open ends go on with what they have.
func (s *memoryService) Close() error {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	delete(s.owner.services, s.name)
	return nil
}

// Leave keeps the channel for others.
func (s *memoryService) Leave() error { return nil }

func (m *Memory) service(s Spec) (*memoryService, error) {
	service, ok := m.services[s.Name]
	if m.closed {
		return nil, ErrClosed
	}
	if !ok {
		return nil, fmt.Errorf("channel %s does not exist", s.Name)
	}
	return service, nil
}

// Outlet opens the writer's end.
func (m *Memory) Outlet(s Spec) (Outlet, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	service, err := m.service(s)
	if err != nil {
		return nil, err
	}
	if service.writer != nil {
		return nil, fmt.Errorf("channel %s has a writer", s.Name)
	}
	service.writer = &memoryOutlet{service: service, done: make(chan struct{})}
	return service.writer, nil
}

// Inlet opens a reader's end.
func (m *Memory) Inlet(s Spec, slot int) (Inlet, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	service, err := m.service(s)
	if err != nil {
		return nil, err
	}
	if service.reader[slot] != nil {
		return nil, fmt.Errorf("channel %s: reader %d is there", s.Name, slot)
	}
	in := &memoryInlet{service: service, slot: slot, bell: make(chan struct{}, 1), done: make(chan struct{})}
	if r := s.Readers[slot]; r.Retry {
		in.queue = append(in.queue, service.history[max(0, len(service.history)-r.Queue()):]...)
	}
	service.reader[slot] = in
	return in, nil
}

// Clean has nothing to do: nobody dies apart inside one process.
func (m *Memory) Clean() (int, error) { return 0, nil }

// Close ends the transport.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

type memoryOutlet struct {
	service *memoryService
	loans   Tickets[*memoryFrame]
	done    chan struct{}
	closed  bool // guarded by Memory.mu
}

func (o *memoryOutlet) Ledger() *Ledger { return o.service.ledger }

func (o *memoryOutlet) Loan(n int) (Raw, error) {
	m := o.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case o.closed:
		return Raw{}, ErrClosed
	case o.loans.Len() >= o.service.spec.Loans:
		return Raw{}, ErrLoaned
	}
	f := &memoryFrame{payload: make([]byte, n)}
	return Raw{Header: &f.header, Payload: f.payload, Ticket: o.loans.Put(f)}, nil
}

func (o *memoryOutlet) Send(ticket uint64) error {
	m := o.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	if o.closed {
		return ErrClosed
	}
	f, ok := o.loans.Take(ticket)
	if !ok {
		return ErrReleased
	}
	if n := o.service.spec.History(); n > 0 {
		o.service.history = append(o.service.history, f)
		o.service.history = o.service.history[max(0, len(o.service.history)-n):]
	}
	for i, in := range o.service.reader {
		if in == nil {
			continue
		}
		if len(in.queue) >= o.service.spec.Readers[i].Queue() {
			in.queue = in.queue[1:]
		}
		in.queue = append(in.queue, f)
	}
	return nil
}

func (o *memoryOutlet) Discard(ticket uint64) error {
	if _, ok := o.loans.Take(ticket); !ok {
		return ErrReleased
	}
	return nil
}

// Refresh has nothing to do: who comes is connected at once.
func (o *memoryOutlet) Refresh() error { return nil }

func (o *memoryOutlet) Wake() error {
	m := o.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, in := range o.service.reader {
		if in != nil {
			ring(in.bell)
		}
	}
	return nil
}

func (o *memoryOutlet) Wait(ctx context.Context, limit time.Duration) error {
	return wait(ctx, o.service.credit, o.done, limit)
}

func (o *memoryOutlet) ReaderAlive(slot int) bool {
	m := o.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	return o.service.reader[slot] != nil
}

func (o *memoryOutlet) Close() error {
	m := o.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	if !o.closed {
		o.closed = true
		close(o.done)
		o.service.writer, o.service.history = nil, nil
	}
	return nil
}

type memoryInlet struct {
	service *memoryService
	slot    int
	queue   []*memoryFrame // guarded by Memory.mu
	held    Tickets[*memoryFrame]
	bell    chan struct{}
	done    chan struct{}
	closed  bool
}

func (in *memoryInlet) Ledger() *Ledger { return in.service.ledger }

func (in *memoryInlet) Receive(into []Raw) (int, error) {
	m := in.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	if in.closed {
		return 0, ErrClosed
	}
	n := 0
	for ; n < len(into) && len(in.queue) > 0; n++ {
		if in.held.Len() >= in.service.spec.Readers[in.slot].Hold {
			if n == 0 {
				return 0, ErrHeld
			}
			break
		}
		f := in.queue[0]
		in.queue = in.queue[1:]
		into[n] = Raw{Header: &f.header, Payload: f.payload, Ticket: in.held.Put(f)}
	}
	return n, nil
}

func (in *memoryInlet) Release(ticket uint64) error {
	if _, ok := in.held.Take(ticket); !ok {
		return ErrReleased
	}
	return nil
}

func (in *memoryInlet) Wake() error {
	ring(in.service.credit)
	return nil
}

func (in *memoryInlet) Wait(ctx context.Context, limit time.Duration) error {
	return wait(ctx, in.bell, in.done, limit)
}

func (in *memoryInlet) WriterAlive() bool {
	m := in.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	return in.service.writer != nil
}

func (in *memoryInlet) Close() error {
	m := in.service.owner
	m.mu.Lock()
	defer m.mu.Unlock()
	if !in.closed {
		in.closed = true
		in.queue = nil
		close(in.done)
		in.service.reader[in.slot] = nil
	}
	return nil
}

func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// wait is one wait of either end.
func wait(ctx context.Context, bell, done chan struct{}, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-bell:
		return nil
	case <-timer.C:
		return nil
	case <-done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}
