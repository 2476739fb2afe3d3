package plugin_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// envFaults is "each" for one fault at every call to the engine (10 min), "all" for
// every fault there (an hour), or the numbers of calls, with commas, for every fault at
// those; otherwise a few are tried, from the first call to the last.
const envFaults = "MEDIANODE_TEST_FAULTS"

// fault happens to one call instead of its answer.
type fault func(f *faulty, w http.ResponseWriter, r *http.Request)

// faulty is a proxy before the engine that counts calls and has a fault at one.
type faulty struct {
	host    string // for DOCKER_HOST
	to      http.RoundTripper
	forward *httputil.ReverseProxy

	mu     sync.Mutex
	calls  []string
	at     int // counts from 1
	fault  fault
	victim chan *process // who makes the calls, for the one fault of a run
	pid    int           // its process, after the run
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	host := docker(t, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	if env := os.Getenv("DOCKER_HOST"); env != "" {
		host = env
	}
	socket, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		t.Skipf("skipped: the engine is at %s", host)
	}
	dir, err := os.MkdirTemp("", "faulty") // the name of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	if err != nil {
		t.Fatal(err)
	}
	to := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	f := &faulty{host: "unix://" + l.Addr().String(), to: to}
	f.forward = &httputil.ReverseProxy{
		Transport: to, FlushInterval: -1, ErrorHandler: func(http.ResponseWriter, *http.Request, error) {},
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "engine"}) },
	}
	server := &http.Server{Handler: f}
	go func() { _ = server.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = server.Close(); to.CloseIdleConnections() })
	return f
}

var apiVersion = regexp.MustCompile(`^/v[0-9.]+`)

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.calls = append(f.calls, r.Method+" "+apiVersion.ReplaceAllString(r.URL.Path, ""))
	hit := len(f.calls) == f.at
	f.mu.Unlock()
	if hit {
		f.fault(f, w, r)
		return
	}
	f.forward.ServeHTTP(w, r)
}

// run runs a verb with a fault at call k; 0: with none. It returns what was called.
func (f *faulty) run(s *stage, k int, what fault, args ...string) (result, []string) {
	s.t.Helper()
	victim := make(chan *process, 1)
	f.mu.Lock()
	f.calls, f.at, f.fault, f.victim = nil, k, what, victim
	f.mu.Unlock()
	env := s.env
	s.env = append(slices.Clone(env), "DOCKER_HOST="+f.host)
	p := s.start("docker-medianode", args...)
	s.env = env
	victim <- p
	f.pid = p.cmd.Process.Pid
	r := p.end(2 * time.Minute)
	f.mu.Lock()
	defer f.mu.Unlock()
	return r, slices.Clone(f.calls)
}

func (f *faulty) kill() {
	f.mu.Lock()
	told := f.victim
	f.mu.Unlock()
	victim := <-told
	_ = victim.cmd.Process.Kill()
	<-victim.done
}

// pass lets the engine do what a call asks for; nobody hears the answer.
func (f *faulty) pass(ctx context.Context, r *http.Request) {
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", "engine", ""
	if answer, err := f.to.RoundTrip(out); err == nil {
		_ = answer.Body.Close()
	}
}

// killBefore kills who calls; the engine never hears of the call.
func killBefore(f *faulty, _ http.ResponseWriter, _ *http.Request) {
	f.kill()
	panic(http.ErrAbortHandler)
}

// killDuring kills who calls while the engine is at it.
func killDuring(f *faulty, _ http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		f.pass(ctx, r)
	}()
	f.kill()
	cancel() // as the kernel does with its connection
	<-gone
	panic(http.ErrAbortHandler)
}

// killAfter kills who calls when the engine has done as it was told.
func killAfter(f *faulty, _ http.ResponseWriter, r *http.Request) {
	f.pass(context.Background(), r)
	f.kill()
	panic(http.ErrAbortHandler)
}

func answer500(_ *faulty, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprint(w, `{"message":"as injected"}`)
}

func cut(*faulty, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// at are the calls of n that have a fault.
func at(t *testing.T, n int) (ks []int) {
	t.Helper()
	const some = 6
	switch text := os.Getenv(envFaults); text {
	case "":
		for i := range some {
			ks = append(ks, 1+i*(n-1)/(some-1))
		}
		return slices.Compact(ks)
	case "all", "each":
		for k := range n + 2 { // the next run may have some more
			ks = append(ks, k+1)
		}
		return ks
	default:
		for number := range strings.SplitSeq(text, ",") {
			k, err := strconv.Atoi(number)
			if err != nil {
				t.Fatal(err)
			}
			ks = append(ks, k)
		}
		return ks
	}
}

// ends are the faults that end a process, and the verbs that must work then.
func ends(i int) (faults []fault, next []string) {
	if text := os.Getenv(envFaults); text != "" && text != "each" {
		return []fault{killBefore, killDuring, killAfter}, []string{"down", "up"}
	}
	return []fault{[]fault{killBefore, killDuring, killAfter}[i%3]}, []string{[]string{"down", "up"}[i%2]}
}

// works says that a verb does as it should after a fault, and that nothing is left.
func (s *stage) works(verb, after string) {
	s.t.Helper()
	r := s.medianode(verb)
	if r.code != 0 {
		s.t.Errorf("%s after %s: %s", verb, after, r)
	}
	if verb == "up" && s.counted("out.txt") != 5 {
		s.t.Errorf("%s after %s: %s", verb, after, s.read("out.txt"))
	}
	if left := found(s.t, s.project); len(left) > 0 {
		s.t.Errorf("%s after %s: left %v", verb, after, left)
	}
}

// Killed at any call to the engine, up leaves nothing that the next up or down
// does not find.
func TestUpKilledAtCall(t *testing.T) {
	s, f := newStage(t, "killup", chain("Few", "Echo")), newFaulty(t)
	s.medianode("build").is(t, 0)
	r, calls := f.run(s, 0, nil, "up")
	r.is(t, 0)
	t.Logf("%d calls: %s", len(calls), strings.Join(calls, ", "))
	for i, k := range at(t, len(calls)) {
		faults, next := ends(i)
		for _, what := range faults {
			for _, verb := range next {
				_, calls := f.run(s, k, what, "up")
				pid := f.pid
				s.works(verb, fmt.Sprintf("up killed at call %d (%s)", k, calls[min(k, len(calls))-1]))
				if left := probes(t, pid); verb == "down" && left != "" {
					t.Errorf("after down at call %d: left %s", k, left)
				}
			}
		}
	}
}

// probes are the containers by which a process has looked whether the engine sees
// this machine's memory.
func probes(t *testing.T, pid int) string {
	t.Helper()
	var left []string
	for line := range strings.Lines(docker(t, "ps", "--all", "--filter", "label="+channel.ProbeLabel, "--format", `{{.Names}} {{.Label "`+channel.ProbeLabel+`"}}`)) {
		if strings.Contains(line, fmt.Sprintf("/.probe-%d-", pid)) {
			left = append(left, line)
		}
	}
	return strings.Join(left, ", ")
}

// So does down.
func TestDownKilledAtCall(t *testing.T) {
	s, f := newStage(t, "killdown", ""), newFaulty(t)
	head := s.read("pipeline.yaml")
	few, endless := head+chain("Few", "Echo"), head+chain("Endless", "Echo")
	// started is a project whose runtime was killed.
	started := func() {
		s.write("pipeline.yaml", endless)
		p := s.start("docker-medianode", "up")
		p.flows(s, "out.txt")
		_ = p.cmd.Process.Kill()
		p.end(stopLimit)
		s.write("pipeline.yaml", few)
	}
	started()
	r, calls := f.run(s, 0, nil, "down")
	r.is(t, 0)
	t.Logf("%d calls: %s", len(calls), strings.Join(calls, ", "))
	for i, k := range at(t, len(calls)) {
		faults, next := ends(i)
		for _, what := range faults {
			for _, verb := range next {
				started()
				_, calls := f.run(s, k, what, "down")
				s.works(verb, fmt.Sprintf("down killed at call %d (%s)", k, calls[min(k, len(calls))-1]))
			}
		}
	}
}

// An engine that fails once, at any call, ends up with one error that says what was
// tried, or with none, and nothing is left.
func TestEngineFailsAtCall(t *testing.T) {
	s, f := newStage(t, "failcall", chain("Few", "Echo")), newFaulty(t)
	s.medianode("build").is(t, 0)
	r, calls := f.run(s, 0, nil, "up")
	r.is(t, 0)
	for i, k := range at(t, len(calls)) {
		for name, what := range map[string]fault{"answer 500": answer500, "cut": cut} {
			if text := os.Getenv(envFaults); (text == "" || text == "each") && (name == "cut") != (i%2 == 0) {
				continue
			}
			r, calls := f.run(s, k, what, "up")
			where := fmt.Sprintf("%s at call %d (%s)", name, k, calls[min(k, len(calls))-1])
			if left := found(t, s.project); len(left) > 0 {
				t.Errorf("%s: left %v: %s", where, left, r)
				s.works("down", where)
			}
			var said []string
			for line := range strings.Lines(r.stderr) {
				if !strings.HasPrefix(line, "warning: ") && !strings.HasPrefix(line, "waiting: ") && !strings.Contains(line, "| echo ") {
					said = append(said, strings.TrimSpace(line))
				}
			}
			switch {
			case r.code == 0 && len(said) == 0 && s.counted("out.txt") == 5:
			case r.code == 1 && len(said) == 1 && (strings.HasSuffix(said[0], "as injected") || strings.HasSuffix(said[0], "EOF")):
				t.Logf("%s: %s", where, said[0])
			default:
				t.Errorf("%s: %s", where, r)
			}
		}
	}
}
