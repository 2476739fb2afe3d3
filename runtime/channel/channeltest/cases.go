package channeltest

import (
	"strconv"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func order(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 4))
	received := in.start(Request{Do: "receive", Count: 1000, Brief: true})
	w.do(Request{Do: "send", Count: 1000, Length: 64})
	a := good(r, "receive", wait(r, "receive", received))
	if a.Received != 1000 || a.First != 0 || a.Last != 999 || !a.Ordered {
		r.Errorf("received %d, %d to %d, ordered %v", a.Received, a.First, a.Last, a.Ordered)
	}
	c := w.do(Request{Do: "counters"}).Counters
	want := SlotCounters{State: channel.Attached, Next: 1000, Received: 1000, Bytes: 64000}
	if c.Next != 1000 || c.Bytes != 64000 || c.Slots[0] != want {
		r.Errorf("ledger %+v, want 1000 frames of 64 bytes, reader %+v", c, want)
	}
}

func sizes(r *run) {
	w, in := r.pair(r.spec(channel.Block, 25<<20, 1))
	for i, n := range []int{0, 1, 127, 4095, 4096, 4097, 1 << 20, 25 << 20} {
		w.do(Request{Do: "send", Length: n, Seed: 7 * i})
		f := in.do(Request{Do: "receive", WithinMS: 10000}).Frames
		if len(f) != 1 || f[0].Length != n || f[0].CRC32 != CRC32(n, 7*i) {
			r.Errorf("sent %d bytes with sum %d, received %+v", n, CRC32(n, 7*i), f)
		}
	}
}

func kinds(r *run) {
	w, in := r.pair(r.spec(channel.Block, 1<<16, 4))
	for _, k := range Kinds() {
		length := k.Length
		w.do(Request{Do: "send", Length: length, Seed: 3, Frame: &k})
		got := in.do(Request{Do: "receive", WithinMS: 10000}).Frames
		if len(got) != 1 {
			r.Errorf("%s: received %d frames", k.Kind, len(got))
			continue
		}
		k.CRC32, k.Sequence = CRC32(length, 3), got[0].Sequence
		if g, w := Text(got[0]), Text(k); g != w {
			r.Errorf("received %s, want %s", g, w)
		}
	}
}

func twoReaders(r *run) {
	s := r.spec(channel.Block, 64, 2, 8)
	r.create(s)
	readers := r.h.Reader(r.T)
	a, b := r.reader(readers, s, 0), r.reader(readers, s, 1)
	w := r.writer(r.h.Writer(r.T), s)
	both := []<-chan Answer{
		a.start(Request{Do: "receive", Count: 100, Brief: true}),
		b.start(Request{Do: "receive", Count: 200, Brief: true}),
	}
	w.do(Request{Do: "send", Count: 100, Length: 8})
	if n := good(r, "receive", wait(r, "receive", both[0])).Received; n != 100 {
		r.Errorf("first reader received %d", n)
	}
	a.do(Request{Do: "close"}) // the other goes on
	w.do(Request{Do: "send", Count: 100, Length: 8, WithinMS: 30000})
	if n := good(r, "receive", wait(r, "receive", both[1])).Received; n != 200 {
		r.Errorf("second reader received %d", n)
	}
	if w.do(Request{Do: "alive", Slot: 0}).Alive || !w.do(Request{Do: "alive", Slot: 1}).Alive {
		r.Error("reader 0 alive or reader 1 dead")
	}
}

func closing(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 4))
	w.do(Request{Do: "send", Count: 2, Length: 8})
	in.do(Request{Do: "receive", Keep: true})
	w.do(Request{Do: "loan", Length: 8})
	for _, e := range []end{w, in} {
		e.do(Request{Do: "close"})
		e.do(Request{Do: "close"})
	}
	w.fails("closed", Request{Do: "send", Length: 8})
	w.fails("closed", Request{Do: "loan", Length: 8})
	in.fails("closed", Request{Do: "receive"})
	// What is out stays good until it is ended.
	in.do(Request{Do: "release"})
	w.do(Request{Do: "discard"})
}

func closeEndsWaiting(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 1))
	receiving := in.start(Request{Do: "receive", Count: 2, Keep: true})
	w.do(Request{Do: "send", Length: 8})
	r.until("first frame", func() bool { return in.slot().Received == 1 })
	in.do(Request{Do: "close"})
	if a := wait(r, "receive", receiving); a.Kind != "closed" {
		r.Errorf("receive: %q (%s), want closed", a.Kind, a.Error)
	}

	w, in = r.pair(r.spec(channel.Block, 64, 1))
	sending := w.start(Request{Do: "send", Count: 3, Length: 8})
	r.until("full queue", func() bool { return in.do(Request{Do: "counters"}).Counters.Next == 1 })
	time.Sleep(20 * time.Millisecond)
	w.do(Request{Do: "close"})
	if a := wait(r, "send", sending); a.Kind != "closed" || a.Sent != 1 {
		r.Errorf("send: %d sent, %q (%s), want 1, closed", a.Sent, a.Kind, a.Error)
	}
}

func secondEnds(r *run) {
	s := r.spec(channel.Block, 64, 1)
	w, in := r.pair(s)
	for _, again := range []struct {
		end
		do string
	}{{w, "publisher"}, {in, "subscriber"}} {
		q := Request{Do: again.do, Ports: []string{again.port + "2"}, Spec: &s}
		if a := again.call(q); a.Kind != "other" {
			r.Errorf("second %s: %q (%s), want an error", again.do, a.Kind, a.Error)
		}
	}
	w.do(Request{Do: "send", Length: 8})
	in.do(Request{Do: "receive"})
}

func writerAgain(r *run) {
	s := r.spec(channel.Block, 64, 4)
	w, in := r.pair(s)
	w.do(Request{Do: "send", Count: 3, Length: 8})
	in.do(Request{Do: "receive", Count: 3})
	w.do(Request{Do: "close"})
	again := end{r, w.w, w.port + "again"}
	again.do(Request{Do: "publisher", Spec: &s})
	again.do(Request{Do: "send", Count: 2, Length: 8})
	a := in.do(Request{Do: "receive", Count: 2, Brief: true, WithinMS: 10000})
	if a.First != 3 || a.Last != 4 {
		r.Errorf("received %d to %d, want 3 to 4", a.First, a.Last)
	}
	if got := in.slot().Dropped; got != 0 {
		r.Errorf("%d dropped", got)
	}
}

func slowReader(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 2))
	received := in.start(Request{Do: "receive", Count: 60, Brief: true, GapUS: 3000})
	w.do(Request{Do: "send", Count: 60, Length: 64})
	a := good(r, "receive", wait(r, "receive", received))
	if a.Received != 60 || !a.Ordered || in.slot().Dropped != 0 {
		r.Errorf("received %d, ordered %v, ledger %+v", a.Received, a.Ordered, in.slot())
	}
	blocked := time.Duration(w.do(Request{Do: "counters"}).Counters.BlockedNS)
	if blocked < 100*time.Millisecond {
		r.Errorf("blocked for %v, want most of 180ms", blocked)
	}
}

func ticking(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 1))
	for what, e := range map[string]end{"send": w, "receive": in} {
		doing := e.start(Request{Do: what, Count: 3, Length: 8, WithinMS: 300})
		time.Sleep(50 * time.Millisecond)
		before := e.w.Do(r, Request{Do: "ticks"}).Ticks
		time.Sleep(150 * time.Millisecond)
		if n := e.w.Do(r, Request{Do: "ticks"}).Ticks - before; n < 5 {
			r.Errorf("%d ticks of 1 ms in 150 ms of waiting in %s", n, what)
		}
		wait(r, what, doing)
	}
}

func dropOldest(r *run) {
	w, in := r.pair(r.spec(channel.DropOldest, 64, 4))
	received := in.start(Request{Do: "receive", Count: 2000, Brief: true, GapUS: 500})
	for range 10 { // faster than any reader, and slower
		w.do(Request{Do: "send", Count: 100, Length: 8})
		time.Sleep(10 * time.Millisecond)
	}
	w.do(Request{Do: "end"})
	a := good(r, "receive", wait(r, "receive", received))
	c := in.slot()
	if !a.Ended || !a.Ordered || uint64(a.Received) != c.Received || c.Received+c.Dropped != 1000 || c.Dropped == 0 {
		r.Errorf("received %d, ended %v, ordered %v, ledger %+v, want 1000 in all", a.Received, a.Ended, a.Ordered, c)
	}
	if n := w.do(Request{Do: "counters"}).Counters.BlockedNS; n != 0 {
		r.Errorf("writer blocked for %d ns", n)
	}
}

func bothPolicies(r *run) {
	blocking, dropping := r.spec(channel.Block, 64, 2), r.spec(channel.DropOldest, 64, 2)
	r.create(blocking)
	r.create(dropping)
	readers := r.h.Reader(r.T)
	a, b := r.reader(readers, blocking, 0), r.reader(readers, dropping, 0)
	writer := r.h.Writer(r.T)
	w, lossy := r.writer(writer, blocking), r.writer(writer, dropping)
	// The dropping reader reads nothing until all is sent.
	received := a.start(Request{Do: "receive", Count: 300, Brief: true, GapUS: 200})
	w.do(Request{Do: "send", Ports: []string{lossy.port, w.port}, Count: 300, Length: 8, WithinMS: 30000})
	if n := good(r, "receive", wait(r, "receive", received)).Received; n != 300 || a.slot().Dropped != 0 {
		r.Errorf("blocking reader received %d, ledger %+v", n, a.slot())
	}
	lossy.do(Request{Do: "end"})
	b.do(Request{Do: "receive", Count: 300, Brief: true, WithinMS: 10000})
	if c := b.slot(); c.Received+c.Dropped != 300 || c.Received != 1 {
		r.Errorf("dropping reader: ledger %+v, want 1 received beside the end, 299 dropped", c)
	}
}

func tooLarge(r *run) {
	w, _ := r.pair(r.spec(channel.Block, 1000, 1))
	w.fails("too_large", Request{Do: "send", Length: 1001}, strconv.Itoa(1000), strconv.Itoa(1001))
	w.do(Request{Do: "send", Length: 1000})
}
