package plugin_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// disk is a file system of 1 MiB.
func disk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("skipped: cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no byte of it.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
}

// What is kept for later does not fit any more: the run goes on, and says all on
// the terminal.
func TestFullStateDirectory(t *testing.T) {
	s := newStage(t, "fullstate", strings.Replace(chain("Endless", "Raise"),
		"docker: {source: ./nodes, resource_limits: {memory_mb: 128}}\n  - {id: out",
		"params: {at: \"300\"}\n    docker: {source: ./nodes, resource_limits: {memory_mb: 128}, restart: {policy: on-failure}}\n  - {id: out", 1))
	small := disk(t)
	s.env = append(s.env, "XDG_STATE_HOME="+small)
	p := s.start("docker-medianode", "up", "--events", filepath.Join(small, "events"))
	p.flows(s, "out.txt")
	fill(t, small)
	p.says("starts again")
	p.more(s, "out.txt")
	p.interrupt()
	r := p.end(stopLimit)
	r.is(t, 130, "the death of mid cannot be kept", "the report cannot be kept", "no space left on device", small)
	if !strings.Contains(r.stdout, "mid: restarted") {
		t.Errorf("no report: %s", r)
	}
	// Nothing can be begun that cannot be written down.
	s.up().is(t, 1, "no space left on device", small)
}

// What the terminal would show goes into a file on a full disk: the run goes on,
// from the build to the report.
func TestFullStderr(t *testing.T) {
	s := newStage(t, "fullerr", strings.Replace(chain("Few", "Echo"), "source: ./nodes,", "source: ./nodes, env_from: [MEDIANODE_NOT_SET],", 1))
	s.write("nodes/app.py", s.read("nodes/app.py")+"\n# "+s.project+"\n") // an image that has to be built
	s.start("bash", "-c", "docker-medianode up 2>/dev/full").end(time.Minute).is(t, 0)
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
	}
}

// A reboot: what was in memory is gone, what is on disk is not.
func TestReboot(t *testing.T) {
	s := newStage(t, "reboot", chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	p.signal(syscall.SIGKILL)
	p.end(stopLimit)
	docker(t, "kill", s.project+"-src-1", s.project+"-mid-1")
	dir := runtime.Directory(uid(), s.project)
	for _, path := range []string{dir, dir + ".lock", channel.NewDomain(uid(), s.project).Root} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
	}
	ps := s.medianode("ps", "-p", s.project)
	ps.is(t, 0)
	if !strings.Contains(ps.stdout, "exited") {
		t.Errorf("what is left is not shown: %s", ps)
	}
	s.write("pipeline.yaml", strings.Replace(s.read("pipeline.yaml"), "app:Endless", "app:Few", 1))
	r := s.up()
	r.is(t, 0)
	if strings.Contains(r.stderr, "build") || s.counted("out.txt") != 5 {
		t.Errorf("%s", r)
	}
}

// Ctrl-Z stops the command and not its nodes; with fg it goes on.
func TestSuspend(t *testing.T) {
	s := newStage(t, "suspend", chain("Endless", "Echo"))
	p := s.start("bash", "-c", "set -m; docker-medianode up & echo the group is $!, >&2; wait -f $!")
	p.says("the group is ")
	p.flows(s, "out.txt")
	pid, err := strconv.Atoi(regexp.MustCompile(`the group is (\d+),`).FindStringSubmatch(p.said().stderr)[1])
	if err != nil {
		t.Fatal(err)
	}
	group := func(sig syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(-pid, sig); err != nil {
			t.Error(err)
		}
	}
	group(syscall.SIGTSTP)
	stopped := eventually(5*time.Second, func() bool {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		return err == nil && strings.Contains(string(text), ") T ")
	})
	if !stopped {
		t.Error("is not stopped")
	}
	time.Sleep(2 * time.Second) // is what is tested
	group(syscall.SIGCONT)
	p.more(s, "out.txt")
	group(syscall.SIGINT)
	p.end(stopLimit).is(t, 130)
}

// Somebody removes the files of the shared memory: who has them open goes on, and
// a session that is opened afterwards makes its own.
func TestFilesRemoved(t *testing.T) {
	s := newStage(t, "rmrf", "sessions: 2\n"+chain("Endless", "Echo"))
	p := s.start("docker-medianode", "up")
	p.flows(s, "out.txt")
	for _, part := range []string{"shm", "iox"} {
		files, err := filepath.Glob(filepath.Join(runtime.Directory(uid(), s.project), part, "*"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%v %v", files, err)
		}
		for _, f := range files {
			if err := os.RemoveAll(f); err != nil {
				t.Error(err)
			}
		}
	}
	p.more(s, "out.txt")
	second := s.start("docker-medianode", "run", "--set", "out.path=second.txt")
	second.flows(s, "second.txt")
	second.interrupt()
	second.end(stopLimit).is(t, 130)
	p.more(s, "out.txt")
	p.interrupt()
	p.end(stopLimit).is(t, 130)
	s.write("pipeline.yaml", strings.Replace(s.read("pipeline.yaml"), "app:Endless", "app:Few", 1))
	s.up().is(t, 0)
}
