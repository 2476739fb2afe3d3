package plugin_test

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
	r := p.end(stopLimit)
	r.is(t, 130, "killing", "interrupted")
	if got := strings.Count(r.stdout+r.stderr, "session killed"); got != 1 {
		t.Errorf("says %d times that the session was killed: %s%s", got, r.stdout, r.stderr)
	}
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
	if strings.Contains(r.stderr, "node src") { // which waits for mid, and dies with it
		t.Errorf("another one is blamed, too: %s", r)
	}
}

func TestInterruptBuild(t *testing.T) {
	s := newStage(t, "intbuild", strings.Replace(single("Endless"), "source: ./nodes",
		// Requirements that no layer has been made for.
		`source: ./nodes, python_packages: ["numpy==2.3.5; platform_release != '`+project("build")+`'", pillow]`, 1))
	p := s.start("docker", "medianode", "up", "--progress", "plain")
	p.says("pip install")
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

// Whoever reads stderr or stdout may go away: the run goes on and cleans up.
func TestBrokenPipe(t *testing.T) {
	s := newStage(t, "pipe", chain("Few", "Echo"))
	s.start("bash", "-c", "{ docker-medianode up 2>&1 1>&3 | head -n 1; } 3>&1 | true").end(time.Minute)
	leftovers(t, s.project)
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
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

// The third Ctrl-C gives up at once and says what removes the rest.
func TestInterruptThrice(t *testing.T) {
	s := newStage(t, "thrice", chain("Endless", "Stuck"))
	p := s.start("docker-medianode", "up", "-f", "pipeline.yaml")
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
	if len(found(t, s.project)) > 0 && !strings.Contains(r.stderr, "'docker medianode down -f pipeline.yaml' removes it") {
		t.Errorf("left, and not told: %s", r)
	}
	s.medianode("down", "-p", s.project).is(t, 0)
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
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("skipped: under nohup a command outlives its terminal, as it should")
	}
	p := s.start("script", "--quiet", "--flush", "--command", "docker medianode up", "/dev/null")
	p.flows(s, "out.txt")
	p.signal(syscall.SIGKILL)
	p.end(stopLimit)
	if !eventually(stopLimit, func() bool { return len(found(t, s.project)) == 0 }) {
		t.Errorf("does not end: %s", docker(t, "ps", "-a", "--filter", "label=com.docker.compose.project="+s.project))
	}
	if s.has("out.txt.partial") || s.counted("out.txt") == 0 {
		t.Error("out.txt is not complete")
	}
}
