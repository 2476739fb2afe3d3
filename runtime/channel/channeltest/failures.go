package channeltest

import (
	"encoding/json"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Kinds is a frame of every kind, with a length that fits.
func Kinds() []Frame {
	trace := "0123456789abcdef0123456789abcdef"
	return []Frame{
		{Kind: "bytes", Length: 5, PTS: -7, TraceID: trace},
		{Kind: "text", Length: 11, Flags: channel.Discontinuity},
		{Kind: "json", Length: 2, PTS: 1 << 60},
		{Kind: "audio", Length: 480 * 2 * 2, Audio: &Audio{Rate: 48000, Channels: 2, Format: uint16(channel.S16)}},
		{Kind: "audio", Length: 3 * 4, Audio: &Audio{Rate: 16000, Channels: 1, Format: uint16(channel.F32)}},
		{Kind: "video", Length: 64 * 48 * 3, Video: &Video{Width: 64, Height: 48, Stride: 192, FourCC: channel.RGB24}},
		{Kind: "video", Length: 64*48 + 2*32*24, Video: &Video{Width: 64, Height: 48, Stride: 64, FourCC: channel.I420}},
		{Kind: "tensor", Length: 2 * 3 * 4, Tensor: &Tensor{Code: 2, Bits: 32, Lanes: 1, Shape: []int64{2, 3}}},
		{Kind: "tensor", Length: 8, Tensor: &Tensor{Code: 0, Bits: 64, Lanes: 1, Shape: []int64{}}},
		{Kind: "tensor", Length: 0, Tensor: &Tensor{Code: 1, Bits: 8, Lanes: 1, Shape: []int64{4, 0, 2}}},
		{Kind: "control", Length: 9},
	}
}

// Text is a frame to compare and to print.
func Text(f Frame) string {
	b, err := json.Marshal(f)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func lateReader(r *run) {
	s := r.spec(channel.Block, 64, 2)
	r.create(s)
	w := r.writer(r.h.Writer(r.T), s)
	w.do(Request{Do: "send", Count: 5, Length: 8, WithinMS: 10000}) // nobody to wait for
	in := r.reader(r.h.Reader(r.T), s, 0)
	received := in.start(Request{Do: "receive", Count: 4, Brief: true, WithinMS: 10000})
	w.do(Request{Do: "send", Count: 4, Length: 8, WithinMS: 10000})
	a := good(r, "receive", wait(r, "receive", received))
	c := in.slot()
	if a.First != 5 || a.Last != 8 || a.Received != 4 || c.Received != 4 || c.Dropped != 0 {
		r.Errorf("received %d, %d to %d, ledger %+v, want 5 to 8", a.Received, a.First, a.Last, c)
	}
}

func held(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 4)) // hold 2
	w.do(Request{Do: "send", Count: 2, Length: 8})
	in.do(Request{Do: "receive", Count: 2, Keep: true})
	if n := in.do(Request{Do: "receive", WithinMS: 100}).Frames; len(n) != 0 {
		r.Errorf("received %d frames that were not sent", len(n))
	}
	w.do(Request{Do: "send", Length: 8})
	in.fails("held", Request{Do: "receive", WithinMS: 10000})
	in.fails("released", Request{Do: "release", Count: 1, Again: true})
	if f := in.do(Request{Do: "receive", WithinMS: 10000}).Frames; len(f) != 1 || f[0].Sequence != 2 {
		r.Errorf("after release: received %+v, want frame 2", f)
	}
	in.do(Request{Do: "release"})
}

func loaned(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 4)) // loans 2
	w.do(Request{Do: "loan", Count: 2, Length: 8})
	w.fails("loaned", Request{Do: "loan", Length: 8})
	w.fails("released", Request{Do: "discard", Again: true})
	w.do(Request{Do: "send", Length: 8})
	if f := in.do(Request{Do: "receive", WithinMS: 10000}).Frames; len(f) != 1 || f[0].Sequence != 0 {
		r.Errorf("received %+v, want frame 0: loans that are not sent have no sequence", f)
	}
}

func endAndDrain(r *run) {
	for _, failed := range []bool{false, true} {
		w, in := r.pair(r.spec(channel.Block, 64, 4))
		w.do(Request{Do: "send", Count: 3, Length: 8})
		w.do(Request{Do: "end", Failed: failed})
		w.fails("timeout", Request{Do: "drain", WithinMS: 100})
		draining := w.start(Request{Do: "drain"})
		f := in.do(Request{Do: "receive", Count: 10, WithinMS: 10000}).Frames
		flags, want := channel.EndOfStream, channel.EndedWell
		if failed {
			flags, want = flags|channel.Failed, channel.EndedFailed
		}
		if len(f) != 4 || f[3].Kind != "control" || f[3].Flags != flags || f[3].Length != 0 {
			r.Fatalf("received %+v, want 3 frames and an end with flags %d", f, flags)
		}
		good(r, "drain", wait(r, "drain", draining))
		w.do(Request{Do: "close"})
		c := in.do(Request{Do: "counters"}).Counters
		if c.Ended != want || c.Next != 4 || c.Slots[0].Received != 3 || c.Slots[0].Dropped != 0 {
			r.Errorf("ledger %+v", c)
		}
		if in.do(Request{Do: "alive"}).Alive {
			r.Error("the writer is closed and alive")
		}
	}
}

func corrupt(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 4))
	for i, what := range []string{"version", "kind", "audio", "video", "tensor", "sequence"} {
		w.do(Request{Do: "corrupt", What: what})
		w.do(Request{Do: "send", Length: 3})
		a := in.call(Request{Do: "receive", WithinMS: 10000})
		if a.Kind != "corrupt" || len(a.Frames) != 1 || a.Frames[0].Sequence != uint64(2*i+1) {
			r.Errorf("%s: %q (%s), frames %+v, want corrupt and frame %d", what, a.Kind, a.Error, a.Frames, 2*i+1)
		}
		if c := in.slot(); c.Received != uint64(i+1) || c.Dropped != uint64(i+1) {
			r.Errorf("%s: ledger %+v, want %d received and dropped", what, c, i+1)
		}
	}
}

func readerKilled(r *run) {
	w, in := r.pair(r.spec(channel.Block, 64, 2))
	if in.w.Kill == nil {
		r.Skip("this reader is no process of its own")
	}
	sending := w.start(Request{Do: "send", Count: 10, Length: 8})
	r.until("full queue", func() bool { return w.do(Request{Do: "counters"}).Counters.Next == 2 })
	time.Sleep(100 * time.Millisecond)
	began := time.Now()
	in.w.Kill()
	a := good(r, "send", wait(r, "send", sending))
	if took := time.Since(began); a.Sent != 10 || took > time.Second {
		r.Errorf("%d sent %v after the reader's death, want 10 within 1s", a.Sent, took)
	}
	if w.do(Request{Do: "alive"}).Alive {
		r.Error("the reader is killed and alive")
	}
	r.clean()
}

func writerKilled(r *run) {
	s := r.spec(channel.Block, 64, 4)
	w, in := r.pair(s)
	if w.w.Kill == nil {
		r.Skip("this writer is no process of its own")
	}
	w.do(Request{Do: "send", Count: 3, Length: 8})
	if !in.do(Request{Do: "alive"}).Alive {
		r.Error("the writer lives and is not alive")
	}
	w.w.Kill()
	if in.do(Request{Do: "alive"}).Alive {
		r.Error("the writer is killed and alive")
	}
	if n := in.do(Request{Do: "receive", Count: 3, Brief: true, WithinMS: 10000}).Received; n != 3 {
		r.Errorf("%d of 3 frames received of a dead writer", n)
	}
	r.clean()
	// Another one takes its place.
	w = r.writer(r.h.Writer(r.T), s)
	w.do(Request{Do: "send", Length: 8})
	f := in.do(Request{Do: "receive", WithinMS: 10000}).Frames
	if len(f) != 1 || f[0].Sequence != 3 {
		r.Errorf("received %+v, want frame 3", f)
	}
}

func (r *run) clean() {
	r.Helper()
	if _, err := r.h.Transport.Clean(); err != nil {
		r.Errorf("clean: %v", err)
	}
}
