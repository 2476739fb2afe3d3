// Package tracing tells an OpenTelemetry collector what a command did and how long
// it took, where the variables of the OpenTelemetry specification ask for it.
//
// Providers are the command's own, not OpenTelemetry's global ones: those are the
// Docker CLI's, which sends its own figures to an endpoint of its own
// (DOCKER_CLI_OTEL_EXPORTER_OTLP_ENDPOINT).
package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const scope = "github.com/medianode/docker-medianode"

// flushTime is how long the end of a command waits for a collector.
const flushTime = 3 * time.Second

// Traces are where spans go; those of Off go nowhere.
type Traces struct {
	trace.Tracer

	provider *sdktrace.TracerProvider // nil: off
	exporter *watched
}

// Off is for a command whose spans nobody wants.
func Off() *Traces { return &Traces{Tracer: noop.NewTracerProvider().Tracer(scope)} }

// settings are what the variables ask for.
type settings struct {
	on       bool
	protocol string // http/protobuf, grpc
}

// read understands the variables that choose an exporter; what is sent where, and
// how, is for the exporter, which reads its own.
func read(getenv func(string) string) (settings, error) {
	endpoint := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
	exporter := strings.TrimSpace(getenv("OTEL_TRACES_EXPORTER"))
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") || exporter == "none" || exporter == "" && endpoint == "" {
		return settings{}, nil
	}
	if exporter != "" && exporter != "otlp" {
		return settings{}, fmt.Errorf("OTEL_TRACES_EXPORTER=%s: want otlp or none", exporter)
	}
	protocol := cmp.Or(getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), getenv("OTEL_EXPORTER_OTLP_PROTOCOL"), "http/protobuf")
	if protocol != "http/protobuf" && protocol != "grpc" {
		return settings{}, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s: want http/protobuf or grpc", protocol)
	}
	return settings{on: true, protocol: protocol}, nil
}

// FromEnv are the traces that the environment asks for; Off without an error if it
// asks for none.
func FromEnv(ctx context.Context, getenv func(string) string, version string) (*Traces, error) {
	s, err := read(getenv)
	if err != nil || !s.on {
		return Off(), err
	}
	var to sdktrace.SpanExporter
	if s.protocol == "grpc" {
		to, err = otlptracegrpc.New(ctx)
	} else {
		to, err = otlptracehttp.New(ctx)
	}
	if err != nil {
		return Off(), err
	}
	// Later ones win: the environment names the service.
	r, err := resource.New(ctx, resource.WithAttributes(semconv.ServiceName("medianode"), semconv.ServiceVersion(version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return Off(), err
	}
	w := &watched{SpanExporter: to}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(w), sdktrace.WithResource(r), sdktrace.WithIDGenerator(generator{}))
	return &Traces{Tracer: provider.Tracer(scope, trace.WithInstrumentationVersion(version)), provider: provider, exporter: w}, nil
}

// On says whether anybody wants spans.
func (t *Traces) On() bool { return t.provider != nil }

// Parent continues the trace of whoever called the command, if TRACEPARENT names it.
func Parent(ctx context.Context, getenv func(string) string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		"traceparent": getenv("TRACEPARENT"), "tracestate": getenv("TRACESTATE"),
	})
}

// Close sends what has not been sent. The error is the first of all that kept spans
// from a collector.
func (t *Traces) Close() error {
	if t.provider == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	err := t.provider.Shutdown(ctx)
	return cmp.Or(t.exporter.first(), err)
}

// watched keeps the first error of an exporter, which nobody else would hear of.
type watched struct {
	sdktrace.SpanExporter
	mu  sync.Mutex
	err error
}

// ExportSpans is SpanExporter's.
func (w *watched) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := w.SpanExporter.ExportSpans(ctx, spans)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = cmp.Or(w.err, err)
	return err
}

func (w *watched) first() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
