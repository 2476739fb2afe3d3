package plugin_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime"
)

func TestUpReport(t *testing.T) {
	s := newStage(t, "report", chain("Few", "Echo"))
	r := s.up("--format", "json")
	r.is(t, 0)
	var report runtime.Report
	d := json.NewDecoder(strings.NewReader(r.stdout))
	if err := d.Decode(&report); err != nil || d.More() {
		t.Fatalf("stdout is not one report: %v: %s", err, r)
	}
	if report.Project != s.project || report.State != "ended" || len(report.Nodes) != 3 || len(report.Connections) != 2 || report.Connections[1].Frames != 5 {
		t.Errorf("report: %+v", report)
	}
	echoes := 0
	for line := range strings.Lines(r.stderr) {
		var l runtime.LogLine
		if json.Unmarshal([]byte(line), &l) == nil && l.Node == "mid" && strings.HasPrefix(l.Text, "echo ") {
			echoes++
		}
	}
	if echoes != 5 {
		t.Errorf("%d log lines in JSON, want 5: %s", echoes, r)
	}
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
	}
	if _, err := os.Stat(filepath.Join(s.state, "medianode", s.project, "report.json")); err != nil {
		t.Error(err)
	}
}

func TestNodeFails(t *testing.T) {
	tests := map[string]struct {
		node string
		said []string
	}{
		"raise":  {"Raise", []string{"node mid: process: ", "no 3 here", "frame 3 of ", "Traceback", "app.py", "in process"}},
		"load":   {"LoadRaises", []string{"node mid: load: ", "the model is damaged", "Traceback", "app.py", "in load"}},
		"class":  {"Vanished", []string{"node mid: import: module 'app' has no class 'Vanished' (its nodes: "}},
		"exit":   {"Exit", []string{"node mid: process: ", "sys.exit(3)", "frame 3 of ", "app.py", "leaving"}},
		"crash":  {"Crash", []string{"node mid: ", "SIGABRT", "aborting"}},
		"memory": {"Hungry", []string{"node mid: ", "memory limit of 128 MiB", "memory_mb", "eating"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "fail-"+name, chain("Endless", test.node))
			r := s.up()
			r.is(t, 1, append(test.said, "pipeline.yaml:8:9: ")...)
			t.Logf("%s", r)
			if s.has("out.txt") {
				t.Error("out.txt has the name of a complete file")
			}
			if name == "raise" && s.counted("out.txt.partial") != 3 {
				t.Errorf("what was in flight was not drained: %s", s.read("out.txt.partial"))
			}
		})
	}
}

func TestImportFails(t *testing.T) {
	s := newStage(t, "fail-import", single("Few"))
	s.write("nodes/app.py", "import no_such_module\n")
	r := s.up()
	r.is(t, 1, "pipeline.yaml:4:9: ", "node src: import: ", "no_such_module", "Traceback")
	t.Logf("%s", r)
}

func TestKilledNode(t *testing.T) {
	s := newStage(t, "fail-kill", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	docker(t, "kill", s.project+"-mid-1")
	r := p.end(stopLimit)
	r.is(t, 1, "pipeline.yaml:8:9: ", "node mid: killed by SIGKILL", "exit code 137")
	if strings.Contains(r.stderr, "memory limit") {
		t.Errorf("a kill is not for memory: %s", r)
	}
}

func TestStartTimeout(t *testing.T) {
	s := newStage(t, "fail-slow", strings.Replace(chain("Few", "SlowLoad"), "app:SlowLoad\n", "app:SlowLoad\n    start_timeout_ms: 3000\n", 1))
	r := s.up()
	r.is(t, 1, "pipeline.yaml:8:9: ", "node mid: load: ", "3s", "start_timeout_ms", "loading")
	if c := s.crashes(); len(c) != 1 || c[0].Node != "mid" || c[0].Phase != "load" || !c[0].First || !strings.Contains(c[0].Cause, "not ready after 3s") {
		t.Errorf("crashes: %+v", c)
	}
	t.Logf("%s", r)
}

// The mounts of a container are the uid's own, although the image has such
// directories too.
func TestMounts(t *testing.T) {
	s := newStage(t, "mounts", strings.Replace(single("Mounts"), "TextFileSink", "JSONLinesSink", 1))
	s.up().is(t, 0)
	var got map[string][]any
	if err := json.Unmarshal([]byte(s.read("out.txt")), &got); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/shm", "/tmp/iceoryx2"} {
		if m := got[path]; len(m) != 3 || m[0] != got["me"][0] || m[1] != got["me"][1] || m[2] != "0o700" {
			t.Errorf("%s: %v, the process is %v", path, m, got["me"])
		}
	}
}

func TestEnvironment(t *testing.T) {
	pipeline := strings.Replace(single("Environment"), "TextFileSink", "JSONLinesSink", 1)
	pipeline = strings.Replace(pipeline, "outputs:", "params: {names: [PRICE, HOME_OF, BRACES, FROM_ME, SSL_CERT_FILE, HTTPS_PROXY, USER]}\n    outputs:", 1)
	pipeline = strings.Replace(pipeline, "source: ./nodes", `source: ./nodes, env: {PRICE: "5$ $$6 $7", HOME_OF: $HOME, BRACES: "${HOME:-x}\n'\""}, env_from: [FROM_ME]`, 1)
	s := newStage(t, "env", pipeline)
	s.env = append(s.env, "FROM_ME=a $HOME of\tmine", "SSL_CERT_FILE="+os.Getenv("SSL_CERT_FILE"))
	s.up().is(t, 0)
	var got map[string]any
	if err := json.Unmarshal([]byte(s.read("out.txt")), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"PRICE": "5$ $$6 $7", "HOME_OF": "$HOME", "BRACES": "${HOME:-x}\n'\"", "FROM_ME": "a $HOME of\tmine",
		"SSL_CERT_FILE": nil, "HTTPS_PROXY": nil, "USER": "medianode",
	}
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	// What comes from the caller's environment is written nowhere.
	if text := s.services(); strings.Contains(text, "of\tmine") || !strings.Contains(text, "FROM_ME") {
		t.Errorf("compose file: %s", text)
	}
}

func TestEnvironmentMissing(t *testing.T) {
	s := newStage(t, "noenv", strings.Replace(single("Few"), "source: ./nodes", "source: ./nodes, env_from: [MEDIANODE_NOT_SET]", 1))
	s.up().is(t, 0, "pipeline.yaml:7:", "warning: ", "MEDIANODE_NOT_SET")
}

// What the machine does not have is an error at its line, before anything is made.
func TestTooMuch(t *testing.T) {
	tests := map[string]struct {
		limits string
		said   []string
	}{
		"cpus":   {"cpu_cores: 1000", []string{"pipeline.yaml:7:", "cpu_cores", "1000", strconv.Itoa(goruntime.NumCPU())}},
		"memory": {"memory_mb: 10000000", []string{"pipeline.yaml:7:", "memory_mb"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "much-"+name, strings.Replace(single("Few"), "memory_mb: 128", test.limits, 1))
			r := s.up()
			r.is(t, 1, test.said...)
			t.Logf("%s", r)
			if _, err := os.Stat(filepath.Join(s.state, "medianode")); err == nil {
				t.Error("something was made")
			}
		})
	}
}

// Shared memory that does not fit is refused with both numbers and the largest part.
func TestTooMuchSharedMemory(t *testing.T) {
	needEngine(t)
	memory, err := strconv.ParseInt(docker(t, "info", "--format", "{{.MemTotal}}"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	// Four nodes, each of which takes half of the memory that the engine has.
	memory >>= 20
	frame, nodes, connections := min(1024, memory/20), "", ""
	for i := range 4 {
		nodes += fmt.Sprintf("  - {id: n%d, node_type: app:Few, outputs: {output: {max_frame: %dMiB}}, docker: {source: ./nodes, resource_limits: {memory_mb: %d}}}\n", i, frame, memory*9/10)
		connections += fmt.Sprintf("  - {from: n%d, to: out, buffer: %d}\n", i, memory/2/frame-2)
	}
	s := newStage(t, "much-shm", "nodes:\n"+nodes+"  - {id: out, node_type: JSONLinesSink, params: {path: out.txt}}\nconnections:\n"+connections)
	r := s.up()
	r.is(t, 1, "pipeline.yaml:10:5: the pipeline needs ", "of shared memory, more than the engine has: ", `"output" of "n0"`)
	if strings.Contains(r.stderr, "#1") {
		t.Error("built before it was refused")
	}
	t.Logf("%s", r)
}

// An engine that answers over the network does not share this machine's memory.
func TestRemoteEngine(t *testing.T) {
	s := newStage(t, "remote", single("Few"))
	host := docker(t, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	if env := os.Getenv("DOCKER_HOST"); env != "" {
		host = env
	}
	socket, ok := strings.CutPrefix(host, "unix://")
	if !ok {
		t.Skipf("skipped: the engine is at %s", host)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("unix", socket)
			if err != nil {
				from.Close()
				return
			}
			go func() { _, _ = io.Copy(to, from); to.Close() }()
			go func() { _, _ = io.Copy(from, to); from.Close() }()
		}
	}()
	s.env = append(s.env, "DOCKER_HOST=tcp://"+l.Addr().String())
	r := s.up()
	r.is(t, 1, "the engine does not share this host's memory", "the engine is remote: tcp://127.0.0.1:", "run docker medianode on the machine where the engine runs")
	t.Logf("%s", r)
}

// What the build needs to reach a package index is not in the image.
func TestImageKeepsNoSecrets(t *testing.T) {
	pipeline := strings.Replace(single("Few"), "source: ./nodes", "source: ./nodes, python_packages: [six]", 1)
	s := newStage(t, "secrets", pipeline)
	ca, err := os.ReadFile(cmp.Or(os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"))
	if err != nil {
		t.Skipf("skipped: no bundle of certificates here: %v", err)
	}
	bundle := filepath.Join(s.dir, "bundle-"+s.project+".pem")
	if err := os.WriteFile(bundle, append(ca, []byte("# "+s.project+"\n")...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.env = append(s.env, "SSL_CERT_FILE="+bundle, "no_proxy=localhost,secret-"+s.project)
	r := s.medianode("build", "--progress", "plain")
	if r.code != 0 {
		t.Skipf("skipped: no package index can be reached: %s", r)
	}
	match := regexp.MustCompile(`medianode/src:[0-9a-f]+`).FindString(s.medianode("plan").stdout)
	if match == "" {
		t.Fatal("no image in the plan")
	}
	for _, text := range []string{docker(t, "history", "--no-trunc", match), docker(t, "image", "inspect", match), r.stderr} {
		if strings.Contains(text, "secret-"+s.project) || strings.Contains(text, filepath.Base(bundle)) {
			t.Errorf("the image tells: %s", text)
		}
	}
	files := docker(t, "run", "--rm", "--network", "none", "--user", "0", match, "sh", "-c", "grep -rlF "+s.project+" / --exclude-dir=proc --exclude-dir=sys 2>/dev/null || true")
	if files != "" {
		t.Errorf("the bundle or the proxy is in %s", files)
	}
}

// A log cannot steer a terminal, and a flood of it is read to its end.
func TestLogs(t *testing.T) {
	s := newStage(t, "logs", single("Flood"))
	r := s.up()
	r.is(t, 0, `src | \x1b[31mred\x1b]0;title\x07 \xff\xfe \u202e`, "line 19999 of many", "last without an end")
	for _, b := range []string{"\x1b", "\x07", "\u202e", strings.Repeat("y", 17<<10)} {
		if strings.Contains(r.stderr, b) {
			t.Errorf("stderr contains %.20q", b)
		}
	}
	if n := strings.Count(r.stderr, " of many"); n != 20000 {
		t.Errorf("%d lines, want 20000", n)
	}
}
