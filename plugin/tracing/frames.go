package tracing

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Frame sends what a node did with a sampled frame: the frame's trace id is that of
// the trace, whose first span is the frame at its source. run is the span of the
// session, which that one links to.
func (t *Traces) Frame(run trace.SpanContext, node string, s channel.Span) {
	var id trace.TraceID
	if n, err := hex.Decode(id[:], []byte(s.Trace)); err != nil || n != len(id) || len(s.Trace) != 2*len(id) || !id.IsValid() {
		return // of a node that does not keep to it
	}
	about := []attribute.KeyValue{attribute.String("medianode.node", node), attribute.String("medianode.port", s.Port)}
	name, ctx := "frame "+node+"."+s.Port, context.WithValue(context.Background(), asked{}, ids{id, firstOf(id)})
	options := []trace.SpanStartOption{trace.WithTimestamp(wall(s.Start)), trace.WithLinks(trace.Link{SpanContext: run})}
	if s.Source != "" {
		name = "process " + node
		about = append(about, attribute.String("medianode.source", s.Source), attribute.Int64("medianode.sequence", int64(s.Sequence)),
			attribute.Float64("medianode.waited_seconds", time.Duration(s.Start-min(s.Sent, s.Start)).Seconds()))
		ctx = trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: id, SpanID: firstOf(id), TraceFlags: trace.FlagsSampled,
		}))
		options = options[:1]
	}
	_, span := t.Start(ctx, name, append(options, trace.WithAttributes(about...))...)
	end := trace.WithTimestamp(wall(max(s.Start, s.End)))
	if s.Failed {
		span.SetStatus(codes.Error, s.Message)
		span.AddEvent(semconv.ExceptionEventName, end,
			trace.WithAttributes(semconv.ExceptionMessage(s.Message), semconv.ExceptionStacktrace(s.Traceback)))
	}
	span.End(end)
}

// firstOf is the id of a trace's first span: who has the trace id knows it.
func firstOf(id trace.TraceID) (first trace.SpanID) {
	copy(first[:], id[8:])
	if !first.IsValid() {
		first[7] = 1
	}
	return first
}

// wall is the time of day of a reading of CLOCK_MONOTONIC in ns.
func wall(at uint64) time.Time {
	return time.Now().Add(-time.Duration(channel.Now() - at))
}

// asked is the key of the ids that a first span is to have.
type asked struct{}

type ids struct {
	trace trace.TraceID
	span  trace.SpanID
}

// generator gives spans ids at random, or those that are asked for.
type generator struct{}

// NewIDs is sdktrace.IDGenerator's.
func (generator) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if want, ok := ctx.Value(asked{}).(ids); ok {
		return want.trace, want.span
	}
	var id trace.TraceID
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, generator{}.NewSpanID(ctx, id)
}

// NewSpanID is sdktrace.IDGenerator's.
func (generator) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		binary.NativeEndian.PutUint64(id[:], rand.Uint64())
	}
	return id
}
