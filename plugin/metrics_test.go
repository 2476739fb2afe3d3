package plugin_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/medianode/docker-medianode/runtime"
)

// metricsNodes are a source that has sent all long before it ends, which no other
// session is to wait for, and a node that takes its time and does not come to itself
// from one frame.
const metricsNodes = `import os, time
from medianode import Frame, Node

class Some(Node):
    concurrent = True
    def produce(self):
        for i in range(200):
            yield Frame.from_text(str(i))
        while not self.stopping:
            time.sleep(0.02)

class Echo(Node):
    def process(self, frame):
        time.sleep(0.001)
        if frame.text == "20" and not os.path.exists("/tmp/died"):
            open("/tmp/died", "w").close()
            os.abort()
        return frame
`

func metricsStage(t *testing.T, name string) *stage {
	t.Helper()
	s := newStage(t, name, "sessions: 2\n"+strings.Replace(strings.ReplaceAll(chain("Some", "Echo"), "app:", "observed:"),
		"docker: {", "docker: {restart: {policy: on-failure}, ", 2))
	s.write("nodes/observed.py", metricsNodes)
	return s
}

var metricsAt = regexp.MustCompile(`metrics: (http://\S+)`)

func scrape(url string) (map[string]*dto.MetricFamily, error) {
	got, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(got.Body)
}

// value is the figure of the only series that has all these label values.
func value(t *testing.T, all map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	found, v := 0, math.NaN()
	for _, m := range all[name].GetMetric() {
		var text strings.Builder
		for _, l := range m.GetLabel() {
			fmt.Fprintf(&text, "%s=%s,", l.GetName(), l.GetValue())
		}
		missing := false
		for _, l := range labels {
			missing = missing || !strings.Contains(text.String(), l+",")
		}
		if !missing {
			found, v = found+1, m.GetCounter().GetValue()+m.GetGauge().GetValue()+float64(m.GetHistogram().GetSampleCount())
		}
	}
	if found != 1 {
		t.Errorf("%s %v: %d series", name, labels, found)
	}
	return v
}

// What is served is what the report says.
func TestMetrics(t *testing.T) {
	s := metricsStage(t, "metrics")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.up("--metrics", taken.Addr().String()).is(t, 1, "--metrics "+taken.Addr().String()+": the address is in use: choose another port, or 0 for a free one")
	s.up("--metrics", "many").is(t, 2, "--metrics many: want a port, or an address with a port, as in 9464 or 0.0.0.0:9464")

	p := s.start("docker-medianode", "up", "--format", "json", "--metrics", "0")
	p.says("metrics: http://127.0.0.1:")
	url := metricsAt.FindStringSubmatch(p.said().stderr)[1]
	var all map[string]*dto.MetricFamily
	p.until("every frame has come", func() bool {
		var err error
		if all, err = scrape(url); err != nil {
			return false
		}
		if all["medianode_connection_frames_total"] == nil {
			return false
		}
		labels := []string{"session=main", "from=src.output", "to=mid.input"}
		return value(t, all, "medianode_connection_frames_total", labels...)+value(t, all, "medianode_connection_dropped_frames_total", labels...) == 200
	})
	time.Sleep(time.Second) // for what comes last, and a sample of memory
	if all, err = scrape(url); err != nil {
		t.Fatal(err)
	}
	body, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Body.Close()
	if problems, err := promlint.New(body.Body).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	p.interrupt()
	r := p.end(stopLimit)
	r.is(t, 130)
	if _, err := scrape(url); err == nil {
		t.Error("figures are still served")
	}
	var report runtime.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	for _, c := range report.Connections {
		for name, want := range map[string]float64{
			"frames_total": float64(c.Frames), "bytes_total": float64(c.Bytes), "dropped_frames_total": float64(c.Dropped),
			"given_up_frames_total": float64(c.GivenUp), "unfinished_frames_total": float64(c.Unfinished),
			"latency_seconds": float64(c.Frames), "blocked_seconds_total": c.BlockedS, "queue_frames": 0, "queue_capacity_frames": 8,
		} {
			if got := value(t, all, "medianode_connection_"+name, "project="+s.project, "session=main", "from="+c.From, "to="+c.To); got != want {
				t.Errorf("%s → %s: %s is %v, the report has %v", c.From, c.To, name, got, want)
			}
		}
	}
	for _, n := range report.Nodes {
		if got := value(t, all, "medianode_node_restarts_total", "node="+n.Node); got != float64(n.Restarts) || n.Node == "mid" && got != 1 {
			t.Errorf("%s: %v restarts, the report has %d", n.Node, got, n.Restarts)
		}
		if got := value(t, all, "medianode_node_up", "node="+n.Node); got != 1 {
			t.Errorf("%s: up is %v", n.Node, got)
		}
		if !n.Container {
			continue
		}
		u := n.Usage
		if got := value(t, all, "medianode_node_memory_limit_bytes", "node="+n.Node); got != float64(u.Limit) {
			t.Errorf("%s: limit %v, the report has %d", n.Node, got, u.Limit)
		}
		if got := value(t, all, "medianode_node_cpu_seconds_total", "node="+n.Node); got <= 0 || got > u.CPUS {
			t.Errorf("%s: %v s of CPU, at the end %v", n.Node, got, u.CPUS)
		}
		if got := value(t, all, "medianode_node_memory_bytes", "node="+n.Node); got <= 0 || got > float64(u.MemoryMost) {
			t.Errorf("%s: %v bytes, at most %d", n.Node, got, u.MemoryMost)
		}
	}
}

// Two first ones may be given the same address: none of them is refused while both
// build, and the one that supervises serves.
func TestMetricsOfTwoFirstOnes(t *testing.T) {
	s := manySessions(t, "metricstwo")
	s.write("pipeline.yaml", strings.Replace(s.read("pipeline.yaml"), "source: ./nodes",
		`source: ./nodes, python_packages: ["six; platform_release != '`+s.project+`'"]`, 1))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	first := s.start("docker-medianode", "up", "--progress", "plain", "--metrics", address)
	first.says("pip install")
	second := s.start("docker-medianode", "up", "--session", "two", "--set", "out.path=two.txt", "--metrics", address)
	first.flows(s, "main.txt")
	second.flows(s, "two.txt")
	all, err := scrape("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	if n := value(t, all, "medianode_sessions", "project="+s.project); n != 2 {
		t.Errorf("%v sessions, want 2", n)
	}
	if n := strings.Count(first.said().stderr+second.said().stderr, "metrics:"); n != 1 {
		t.Errorf("%d of two serve: %s\n%s", n, first.said(), second.said())
	}
	for _, p := range []*process{first, second} {
		p.interrupt()
		p.end(stopLimit).is(t, 130)
	}
}

// Of two sessions that were given the same address one serves, and the other
// where it takes over.
func TestMetricsAfterTakeover(t *testing.T) {
	s := metricsStage(t, "metricsheir")
	p := s.start("docker-medianode", "up", "--metrics", "0")
	p.says("metrics: ")
	p.flows(s, "out.txt")
	url := metricsAt.FindStringSubmatch(p.said().stderr)[1]
	heir := s.start("docker-medianode", "run", "--set", "out.path=two.txt", "--metrics", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/metrics"))
	heir.flows(s, "two.txt")
	sessions := func() float64 {
		all, err := scrape(url)
		if err != nil {
			return -1
		}
		return value(t, all, "medianode_sessions", "project="+s.project)
	}
	if n := sessions(); n != 2 {
		t.Errorf("%v sessions, want 2", n)
	}
	if heir := heir.said(); strings.Contains(heir.stderr, "metrics:") {
		t.Errorf("it serves although another does: %s", heir)
	}
	p.signal(syscall.SIGKILL)
	p.end(stopLimit)
	heir.says("metrics: " + url)
	if n := sessions(); n != 1 {
		t.Errorf("%v sessions, want 1", n)
	}
	heir.interrupt()
	heir.end(stopLimit).is(t, 130)
}
