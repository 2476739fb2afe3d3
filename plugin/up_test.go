package plugin_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

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

// The first Ctrl-C ends a run well, however it arrives.
func TestInterrupt(t *testing.T) {
	tests := map[string]struct {
		terminal bool
		command  []string
		stop     func(*process)
	}{
		"terminal":        {true, []string{"docker", "medianode"}, (*process).press},
		"terminal-plugin": {true, []string{"docker-medianode"}, (*process).press},
		"cli":             {false, []string{"docker", "medianode"}, (*process).interrupt},
		"plugin":          {false, []string{"docker-medianode"}, (*process).interrupt},
		"term":            {false, []string{"docker-medianode"}, func(p *process) { p.signal(syscall.SIGTERM) }},
		"cli-term":        {false, []string{"docker", "medianode"}, func(p *process) { p.signal(syscall.SIGTERM) }},
		"hangup":          {false, []string{"docker-medianode"}, func(p *process) { p.signal(syscall.SIGHUP) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "int-"+name, single("Endless"))
			start := s.start
			if test.terminal {
				start = s.startTerminal
			}
			p := start(test.command[0], append(test.command[1:], "up")...)
			p.flows(s, "out.txt")
			began := time.Now()
			test.stop(p)
			p.end(stopLimit).is(t, 130, "stopping: what is in flight is handled first")
			took := time.Since(began)
			t.Logf("ended %s after the signal, %d frames", took.Round(time.Millisecond), s.counted("out.txt"))
			if took > 15*time.Second {
				t.Errorf("took %s", took)
			}
			if s.has("out.txt.partial") {
				t.Error("out.txt.partial is left")
			}
		})
	}
}

// The second Ctrl-C does not wait for a node that does not come back.
func TestInterruptTwice(t *testing.T) {
	s := newStage(t, "twice", chain("Endless", "Stuck"))
	p := s.startTerminal("docker", "medianode", "up")
	p.says("stuck")
	p.press()
	p.says("Ctrl-C again to end at once")
	began := time.Now()
	p.press()
	p.end(stopLimit).is(t, 130, "killing")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the second Ctrl-C took %s", took)
	}
	if s.has("out.txt") {
		t.Error("out.txt has the name of a complete file")
	}
}

// A node that does not come back is killed when the grace is over, and named.
func TestStuckNode(t *testing.T) {
	s := newStage(t, "stuck", chain("Endless", "Stuck"))
	p := s.start("docker-medianode", "up")
	p.says("stuck")
	p.interrupt()
	r := p.end(stopLimit)
	r.is(t, 130, "mid", "stop grace")
}

func TestInterruptBuild(t *testing.T) {
	s := newStage(t, "intbuild", strings.Replace(single("Endless"), "source: ./nodes",
		// Requirements that no layer has been made for.
		`source: ./nodes, python_packages: ["numpy==2.3.5; platform_release != '`+project("build")+`'", pillow]`, 1))
	p := s.start("docker", "medianode", "up", "--progress", "plain")
	p.says(`"-r", "/opt/requirements.txt"`)
	began := time.Now()
	p.interrupt()
	r := p.end(stopLimit)
	r.is(t, 130, "interrupted")
	t.Logf("ended %s after the signal: %s", time.Since(began).Round(time.Millisecond), r.stderr[max(0, len(r.stderr)-200):])
}

// In a terminal builds have a display that draws over itself; Ctrl-C leaves no
// blame and the terminal as it was.
func TestInterruptBuildInTerminal(t *testing.T) {
	s := newStage(t, "intbuildtty", strings.Replace(single("Endless"), "source: ./nodes",
		`source: ./nodes, python_packages: ["numpy==2.3.5; platform_release != '`+project("tty")+`'", pillow]`, 1))
	p := s.startTerminal("docker", "medianode", "up")
	p.says("[+] Building")
	p.press()
	r := p.end(stopLimit)
	r.is(t, 130, "interrupted")
	if strings.Contains(r.stderr, "pipeline.yaml:") || strings.Count(r.stderr, "\x1b[?25l") != strings.Count(r.stderr, "\x1b[?25h") {
		t.Errorf("%q", r.stderr)
	}
}

func TestInterruptStart(t *testing.T) {
	s := newStage(t, "intstart", chain("Endless", "SlowLoad"))
	p := s.start("docker", "medianode", "up")
	p.says("loading")
	began := time.Now()
	p.interrupt()
	p.end(stopLimit).is(t, 130, "interrupted")
	t.Logf("ended %s after the signal", time.Since(began).Round(time.Millisecond))
}

func TestNodeFails(t *testing.T) {
	tests := map[string]struct {
		node string
		said []string
	}{
		"raise":  {"Raise", []string{"node mid: process: ", "no 3 here", "frame 3 of ", "Traceback", "app.py", "in process"}},
		"load":   {"LoadRaises", []string{"node mid: load: ", "the model is damaged", "Traceback", "app.py", "in load"}},
		"class":  {"NoSuchClass", []string{"node mid: import: module 'app' has no class 'NoSuchClass' (its nodes: "}},
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
	t.Logf("%s", r)
}

// After the death of the command containers end by themselves; the next up and
// down find what is left.
func TestCommandKilled(t *testing.T) {
	for _, next := range []string{"up", "down"} {
		t.Run(next, func(t *testing.T) {
			s := newStage(t, "kill9-"+next, chain("Endless", "Echo"))
			p := s.start("docker-medianode", "up")
			p.flows(s, "out.txt")
			p.signal(syscall.SIGKILL)
			p.end(stopLimit)
			began := time.Now()
			filter := "label=com.docker.compose.project=" + s.project
			if !eventually(10*time.Second, func() bool { return docker(t, "ps", "-q", "--filter", filter) == "" }) {
				t.Errorf("containers still run: %s", docker(t, "ps", "-a", "--filter", filter))
			}
			t.Logf("containers ended after %s", time.Since(began).Round(time.Millisecond))
			if next == "down" {
				s.medianode("down", "-p", s.project).is(t, 0)
				return
			}
			s.write("pipeline.yaml", strings.Replace(s.read("pipeline.yaml"), "app:Endless", "app:Few", 1))
			s.up().is(t, 0)
			if s.counted("out.txt") != 5 {
				t.Errorf("out.txt: %s", s.read("out.txt"))
			}
		})
	}
}

// While a project runs, everybody can look at it, and another up of it is told.
func TestWhileRunning(t *testing.T) {
	s := newStage(t, "running", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")

	elsewhere := newStage(t, "running", chain("Few", "Echo")) // the same project
	elsewhere.env = append(elsewhere.env, "XDG_STATE_HOME="+s.state)
	t.Run("ps", func(t *testing.T) {
		r := elsewhere.medianode("ps", "-p", s.project)
		r.is(t, 0)
		if !strings.Contains(r.stdout, "src") || !strings.Contains(r.stdout, "running") {
			t.Errorf("%s", r)
		}
		r = elsewhere.medianode("ps", "-p", s.project, "--format", "json")
		var list []runtime.Container
		if err := json.Unmarshal([]byte(r.stdout), &list); err != nil || len(list) != 2 || list[1].Service != "src" || list[1].State != "running" {
			t.Errorf("%v: %s", err, r)
		}
	})
	t.Run("logs", func(t *testing.T) {
		r := elsewhere.medianode("logs", "-p", s.project, "--tail", "3")
		r.is(t, 0)
		if strings.Count(r.stdout, "mid | echo ") != 3 {
			t.Errorf("%s", r)
		}
		var l runtime.LogLine
		r = elsewhere.medianode("logs", "-p", s.project, "-n", "1", "--format", "json")
		if err := json.Unmarshal([]byte(r.stdout), &l); err != nil || l.Node != "mid" {
			t.Errorf("%v: %s", err, r)
		}
	})
	t.Run("compose", func(t *testing.T) {
		if got := docker(t, "compose", "ls", "--format", "json"); !strings.Contains(got, s.project) {
			t.Errorf("compose ls: %s", got)
		}
		if got := docker(t, "compose", "-p", s.project, "ps"); !strings.Contains(got, "mid") || !strings.Contains(got, "src") {
			t.Errorf("compose ps: %s", got)
		}
		if got := docker(t, "compose", "-p", s.project, "logs", "--tail", "3", "mid"); !strings.Contains(got, "echo") {
			t.Errorf("compose logs: %s", got)
		}
	})
	t.Run("again", func(t *testing.T) {
		compose := filepath.Join(s.state, "medianode", s.project, "compose.yaml")
		before, err := os.ReadFile(compose)
		if err != nil {
			t.Fatal(err)
		}
		r := s.up()
		r.is(t, 1, "project "+s.project+" is running already: process ", filepath.Join(s.dir, "pipeline.yaml"), "--project-name")
		r = elsewhere.up()
		r.is(t, 1, "project "+s.project+" is running already: process ", filepath.Join(s.dir, "pipeline.yaml"), "--project-name")
		if after, err := os.ReadFile(compose); err != nil || string(after) != string(before) {
			t.Errorf("the compose file of the running project has changed: %v", err)
		}
	})
	t.Run("owners", func(t *testing.T) {
		for _, name := range []string{"", "shm", "iox"} {
			info, err := os.Stat(filepath.Join(runtime.Directory(uid(), s.project), name))
			if err != nil {
				t.Fatal(err)
			}
			if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != uid() || info.Mode().Perm() != 0o700 {
				t.Errorf("%q: owner %d, mode %s", name, owner, info.Mode())
			}
		}
	})
	t.Run("down", func(t *testing.T) {
		if !p.running() {
			t.Fatalf("was disturbed: %s", p.said())
		}
		elsewhere.medianode("down", "-p", s.project).is(t, 0)
		p.end(stopLimit).is(t, 130)
		if s.has("out.txt.partial") || s.counted("out.txt") == 0 {
			t.Error("out.txt is not complete")
		}
	})
}

// A change that is none for the containers: no build, and the same services.
func TestCommentChangesNothing(t *testing.T) {
	s := newStage(t, "comment", single("Few"))
	s.up().is(t, 0)
	first := s.services()
	s.write("pipeline.yaml", "# a comment, which moves every line\n"+s.read("pipeline.yaml"))
	r := s.up()
	r.is(t, 0)
	if strings.Contains(r.stderr, "#") || strings.Contains(r.stderr, "build") {
		t.Errorf("builds: %s", r)
	}
	if second := s.services(); second != first {
		t.Errorf("services were\n%s\nand are\n%s", first, second)
	}
}

// services are those of the compose file in the state directory, and whatever
// else compose looks at.
func (s *stage) services() string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.state, "medianode", s.project, "compose.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	var file map[string]any
	if err := yaml.Unmarshal(text, &file); err != nil {
		s.t.Fatal(err)
	}
	delete(file, "x-medianode")
	text, err = yaml.Marshal(file)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(text), "services:") {
		s.t.Fatalf("no services: %s", text)
	}
	return string(text)
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

// Two ups at the same moment: one runs, the other is told.
func TestAtOnce(t *testing.T) {
	s := newStage(t, "atonce", single("Few"))
	s.medianode("build").is(t, 0)
	first, second := s.start("docker-medianode", "up"), s.start("docker-medianode", "up")
	a, b := first.end(time.Minute), second.end(time.Minute)
	if a.code != 0 {
		a, b = b, a
	}
	a.is(t, 0)
	if b.code != 0 { // else it began when the other had ended
		b.is(t, 1, "is running already")
	}
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
	}
}

// Whoever reads stderr or stdout may go away: the run goes on and cleans up.
func TestBrokenPipe(t *testing.T) {
	s := newStage(t, "pipe", chain("Few", "Echo"))
	s.start("bash", "-c", "{ docker-medianode up 2>&1 1>&3 | head -n 1; } 3>&1 | true").end(time.Minute)
	leftovers(t, s.project)
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
	}
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

// Whenever Ctrl-C comes, nothing is left.
func TestInterruptAnytime(t *testing.T) {
	s := newStage(t, "anytime", chain("Few", "Echo"))
	began := time.Now()
	s.up().is(t, 0)
	whole := time.Since(began)
	const steps = 8
	for i := range steps {
		after := whole * time.Duration(i+1) / (steps + 1)
		p := s.start("docker-medianode", "up")
		time.Sleep(after) // any moment will do
		if p.running() {
			_ = p.cmd.Process.Signal(os.Interrupt)
		}
		r := p.end(stopLimit)
		// Before the plugin listens, a signal ends it at once; at the end it comes too late.
		if r.code != 130 && r.code != 0 && r.code != -1 {
			t.Errorf("interrupted after %s: %s", after, r)
		}
		if strings.Contains(r.stderr, "warning") {
			t.Errorf("interrupted after %s: %s", after, r)
		}
		if left := found(t, s.project); len(left) > 0 {
			t.Errorf("interrupted after %s: left %v: %s", after, left, r)
		}
	}
}

// Whenever the command is killed, down finds all, and the next up works.
func TestKilledAnytime(t *testing.T) {
	s := newStage(t, "killany", chain("Few", "Echo"))
	began := time.Now()
	s.up().is(t, 0)
	whole := time.Since(began)
	const steps = 6
	for i := range steps {
		after := whole * time.Duration(i+1) / (steps + 1)
		p := s.start("docker-medianode", "up")
		time.Sleep(after) // any moment will do
		if p.running() {
			_ = p.cmd.Process.Kill()
		}
		p.end(stopLimit)
		if i%2 == 0 {
			s.up().is(t, 0)
		} else {
			s.medianode("down").is(t, 0)
		}
		if left := found(t, s.project); len(left) > 0 {
			t.Errorf("killed after %s: left %v", after, left)
		}
	}
}

// The third Ctrl-C gives up at once and says what removes the rest.
func TestInterruptThrice(t *testing.T) {
	s := newStage(t, "thrice", chain("Endless", "Stuck"))
	p := s.start("docker-medianode", "up")
	p.says("stuck")
	p.interrupt()
	p.says("Ctrl-C again to end at once")
	p.interrupt()
	p.says("killing")
	if p.running() {
		_ = p.cmd.Process.Signal(os.Interrupt)
	}
	r := p.end(3 * time.Second)
	r.is(t, 130)
	if len(found(t, s.project)) > 0 && !strings.Contains(r.stderr, "'docker medianode down' removes it") {
		t.Errorf("left, and not told: %s", r)
	}
	s.medianode("down", "-p", s.project).is(t, 0)
}

// Somebody else removes the containers: a failure that is told, and no hang.
func TestRemovedByCompose(t *testing.T) {
	s := newStage(t, "removed", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	docker(t, "compose", "-p", s.project, "down", "--timeout", "1")
	r := p.end(stopLimit)
	if r.code != 0 && r.code != 1 {
		t.Errorf("%s", r)
	}
	t.Logf("%s", r)
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

// A volume that somebody else holds for a moment is removed when it is free.
func TestVolumeInUse(t *testing.T) {
	s := newStage(t, "inuse", single("Endless"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	image := docker(t, "ps", "--filter", "label=com.docker.compose.project="+s.project, "--format", "{{.Image}}")
	docker(t, "run", "--detach", "--rm", "--network", "none", "--volume", s.project+"_shm:/held", "--entrypoint", "sleep", image, "1")
	p.interrupt()
	p.end(stopLimit).is(t, 130)
}

// Who stands still for a while is not taken for dead: not a node, not the command.
func TestStandstill(t *testing.T) {
	s := newStage(t, "still", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	still := func(begin, end func()) {
		begin()
		time.Sleep(3 * time.Second) // is what is tested
		end()
		size := func() int { return len(s.read("out.txt.partial")) }
		before := size()
		p.until("frames after a standstill", func() bool { return size() > before+50 })
	}
	still(func() { docker(t, "pause", s.project+"-mid-1") }, func() { docker(t, "unpause", s.project+"-mid-1") })
	still(func() { p.signal(syscall.SIGSTOP) }, func() { p.signal(syscall.SIGCONT) })
	p.interrupt()
	p.end(stopLimit).is(t, 130)
	t.Logf("%d frames", s.counted("out.txt"))
}

// The window of the terminal is closed: the run ends well.
func TestTerminalCloses(t *testing.T) {
	s := newStage(t, "closes", single("Endless"))
	if _, err := exec.LookPath("script"); err != nil {
		t.Skipf("skipped: no script, which has a terminal that can be taken away: %v", err)
	}
	p := s.start("script", "--quiet", "--flush", "--command", "docker medianode up", "/dev/null")
	p.flows(s, "out.txt")
	p.signal(syscall.SIGKILL)
	p.end(stopLimit)
	if !eventually(15*time.Second, func() bool { return len(found(t, s.project)) == 0 }) {
		t.Error("does not end")
	}
	if s.has("out.txt.partial") || s.counted("out.txt") == 0 {
		t.Error("out.txt is not complete")
	}
}

// Projects that come and go at the same time share a directory and no harm.
func TestSideBySide(t *testing.T) {
	var wait sync.WaitGroup
	for i := range 4 {
		s := newStage(t, fmt.Sprintf("side%d", i), `nodes:
  - {id: in, node_type: TextFileSource, params: {path: in.txt}}
  - {id: out, node_type: TextFileSink, params: {path: out.txt}}
connections: [{from: in, to: out}]
`)
		s.write("in.txt", "0\n1\n")
		wait.Go(func() {
			for range 10 {
				p := exec.CommandContext(t.Context(), "docker-medianode", "up")
				p.Dir, p.Env = s.dir, s.env
				if text, err := p.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, text)
				}
			}
		})
	}
	wait.Wait()
}
