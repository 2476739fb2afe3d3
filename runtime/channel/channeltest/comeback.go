package channeltest

import (
	"math/rand/v2"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// ledger is a look at the ledger of a channel that nobody has opened yet, as
// the runtime has one.
func (r *run) ledger(s channel.Spec) *channel.Ledger {
	r.Helper()
	out, err := r.h.Transport.Outlet(s)
	if err != nil {
		r.Fatal(err)
	}
	if err := out.Close(); err != nil {
		r.Fatal(err)
	}
	return out.Ledger()
}

// die ends a worker, or, if it has no process of its own, its port as a death
// would, and cleans up after it as the runtime does.
func (e end) die() {
	e.r.Helper()
	if e.w.Kill != nil {
		e.w.Kill()
	} else {
		e.do(Request{Do: "leave"})
	}
	e.r.clean()
}

// again is a new reader in the first slot, in a new worker.
func (r *run) again(s channel.Spec) end {
	r.Helper()
	return r.reader(r.h.Reader(r.T), s, 0)
}

// expected is a channel whose ends come back when they die, and its reader.
func (r *run) expected(s channel.Spec) (*channel.Ledger, end) {
	r.Helper()
	r.create(s)
	l := r.ledger(s)
	l.Expected().Store(1)
	l.Slot(0).Expected().Store(1)
	return l, r.again(s)
}

// accounts are a reader's counters in a ledger.
type accounts struct{ received, dropped, unfinished uint64 }

func (r *run) wants(l *channel.Ledger, want accounts) {
	r.Helper()
	s := l.Slot(0)
	got := accounts{s.Received().Load(), s.Dropped().Load(), s.Unfinished().Load()}
	if got != want || l.Frames() != got.received+got.dropped {
		r.Errorf("%d frames sent, counted %+v, want %+v", l.Frames(), got, want)
	}
}

// full waits until a writer that blocks has sent so many frames, and some time
// more.
func (r *run) full(l *channel.Ledger, frames uint64) {
	r.Helper()
	is := func() bool { return l.Next().Load() == frames }
	r.until("full queue", is)
	time.Sleep(150 * time.Millisecond)
	if !is() {
		r.Errorf("%d frames are sent, want %d", l.Next().Load(), frames)
	}
}

// readerBack: the writer waits for a reader that died; what was in flight is
// lost and counted, and nothing after.
func readerBack(r *run) {
	s := r.spec(channel.Block, 64, 4) // hold 2
	l, in := r.expected(s)
	w := r.writer(r.h.Writer(r.T), s)
	sending := w.start(Request{Do: "send", Count: 200, Length: 8})
	in.do(Request{Do: "receive", Count: 10, Brief: true})
	in.do(Request{Do: "receive", Count: 2, Brief: true, Keep: true})
	r.full(l, 16)
	in.die()
	r.full(l, 16)
	in = r.again(s)
	a := in.do(Request{Do: "receive", Count: 184, Brief: true, WithinMS: 20000})
	good(r, "send", wait(r, "send", sending))
	if a.First != 16 || a.Last != 199 || a.Received != 184 || !a.Ordered {
		r.Errorf("received %d, %d to %d, want 16 to 199", a.Received, a.First, a.Last)
	}
	r.wants(l, accounts{196, 4, 2})
}

// readerBackAtEnd: the end of the stream waits for the reader too, and one that
// comes back after it is told of it.
func readerBackAtEnd(r *run) {
	for _, failed := range []bool{false, true} {
		s := r.spec(channel.Block, 64, 4)
		l, in := r.expected(s)
		w := r.writer(r.h.Writer(r.T), s)
		w.do(Request{Do: "send", Count: 2, Length: 8})
		w.do(Request{Do: "end", Failed: failed})
		in.do(Request{Do: "receive", Brief: true})
		in.die()
		w.fails("timeout", Request{Do: "drain", WithinMS: 200})
		draining := w.start(Request{Do: "drain"})
		in = r.again(s)
		good(r, "drain", wait(r, "drain", draining))
		w.do(Request{Do: "close"})
		flags := channel.EndOfStream
		if failed {
			flags |= channel.Failed
		}
		f := in.do(Request{Do: "receive", Count: 2, WithinMS: 20000}).Frames
		if len(f) != 1 || f[0].Flags != flags || f[0].Sequence != 2 {
			r.Errorf("received %+v, want the end with flags %d", f, flags)
		}
		r.wants(l, accounts{1, 1, 0})
	}
}

// writerBack: a reader goes on with what a writer had sent and with what the
// next one sends; a frame that the dead one had claimed is lost, and takes no
// room.
func writerBack(r *run) {
	s := r.spec(channel.Block, 64, 1)
	l, in := r.expected(s)
	w := r.writer(r.h.Writer(r.T), s)
	w.do(Request{Do: "send", Length: 8})
	in.do(Request{Do: "receive", WithinMS: 20000}) // it knows the writer now
	w.do(Request{Do: "send", Length: 8})
	w.die()
	l.Next().Store(3) // it died while it sent
	w = r.writer(r.h.Writer(r.T), s)
	sending := w.start(Request{Do: "send", Count: 50, Length: 8})
	a := in.do(Request{Do: "receive", Count: 51, Brief: true, WithinMS: 20000})
	good(r, "send", wait(r, "send", sending))
	if a.First != 1 || a.Last != 52 || a.Received != 51 || !a.Ordered {
		r.Errorf("received %d, %d to %d, want 1 to 52", a.Received, a.First, a.Last)
	}
	r.wants(l, accounts{52, 1, 0})
}

// endUnsent: the end of a stream is told, once and as no loss, although its
// writer died between the claim and the frame.
func endUnsent(r *run) {
	s := r.spec(channel.Block, 64, 1)
	l, in := r.expected(s)
	w := r.writer(r.h.Writer(r.T), s)
	w.do(Request{Do: "send", Length: 8})
	in.do(Request{Do: "receive", WithinMS: 20000})
	w.die()
	l.Next().Store(2)
	l.Ended().Store(channel.EndedWell)
	w = r.writer(r.h.Writer(r.T), s)
	w.do(Request{Do: "end"})
	if f := in.do(Request{Do: "receive", WithinMS: 20000}).Frames; len(f) != 1 || f[0].Flags != channel.EndOfStream || f[0].Sequence != 1 {
		r.Errorf("received %+v, want the end", f)
	}
	w.do(Request{Do: "drain", WithinMS: 10000})
	r.wants(l, accounts{1, 0, 0})
}

// retried: a reader that comes back gets again what it had not finished, and
// every frame is counted once.
func retried(r *run) {
	s := r.spec(channel.Block, 64, 4)
	s.Readers[0].Retry = true
	l, in := r.expected(s)
	w := r.writer(r.h.Writer(r.T), s)
	sending := w.start(Request{Do: "send", Count: 30, Length: 8})
	in.do(Request{Do: "receive", Count: 5, Brief: true})
	for range 2 { // and dies with them again
		in.do(Request{Do: "receive", Count: 2, Brief: true, Keep: true})
		r.full(l, 11)
		in.die()
		in = r.again(s)
	}
	a := in.do(Request{Do: "receive", Count: 25, Brief: true, WithinMS: 20000})
	good(r, "send", wait(r, "send", sending))
	if a.First != 5 || a.Last != 29 || a.Received != 25 || !a.Ordered {
		r.Errorf("received %d, %d to %d, want 5 to 29", a.Received, a.First, a.Last)
	}
	r.wants(l, accounts{30, 0, 0})
	// The end comes again too, if the reader dies with it.
	w.do(Request{Do: "end"})
	in.do(Request{Do: "receive", Keep: true, WithinMS: 20000})
	in.die()
	w.do(Request{Do: "drain", WithinMS: 20000})
	w.do(Request{Do: "close"})
	in = r.again(s)
	if f := in.do(Request{Do: "receive", WithinMS: 20000}).Frames; len(f) != 1 || f[0].Flags != channel.EndOfStream {
		r.Errorf("received %+v, want the end", f)
	}
	r.wants(l, accounts{30, 0, 0})
}

// skipped: a frame with which the reader has died three times is given up.
func skipped(r *run) {
	s := r.spec(channel.Block, 64, 4)
	s.Readers[0].Retry = true
	l, in := r.expected(s)
	w := r.writer(r.h.Writer(r.T), s)
	sending := w.start(Request{Do: "send", Count: 20, Length: 8})
	in.do(Request{Do: "receive", Count: 3, Brief: true})
	for range 3 {
		a := in.do(Request{Do: "receive", Brief: true, Keep: true, WithinMS: 20000})
		if a.First != 3 || a.Received != 1 {
			r.Errorf("received %d from %d, want frame 3", a.Received, a.First)
		}
		in.die()
		in = r.again(s)
	}
	a := in.do(Request{Do: "receive", Count: 16, Brief: true, WithinMS: 20000})
	good(r, "send", wait(r, "send", sending))
	if a.First != 4 || a.Last != 19 || a.Received != 16 {
		r.Errorf("received %d, %d to %d, want 4 to 19", a.Received, a.First, a.Last)
	}
	r.wants(l, accounts{19, 1, 0})
}

// givenUp: a writer that waits for a reader to come back goes on when it will
// not.
func givenUp(r *run) {
	s := r.spec(channel.Block, 64, 2)
	l, in := r.expected(s)
	w := r.writer(r.h.Writer(r.T), s)
	sending := w.start(Request{Do: "send", Count: 10, Length: 8})
	r.full(l, 2)
	in.die()
	r.full(l, 2)
	l.Slot(0).Expected().Store(0)
	if a := good(r, "send", wait(r, "send", sending)); a.Sent != 10 {
		r.Errorf("%d sent, want 10", a.Sent)
	}
	w.do(Request{Do: "end"})
	w.do(Request{Do: "drain", WithinMS: 10000})
}

// anyMoment: whenever an end dies, every frame is counted once.
func anyMoment(r *run) {
	for _, retry := range []bool{false, true} {
		s := r.spec(channel.Block, 64, 4)
		s.Readers[0].Retry = retry
		l, in := r.expected(s)
		w := r.writer(r.h.Writer(r.T), s)
		for range 3 {
			w.start(Request{Do: "send", Count: 1000000, Length: 8, GapUS: 50})
			in.start(Request{Do: "receive", Count: 1000000, Brief: true})
			time.Sleep(rand.N(100 * time.Millisecond))
			in.die()
			in = r.again(s)
			in.start(Request{Do: "receive", Count: 1000000, Brief: true})
			time.Sleep(rand.N(100 * time.Millisecond))
			w.die()
			w = r.writer(r.h.Writer(r.T), s)
		}
		w.do(Request{Do: "send", Count: 3, Length: 8})
		w.do(Request{Do: "end"})
		w.do(Request{Do: "drain", WithinMS: 20000})
		c := l.Slot(0)
		if sent, counted := l.Frames(), c.Received().Load()+c.Dropped().Load(); sent != counted || c.Received().Load() < sent/2 {
			r.Errorf("retry %v: %d frames sent, %d received, %d dropped", retry, sent, c.Received().Load(), c.Dropped().Load())
		}
	}
}

// comebacks are the cases in which an end dies and comes back.
func comebacks() []testCase {
	return []testCase{
		{"reader comes back", readerBack},
		{"reader comes back at the end", readerBackAtEnd},
		{"writer comes back", writerBack},
		{"end that was not sent", endUnsent},
		{"retried", retried},
		{"skipped", skipped},
		{"given up", givenUp},
		{"any moment", anyMoment},
	}
}
