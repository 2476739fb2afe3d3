//go:build cgo && linux

package iox_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// TestCloseDuringCalls closes ends while a thousand goroutines use them.
func TestCloseDuringCalls(t *testing.T) {
	p := newProject(t, false)
	for range 5 {
		tr := p.open(t)
		s := spec("main_a_output", 256, 3, 4, 4)
		l := mustConnect(t, tr, s)
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				time.Sleep(rand.N(20 * time.Millisecond))
				expected(t, use(t, l, i))
			})
		}
		time.Sleep(10 * time.Millisecond)
		all.Go(func() { expected(t, l.pub.Close()) })
		for _, sub := range l.subs {
			all.Go(func() { expected(t, sub.Close()) })
		}
		all.Go(func() { expected(t, tr.Close()) })
		all.Wait()
		if left := p.left(t); len(left) != 0 {
			t.Fatalf("left %v", left)
		}
	}
}

// use does one of the things that can be done with ends.
func use(t *testing.T, l link, i int) error {
	sub := l.subs[i/8%2]
	switch i % 8 {
	case 0, 1, 2:
		loan, err := l.pub.Loan(100)
		if err != nil {
			return err
		}
		loan.Payload[99] = 1
		if err := loan.Send(t.Context()); err != nil {
			return errors.Join(err, loan.Release())
		}
		return nil
	case 3:
		loan, err := l.pub.Loan(1)
		if err != nil {
			return err
		}
		return loan.Release()
	case 4:
		_, _ = sub.WriterAlive(), sub.Slot().Received().Load()
		return nil
	}
	s, err := sub.Receive(t.Context())
	if s.Header == nil {
		return err
	}
	time.Sleep(rand.N(100 * time.Microsecond))
	sum := 0
	for _, b := range s.Payload {
		sum += int(b)
	}
	if sum == 0 {
		t.Error("a payload without what was written")
	}
	return errors.Join(err, s.Release())
}

// expected are the errors that a call may have when others close, hold and loan.
func expected(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, channel.ErrClosed) || errors.Is(err, channel.ErrHeld) || errors.Is(err, channel.ErrLoaned) {
		return
	}
	t.Errorf("%v", err)
}
