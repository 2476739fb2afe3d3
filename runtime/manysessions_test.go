package runtime

import (
	"errors"
	"fmt"
	"math"
	goruntime "runtime"
	"testing"
)

// What the process that supervises knows of a session goes with it: a project that
// runs for days takes no more memory after many short sessions than after a few.
func TestManyShortSessions(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	s := r.start()
	opened := 0
	visit := func(times int) {
		for range times {
			opened++
			c, _ := r.second(1)
			c.Session = fmt.Sprintf("n%d", opened)
			guest, err := Start(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(guest.Wait(t.Context()), guest.Close()); err != nil {
				t.Fatal(err)
			}
			if !eventually(func() bool { return len(s.Others()) == 0 }) {
				t.Fatalf("%s is kept", c.Session)
			}
		}
	}
	visit(1) // what the start of a session begins late is there
	idle := goruntime.NumGoroutine()
	kept := func() int64 {
		if !eventually(func() bool { return goruntime.NumGoroutine() <= idle }) {
			t.Errorf("%d goroutines became %d", idle, goruntime.NumGoroutine())
		}
		least := int64(math.MaxInt64)
		for range 10 { // frames flow: each has some garbage of its moment
			r.out.mu.Lock()
			r.out.lines = nil
			r.out.mu.Unlock()
			r.engine.mu.Lock()
			r.engine.calls = nil
			r.engine.mu.Unlock()
			goruntime.GC()
			var m goruntime.MemStats
			goruntime.ReadMemStats(&m)
			least = min(least, int64(m.HeapAlloc))
		}
		return least
	}
	visit(100)
	before := kept()
	const times = 300
	visit(times)
	after := kept()
	if each := (after - before) / times; each > 300 { // some 150 of them the fake's
		t.Errorf("%d bytes are kept of a session", each)
	}
	t.Logf("%d bytes, then %d", before, after)
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
}
