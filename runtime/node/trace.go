package node

import (
	"crypto/rand"
	"encoding/hex"
	"sync/atomic"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// sampleEvery is how often a source gives a frame a trace id, whatever its rate.
const sampleEvery = time.Second

// tracer notes what the node does with frames that have a trace id.
type tracer struct {
	report func(channel.Span)
	next   atomic.Uint64            // when a source samples again, by channel.Now
	cause  atomic.Pointer[[16]byte] // of the frame that was received last
}

// Trace lets the node, if it is a source, give one frame a second a trace id, and
// reports what becomes of frames that have one. To be called before the node begins;
// report may be called by any goroutine of it.
func (p *Ports) Trace(report func(channel.Span)) {
	t := &tracer{report: report}
	for _, in := range p.inputs {
		in.tracer = t
	}
	for _, out := range p.outputs {
		out.tracer, out.source = t, len(p.inputs) == 0
	}
}

// received notes a frame.
func (t *tracer) received(f *Frame) {
	if f.Header.TraceID == [16]byte{} {
		t.cause.Store(nil)
		return
	}
	id := f.Header.TraceID
	t.cause.Store(&id)
	f.began = channel.Now()
}

// released reports what was done between.
func (t *tracer) released(f Frame) {
	t.report(channel.Span{
		Trace: hex.EncodeToString(f.Header.TraceID[:]), Port: f.Port, Source: f.Source + "." + f.SourcePort,
		Sequence: f.Header.Sequence, Sent: f.Header.Sent, Start: f.began, End: channel.Now(),
	})
}

// sending gives a frame the trace id of the one that it was made of, or, of a source,
// one of its own now and then.
func (t *tracer) sending(h *channel.Header, port string, source bool) {
	if h.TraceID != [16]byte{} || h.Flags&channel.EndOfStream != 0 {
		return
	}
	if !source {
		if id := t.cause.Load(); id != nil {
			h.TraceID = *id
		}
		return
	}
	now, next := channel.Now(), t.next.Load()
	if now < next || !t.next.CompareAndSwap(next, now+uint64(sampleEvery)) {
		return
	}
	_, _ = rand.Read(h.TraceID[:]) // never fails
	t.report(channel.Span{Trace: hex.EncodeToString(h.TraceID[:]), Port: port, Start: now, End: now})
}
