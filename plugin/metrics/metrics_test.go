package metrics

import (
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/medianode/docker-medianode/runtime"
)

func totals() runtime.Totals {
	k := runtime.ConnectionTotals{
		Session: "main", From: "src.output", To: "mid.input", Frames: 300, Bytes: 9000, Dropped: 5, GivenUp: 2, Unfinished: 1, Depth: 3, Capacity: 8, Blocked: 1500 * time.Millisecond,
	}
	k.Latencies[0], k.Latencies[20], k.Latencies[127] = 100, 198, 2
	return runtime.Totals{
		Sessions: []runtime.SessionTotals{{Session: "main", Started: time.UnixMilli(1500)}, {Session: "opening"}},
		Nodes: []runtime.NodeTotals{
			{
				Node: "mid", Container: true, NodeState: runtime.NodeState{State: runtime.StateRunning, Restarts: 2},
				Usage: &runtime.Usage{CPUS: 1.5, Memory: 90, Frames: 30, Limit: 100, Periods: 110, Held: 15, ThrottledS: 0.5},
			},
			{Node: "dead", Container: true, NodeState: runtime.NodeState{State: runtime.StateRestarting, Restarts: 1}},
			{Node: "out"},
		},
		Connections: []runtime.ConnectionTotals{k},
	}
}

// scrape is what a Prometheus would read.
func scrape(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	got, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(got.Body)
	if err != nil || got.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", got.Status, err)
	}
	return all
}

// find is the series of a name that has these labels.
func find(t *testing.T, all map[string]*dto.MetricFamily, name string, labels map[string]string) *dto.Metric {
	t.Helper()
	for _, m := range all[name].GetMetric() {
		left := len(labels)
		for _, l := range m.GetLabel() {
			if labels[l.GetName()] == l.GetValue() {
				left--
			}
		}
		if left == 0 {
			return m
		}
	}
	return nil
}

func TestScrape(t *testing.T) {
	server, err := Listen("127.0.0.1:0", NewCollector("p", totals))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	all := scrape(t, server.URL())
	mid, k := map[string]string{"project": "p", "node": "mid"}, map[string]string{"project": "p", "session": "main", "from": "src.output", "to": "mid.input"}
	for _, want := range []struct {
		name   string
		labels map[string]string
		value  float64
	}{
		{"medianode_sessions", map[string]string{"project": "p"}, 2},
		{"medianode_session_start_time_seconds", map[string]string{"session": "main"}, 1.5},
		{"medianode_node_up", mid, 1},
		{"medianode_node_up", map[string]string{"node": "dead"}, 0},
		{"medianode_node_state", map[string]string{"node": "mid", "state": "running"}, 1},
		{"medianode_node_state", map[string]string{"node": "mid", "state": "failed"}, 0},
		{"medianode_node_restarts_total", mid, 2},
		{"medianode_node_cpu_seconds_total", mid, 1.5},
		{"medianode_node_cpu_periods_total", mid, 110},
		{"medianode_node_cpu_throttled_periods_total", mid, 15},
		{"medianode_node_cpu_throttled_seconds_total", mid, 0.5},
		{"medianode_node_memory_bytes", mid, 90},
		{"medianode_node_memory_frames_bytes", mid, 30},
		{"medianode_node_memory_limit_bytes", mid, 100},
		{"medianode_connection_frames_total", k, 300},
		{"medianode_connection_bytes_total", k, 9000},
		{"medianode_connection_dropped_frames_total", k, 5},
		{"medianode_connection_given_up_frames_total", k, 2},
		{"medianode_connection_unfinished_frames_total", k, 1},
		{"medianode_connection_blocked_seconds_total", k, 1.5},
		{"medianode_connection_queue_frames", k, 3},
		{"medianode_connection_queue_capacity_frames", k, 8},
	} {
		m := find(t, all, want.name, want.labels)
		if got := m.GetGauge().GetValue() + m.GetCounter().GetValue(); m == nil || got != want.value {
			t.Errorf("%s %v: got %v, want %v", want.name, want.labels, got, want.value)
		}
	}
	for name, labels := range map[string]map[string]string{
		"medianode_session_start_time_seconds": {"session": "opening"}, // of which nothing is known
		"medianode_node_up":                    {"node": "out"},
		"medianode_node_cpu_seconds_total":     {"node": "dead"},
	} {
		if find(t, all, name, labels) != nil {
			t.Errorf("%s %v is there", name, labels)
		}
	}
	// 100 up to 256 ns, 198 around 7.7 µs, 2 beyond all bounds.
	h := find(t, all, "medianode_connection_latency_seconds", k).GetHistogram()
	if h.GetSampleCount() != 300 || len(h.GetBucket()) != 26 {
		t.Fatalf("histogram: %v", h)
	}
	for _, b := range h.GetBucket() {
		want := uint64(298)
		switch bound := b.GetUpperBound(); {
		case bound < 7e-6:
			want = 100
		case math.IsInf(bound, 1):
			want = 300
		}
		if b.GetCumulativeCount() != want {
			t.Errorf("up to %v: got %d, want %d", b.GetUpperBound(), b.GetCumulativeCount(), want)
		}
	}
	if all["process_resident_memory_bytes"] == nil {
		t.Error("nothing of the process")
	}
}

func TestLint(t *testing.T) {
	server, err := Listen("127.0.0.1:0", NewCollector("p", totals))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	got, err := http.Get(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer got.Body.Close()
	problems, err := promlint.New(got.Body).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"9464": "127.0.0.1:9464", ":9464": "127.0.0.1:9464", "0": "127.0.0.1:0", "0.0.0.0:1": "0.0.0.0:1", "[::]:9464": "[::]:9464", "localhost:80": "localhost:80",
		"": "", "x": "", "host:": "", ":": "", "65536": "", "-1": "", "+1": "", "09": "", "::1": "", "host:http": "", "http://host:1": "",
	} {
		got, err := Address(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, err)
		}
	}
}

func TestListen(t *testing.T) {
	looks := atomic.Int32{}
	hold := make(chan struct{})
	look := func() runtime.Totals {
		if looks.Add(1) > 1 {
			<-hold
		}
		return runtime.Totals{}
	}
	server, err := Listen("127.0.0.1:0", NewCollector("p", look))
	if err != nil {
		t.Fatal(err)
	}
	if looks.Load() != 0 {
		t.Error("a look without a scrape")
	}
	if m := find(t, scrape(t, server.URL()), "medianode_sessions", nil); m.GetGauge().GetValue() != 0 {
		t.Errorf("got %v", m)
	}
	address := strings.TrimSuffix(strings.TrimPrefix(server.URL(), "http://"), "/metrics")
	if _, err := Listen(address); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("an address in use: %v", err)
	}
	codes := make(chan int, inFlight+1)
	var wait sync.WaitGroup
	get := func() {
		if got, err := http.Get(server.URL()); err == nil {
			_, _ = io.Copy(io.Discard, got.Body)
			got.Body.Close()
			codes <- got.StatusCode
		}
	}
	for range inFlight {
		wait.Go(get)
	}
	for looks.Load() < 1+inFlight {
		time.Sleep(time.Millisecond)
	}
	get()
	if code := <-codes; code != http.StatusServiceUnavailable {
		t.Errorf("one scrape too many: %d", code)
	}
	close(hold)
	wait.Wait()
	for range inFlight {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a scrape: %d", code)
		}
	}
	if got, err := http.Get(server.URL()[:len(server.URL())-1]); err != nil || got.StatusCode != http.StatusNotFound {
		t.Errorf("%v, %v", got, err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	again, err := Listen(address, NewCollector("p", totals))
	if err != nil {
		t.Fatalf("after Close: %v", err)
	}
	_ = again.Close()
}
