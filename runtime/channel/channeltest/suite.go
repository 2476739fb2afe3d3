package channeltest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Harness is what the cases run on. Each case starts its own workers.
type Harness struct {
	Transport channel.Transport // makes the channels
	// Writer and Reader start a worker with the writer's or a reader's end.
	Writer, Reader func(t *testing.T) *Worker
	// Slow leaves out what takes long in a process that must be started.
	Slow bool
}

// Run runs all cases. Names of channels start with prefix.
func Run(t *testing.T, prefix string, h Harness) {
	var n atomic.Int64
	for _, c := range append(cases(), comebacks()...) {
		t.Run(c.name, func(t *testing.T) {
			c.run(&run{T: t, h: h, name: func() string { return fmt.Sprintf("%s%d", prefix, n.Add(1)) }})
		})
	}
}

type testCase struct {
	name string
	run  func(*run)
}

func cases() []testCase {
	return []testCase{
		{"order", order},
		{"sizes", sizes},
		{"kinds", kinds},
		{"two readers", twoReaders},
		{"close", closing},
		{"close ends waiting", closeEndsWaiting},
		{"second ends", secondEnds},
		{"writer again", writerAgain},
		{"slow reader blocks", slowReader},
		{"waiting stops nothing else", ticking},
		{"drop oldest", dropOldest},
		{"both policies", bothPolicies},
		{"too large", tooLarge},
		{"late reader", lateReader},
		{"held", held},
		{"loaned", loaned},
		{"end and drain", endAndDrain},
		{"corrupt", corrupt},
		{"reader killed", readerKilled},
		{"writer killed", writerKilled},
	}
}

// run is one case under way.
type run struct {
	*testing.T
	h    Harness
	name func() string
}

// spec is a channel with one reader for each buffer.
func (r *run) spec(policy channel.Policy, maxFrame int, buffers ...int) channel.Spec {
	s := channel.Spec{Name: r.name(), MaxFrame: maxFrame, Policy: policy, Loans: 2}
	for i, b := range buffers {
		s.Readers = append(s.Readers, channel.Reader{Node: fmt.Sprintf("reader%d", i), Port: "input", Buffer: b, Hold: 2})
	}
	return s
}

// create makes the channel until the case ends.
func (r *run) create(s channel.Spec) {
	r.Helper()
	c, err := r.h.Transport.Create(s)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		if err := c.Close(); err != nil {
			r.Error(err)
		}
	})
}

// end is a worker's port.
type end struct {
	r    *run
	w    *Worker
	port string
}

func (e end) request(q Request) Request {
	if q.Ports == nil {
		q.Ports = []string{e.port}
	}
	return q
}

func (e end) start(q Request) <-chan Answer { return e.w.Start(e.request(q)) }

func (e end) call(q Request) Answer {
	e.r.Helper()
	return e.w.Call(e.r, e.request(q))
}

func (e end) do(q Request) Answer {
	e.r.Helper()
	return e.w.Do(e.r, e.request(q))
}

// fails wants an error of a kind, with texts in it.
func (e end) fails(kind string, q Request, texts ...string) {
	e.r.Helper()
	a := e.call(q)
	if a.Kind != kind {
		e.r.Fatalf("%s: kind %q (%s), want %q", q.Do, a.Kind, a.Error, kind)
	}
	for _, text := range texts {
		if !strings.Contains(a.Error, text) {
			e.r.Errorf("%s: error %q does not say %q", q.Do, a.Error, text)
		}
	}
}

func (r *run) writer(w *Worker, s channel.Spec) end {
	r.Helper()
	e := end{r, w, "w" + s.Name}
	e.do(Request{Do: "publisher", Spec: &s})
	return e
}

func (r *run) reader(w *Worker, s channel.Spec, slot int) end {
	r.Helper()
	e := end{r, w, fmt.Sprintf("r%s/%d", s.Name, slot)}
	e.do(Request{Do: "subscriber", Spec: &s, Slot: slot})
	return e
}

// pair creates a channel and opens both ends, the reader first.
func (r *run) pair(s channel.Spec) (w, in end) {
	r.Helper()
	r.create(s)
	in = r.reader(r.h.Reader(r.T), s, 0)
	return r.writer(r.h.Writer(r.T), s), in
}

// slot are the counters of the first reader.
func (e end) slot() SlotCounters {
	e.r.Helper()
	return e.do(Request{Do: "counters"}).Counters.Slots[0]
}

// until waits for something that comes true by itself.
func (r *run) until(what string, is func() bool) {
	const limit = 10 * time.Second
	r.Helper()
	for began := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(began) > limit {
			r.Fatalf("%s: not after %v", what, limit)
		}
	}
}
