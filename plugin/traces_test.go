package plugin_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is an OpenTelemetry collector.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*otlp.Span
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, got *http.Request) {
		body, err := io.ReadAll(got.Body)
		var request collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(body, &request) != nil {
			t.Errorf("%s: %v", got.URL, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, resource := range request.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				r.spans = append(r.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) named(name string) []*otlp.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*otlp.Span
	for _, s := range r.spans {
		if s.GetName() == name {
			found = append(found, s)
		}
	}
	return found
}

// one is the only span of a name.
func (r *receiver) one(t *testing.T, name string) *otlp.Span {
	t.Helper()
	found := r.named(name)
	if len(found) != 1 {
		t.Fatalf("%d spans are called %s", len(found), name)
	}
	return found[0]
}

// Frames have a trace each, from their source through the nodes; a few of many.
func TestFrameTraces(t *testing.T) {
	s := newStage(t, "frametraces", chain("Paced", "Echo"))
	to := newReceiver(t)
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL)
	s.up().is(t, 0)
	up, first := to.one(t, "docker medianode up"), to.named("frame src.output")
	if len(first) < 3 || len(first) > 5 { // one a second, of three seconds
		t.Errorf("%d of 600 frames were sampled", len(first))
	}
	for _, f := range first {
		if links := f.GetLinks(); len(f.GetParentSpanId()) != 0 || len(links) != 1 || string(links[0].GetTraceId()) != string(up.GetTraceId()) {
			t.Errorf("the first span: %v", f)
		}
		last := f.GetStartTimeUnixNano()
		for _, name := range []string{"process mid", "process out"} {
			found := 0
			for _, p := range to.named(name) {
				if string(p.GetTraceId()) != string(f.GetTraceId()) {
					continue
				}
				found++
				if string(p.GetParentSpanId()) != string(f.GetSpanId()) || p.GetStartTimeUnixNano()+1e6 < last || p.GetEndTimeUnixNano() < p.GetStartTimeUnixNano() {
					t.Errorf("%v after %d", p, last)
				}
				last = p.GetStartTimeUnixNano()
			}
			if found != 1 {
				t.Errorf("%d spans of %s in trace %x", found, name, f.GetTraceId())
			}
		}
	}
}

func TestTraces(t *testing.T) {
	s := newStage(t, "traces", chain("Few", "Echo"))
	to := newReceiver(t)
	s.write("nodes/app.py", s.read("nodes/app.py")+"\n# of "+s.project+t.TempDir()+"\n") // has to be built
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+to.URL, "TRACEPARENT=00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	s.up().is(t, 0)
	up := to.one(t, "docker medianode up")
	if string(up.GetParentSpanId()) != "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7" {
		t.Errorf("parent %x", up.GetParentSpanId())
	}
	// One after the other, in the command's time.
	last := up.GetStartTimeUnixNano()
	for _, name := range []string{"parse", "resolve", "build", "create", "start", "run", "stop"} {
		part := to.one(t, name)
		if string(part.GetParentSpanId()) != string(up.GetSpanId()) || string(part.GetTraceId()) != string(up.GetTraceId()) {
			t.Errorf("%s is no child of up", name)
		}
		if part.GetStartTimeUnixNano() < last || part.GetEndTimeUnixNano() > up.GetEndTimeUnixNano() {
			t.Errorf("%s: from %d to %d, what is before it ended at %d", name, part.GetStartTimeUnixNano(), part.GetEndTimeUnixNano(), last)
		}
		last = part.GetEndTimeUnixNano()
	}
	build := to.one(t, "build")
	for _, name := range []string{"check images", "build src", "build mid"} {
		if part := to.one(t, name); string(part.GetParentSpanId()) != string(build.GetSpanId()) {
			t.Errorf("%s is no child of build", name)
		}
	}
	var ready []string
	for _, e := range to.one(t, "start").GetEvents() {
		if e.GetName() == "ready" {
			ready = append(ready, e.GetAttributes()[0].GetValue().GetStringValue())
		}
	}
	if len(ready) != 2 {
		t.Errorf("ready while it starts: %v", ready)
	}

	// What fails is marked, and no collector does not fail the command.
	s.write("nodes/app.py", "import no_such_module\n")
	s.up().is(t, 1)
	if all := to.named("docker medianode up"); len(all) != 2 || !strings.Contains(all[1].GetStatus().GetMessage(), "no_such_module") {
		t.Errorf("the second up: %v", all)
	}
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_TIMEOUT=500")
	s.write("pipeline.yaml", "version: v1\nmetadata: {name: "+s.project+"}\nnodes:\n  - {id: a, node_type: TextFileSource, params: {path: pipeline.yaml}}\n"+
		"  - {id: out, node_type: NullSink}\nconnections: [{from: a, to: out}]\n")
	s.up().is(t, 0, "warning: not all traces were sent: ")
	s.env = append(s.env, "OTEL_TRACES_EXPORTER=jaeger")
	s.up().is(t, 0, "warning: no traces: OTEL_TRACES_EXPORTER=jaeger: want otlp or none")
	s.env = append(s.env, "OTEL_TRACES_EXPORTER=none")
	if r := s.up(); r.code != 0 || strings.Contains(r.stderr, "warning") {
		t.Errorf("%s", r)
	}
}
