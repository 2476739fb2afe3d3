package plugin

import (
	"context"
	"fmt"
	"os"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/plugin/tracing"
	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// trace begins the span of a command, of which those of its parts are children;
// finish ends it, and sends what is left.
func (e *env) trace(ctx context.Context, verb string) (traced context.Context, finish func(error)) {
	traces, err := tracing.FromEnv(ctx, os.Getenv, e.version)
	if err != nil {
		fmt.Fprintln(e.cli.Err(), "warning: no traces:", err)
	}
	e.traces = traces
	ctx, span := traces.Start(tracing.Parent(ctx, os.Getenv), "docker medianode "+verb)
	return ctx, func(err error) {
		span.SetAttributes(attribute.Int("process.exit.code", exitCodeOf(err)))
		finished(span, err)
		if err := traces.Close(); err != nil {
			fmt.Fprintln(e.cli.Err(), "warning: not all traces were sent:", err)
		}
	}
}

// span is a part of a command.
func (e *env) span(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, func(error)) {
	ctx, span := e.traces.Start(ctx, name, trace.WithAttributes(about...))
	return ctx, func(err error) { finished(span, err) }
}

func finished(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// tracedBuilder gives each image that is built a span.
type tracedBuilder struct {
	e    *env
	next image.Builder
}

// Build is image.Builder's.
func (b tracedBuilder) Build(ctx context.Context, img generate.Image) (image.ID, error) {
	ctx, end := b.e.span(ctx, "build "+img.Node, attribute.String("medianode.node", img.Node), attribute.String("medianode.image", img.Ref))
	id, err := b.next.Build(ctx, img)
	end(err)
	return id, err
}

// phases are those of a session, one after the other: create and start, or open; run;
// stop. What the nodes do meanwhile are events of them. A nil *phases notes nothing.
type phases struct {
	e   *env
	ctx context.Context

	mu   sync.Mutex
	name string
	span trace.Span // nil before the first one
	over bool
}

// tracePhases traces a verb whose session goes through phases, until finish.
func (e *env) tracePhases(ctx context.Context, verb string, o *upOptions) (_ context.Context, finish func(error)) {
	ctx, done := e.trace(ctx, verb)
	o.phases = &phases{e: e, ctx: ctx}
	return ctx, func(err error) {
		o.phases.end(err)
		done(err)
	}
}

// to ends the present one and begins another.
func (p *phases) to(name string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn(name)
}

func (p *phases) turn(name string) {
	if p.name == name || p.over {
		return
	}
	if p.span != nil {
		p.span.End()
	}
	p.name = name
	_, p.span = p.e.traces.Start(p.ctx, name)
}

// note is a node's new state. The first container that runs ends the creation.
func (p *phases) note(node, state string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "create" && state == runtime.StateStarting {
		p.turn("start")
	}
	if p.span != nil {
		p.span.AddEvent(state, trace.WithAttributes(attribute.String("medianode.node", node)))
	}
}

// frame is what a node did with a sampled frame, in whatever phase.
func (p *phases) frame(node string, s channel.Span) {
	p.e.traces.Frame(trace.SpanContextFromContext(p.ctx), node, s)
}

// end ends the last one.
func (p *phases) end(err error) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.span != nil {
		finished(p.span, err)
	}
	p.over = true
}
