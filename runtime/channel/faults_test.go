package channel_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

var errBroken = errors.New("broken")

// broken is a transport whose writer's end misbehaves as a test wants.
type broken struct {
	*channel.Memory
	afterSend func() error         // of a send that reached the readers
	alive     func(real bool) bool // of a reader
	wake      func(wake func() error) error
}

type brokenOutlet struct {
	channel.Outlet
	b *broken
}

func (b *broken) Outlet(s channel.Spec) (channel.Outlet, error) {
	o, err := b.Memory.Outlet(s)
	return &brokenOutlet{o, b}, err
}

func (o *brokenOutlet) Send(ticket uint64) error {
	err := o.Outlet.Send(ticket)
	if err == nil && o.b.afterSend != nil {
		err = o.b.afterSend()
	}
	return err
}

func (o *brokenOutlet) ReaderAlive(slot int) bool {
	is := o.Outlet.ReaderAlive(slot)
	if o.b.alive != nil {
		is = o.b.alive(is)
	}
	return is
}

func (o *brokenOutlet) Wake() error {
	if o.b.wake != nil {
		return o.b.wake(o.Outlet.Wake)
	}
	return o.Outlet.Wake()
}

// pair is a channel with one reader.
func pair(t *testing.T, b *broken, buffer int) (*channel.Publisher, *channel.Subscriber) {
	t.Helper()
	b.Memory = channel.NewMemory()
	s := channel.Spec{Name: "a", MaxFrame: 8, Loans: 1, Readers: []channel.Reader{{Node: "n", Port: "input", Buffer: buffer, Hold: 1}}}
	if _, err := b.Create(s); err != nil {
		t.Fatal(err)
	}
	sub, err := channel.NewSubscriber(b, s, 0)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := channel.NewPublisher(b, s)
	if err != nil {
		t.Fatal(err)
	}
	return pub, sub
}

func send(t *testing.T, p *channel.Publisher) error {
	t.Helper()
	l, err := p.Loan(1)
	if err != nil {
		t.Fatal(err)
	}
	err = l.Send(t.Context())
	_ = l.Release()
	return err
}

func receive(t *testing.T, r *channel.Subscriber) channel.Header {
	t.Helper()
	s, ok, err := r.TryReceive()
	if err != nil || !ok {
		t.Fatalf("receive: %v %v", ok, err)
	}
	h := *s.Header
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	return h
}

// TestSendFailsHalfWay: a frame that reached a reader before its send failed
// keeps its sequence, or the next frame would be taken for one already seen.
func TestSendFailsHalfWay(t *testing.T) {
	b := &broken{}
	pub, sub := pair(t, b, 4)
	b.afterSend = func() error { return errBroken }
	if err := send(t, pub); !errors.Is(err, errBroken) {
		t.Errorf("send: %v", err)
	}
	if h := receive(t, sub); h.Sequence != 0 {
		t.Errorf("received frame %d, want 0", h.Sequence)
	}
	b.afterSend = nil
	if err := pub.End(t.Context(), true); err != nil {
		t.Error(err)
	}
	if h := receive(t, sub); h.Sequence != 1 || h.Flags&channel.EndOfStream == 0 {
		t.Errorf("received %+v, want the end as frame 1", h)
	}
}

// TestSendTwice spends no sequence: nothing was sent.
func TestSendTwice(t *testing.T) {
	pub, sub := pair(t, &broken{}, 4)
	l, err := pub.Loan(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Send(t.Context()); err != nil {
		t.Error(err)
	}
	if err := l.Release(); !errors.Is(err, channel.ErrReleased) {
		t.Errorf("release after send: %v", err)
	}
	if err := send(t, pub); err != nil {
		t.Error(err)
	}
	for i := range uint64(2) {
		if h := receive(t, sub); h.Sequence != i {
			t.Errorf("received frame %d, want %d", h.Sequence, i)
		}
	}
	if n := sub.Slot().Dropped().Load(); n != 0 {
		t.Errorf("%d dropped", n)
	}
}

// TestWakeFails: a frame that is sent is sent, whether or not its readers woke.
func TestWakeFails(t *testing.T) {
	b := &broken{wake: func(func() error) error { return errBroken }}
	pub, sub := pair(t, b, 4)
	sub.Slot().Waiting().Store(1)
	if err := send(t, pub); err != nil {
		t.Errorf("send: %v", err)
	}
	receive(t, sub)
}

// TestReaderReplaced: while the writer finds a reader dead, another one takes
// the slot. It is not to be taken for the dead one: it would lose frames.
func TestReaderReplaced(t *testing.T) {
	b := &broken{}
	pub, sub := pair(t, b, 1)
	if err := send(t, pub); err != nil { // fills the buffer
		t.Error(err)
	}
	var looks atomic.Int64
	b.alive = func(real bool) bool { return looks.Add(1) > 1 } // dead; then the other one is there
	sent := make(chan error)
	go func() { sent <- send(t, pub) }()
	select {
	case err := <-sent:
		t.Errorf("sent past a reader without room: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	if s := sub.Slot().State().Load(); s != channel.Attached {
		t.Errorf("the new reader has state %d", s)
	}
	receive(t, sub)
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestReaderComesAndGoes: a blocking writer is at work when readers come. From
// its first frame on, a reader misses none.
func TestReaderComesAndGoes(t *testing.T) {
	b := &broken{}
	pub, sub := pair(t, b, 1)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := send(t, pub); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 2000 {
		if err := sub.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if sub, err = channel.NewSubscriber(b, pub.Spec(), 0); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			s, err := sub.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Release()
		}
	}
	n := sub.Slot().Dropped().Load()
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	close(stop)
	<-done
	if n != 0 {
		t.Errorf("%d frames were dropped under block", n)
	}
}
