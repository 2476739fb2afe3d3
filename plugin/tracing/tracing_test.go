package tracing

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func env(text string) func(string) string {
	return func(name string) string {
		for pair := range strings.FieldsSeq(text) {
			if value, ok := strings.CutPrefix(pair, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestRead(t *testing.T) {
	const http, grpc, at = "http/protobuf", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 "
	for text, want := range map[string]settings{
		"":                                      {},
		at:                                      {true, http},
		at + "OTEL_SDK_DISABLED=True":           {},
		at + "OTEL_SDK_DISABLED=no":             {true, http},
		at + "OTEL_TRACES_EXPORTER=none":        {},
		at + "OTEL_EXPORTER_OTLP_PROTOCOL=grpc": {true, grpc},
		at + "OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf": {true, http},
		"OTEL_TRACES_EXPORTER=otlp":                                    {true, http},
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/v1/traces":   {true, http},
		"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://c:4318/v1/metrics": {},
		"DOCKER_CLI_OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317":         {},
	} {
		if got, err := read(env(text)); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin":                "OTEL_TRACES_EXPORTER=zipkin: want otlp or none",
		at + "OTEL_EXPORTER_OTLP_PROTOCOL=http/json": "OTEL_EXPORTER_OTLP_PROTOCOL=http/json: want http/protobuf or grpc",
	} {
		if got, err := read(env(text)); err == nil || err.Error() != want || got.on {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

func TestOff(t *testing.T) {
	traces, err := FromEnv(t.Context(), env(""), "1")
	if err != nil || traces.On() {
		t.Fatalf("got %v, %v", traces, err)
	}
	_, span := traces.Start(t.Context(), "x")
	if span.IsRecording() {
		t.Error("a span of nobody is recorded")
	}
	if n := testing.AllocsPerRun(100, func() {
		_, span := traces.Start(t.Context(), "x")
		span.End()
	}); n > 4 {
		t.Errorf("%.0f allocations", n)
	}
	if err := traces.Close(); err != nil {
		t.Error(err)
	}
}

// listen is a collector, and what it gets.
func listen(t *testing.T) (got <-chan *collector.ExportTraceServiceRequest, url string) {
	t.Helper()
	requests := make(chan *collector.ExportTraceServiceRequest, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &request) != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
		requests <- &request
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL) // the exporter reads it itself
	return requests, server.URL
}

func TestSend(t *testing.T) {
	got, url := listen(t)
	t.Setenv("OTEL_SERVICE_NAME", "mine")
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	given := env("OTEL_EXPORTER_OTLP_ENDPOINT=" + url + " TRACEPARENT=" + parent)
	traces, err := FromEnv(t.Context(), given, "1.2")
	if err != nil || !traces.On() {
		t.Fatalf("%v, %v", traces, err)
	}
	_, span := traces.Start(Parent(t.Context(), given), "x")
	span.End()
	if err := traces.Close(); err != nil {
		t.Fatal(err)
	}
	resource := (<-got).GetResourceSpans()[0]
	attributes := map[string]string{}
	for _, a := range resource.GetResource().GetAttributes() {
		attributes[a.GetKey()] = a.GetValue().GetStringValue()
	}
	if attributes["service.name"] != "mine" || attributes["service.version"] != "1.2" {
		t.Errorf("resource: %v", attributes)
	}
	x := resource.GetScopeSpans()[0].GetSpans()[0]
	if trace := strings.Split(parent, "-"); x.GetName() != "x" || hex.EncodeToString(x.GetTraceId()) != trace[1] || hex.EncodeToString(x.GetParentSpanId()) != trace[2] {
		t.Errorf("span: %v", x)
	}
}

// A frame with which its node fails: the span's status is an error, with the exception.
func TestFrameFails(t *testing.T) {
	got, url := listen(t)
	traces, err := FromEnv(t.Context(), env("OTEL_EXPORTER_OTLP_ENDPOINT="+url), "1")
	if err != nil {
		t.Fatal(err)
	}
	s := channel.Span{Trace: strings.Repeat("7", 32), Port: "input", Source: "src.output", Start: 1, End: 2}
	traces.Frame(trace.SpanContext{}, "well", s)
	s.Failed, s.Message, s.Traceback = true, "ValueError: no", "Traceback …"
	traces.Frame(trace.SpanContext{}, "asr", s)
	if err := traces.Close(); err != nil {
		t.Fatal(err)
	}
	spans := (<-got).GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()
	if len(spans) != 2 || spans[0].GetStatus().GetCode() != otlp.Status_STATUS_CODE_UNSET || len(spans[0].GetEvents()) != 0 {
		t.Fatalf("spans: %v", spans)
	}
	if status := spans[1].GetStatus(); status.GetCode() != otlp.Status_STATUS_CODE_ERROR || status.GetMessage() != s.Message {
		t.Errorf("status: %v", status)
	}
	exception := spans[1].GetEvents()[0]
	if at := exception.GetAttributes(); exception.GetName() != "exception" || at[0].GetKey() != "exception.message" || at[0].GetValue().GetStringValue() != s.Message ||
		at[1].GetKey() != "exception.stacktrace" || at[1].GetValue().GetStringValue() != s.Traceback {
		t.Errorf("event: %v", exception)
	}
}

// A collector that is not there costs the end of the command no more than it may,
// and is told of.
func TestNobodyListens(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	traces, err := FromEnv(t.Context(), env("OTEL_EXPORTER_OTLP_ENDPOINT="+server.URL), "1")
	if err != nil {
		t.Fatal(err)
	}
	_, span := traces.Start(t.Context(), "x")
	span.End()
	began := time.Now()
	if err := traces.Close(); err == nil {
		t.Error("no error")
	} else {
		t.Log(err)
	}
	if took := time.Since(began); took > flushTime+time.Second {
		t.Errorf("took %s", took)
	}
}
