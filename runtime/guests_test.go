package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// second is a session of another process on the rig's containers, with ends of
// its own.
func (r *rig) second(frames int) (Config, *collector) {
	out := &collector{}
	c := r.config
	c.Session, c.Logs = "", nil
	c.Nodes = append([]Node(nil), r.config.Nodes...)
	c.Nodes[0].Run, c.Nodes[2].Run = count(frames), out.collect
	return c, out
}

func newSharedRig(t *testing.T, frames, sessions int) *rig {
	r := newRig(t, frames)
	r.config.Sessions, r.config.Digest = sessions, "same"
	r.config.Open = func(channel.Domain, string) (channel.Transport, error) { return kept{r.engine.transport}, nil }
	return r
}

// kept is a transport of several sessions, which none of them closes.
type kept struct{ channel.Transport }

func (kept) Close() error { return nil }

func TestSecondSession(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	r.mid.opened = make(chan channel.Command, 1)
	s := r.start()
	c, out := r.second(100)
	c.Params = map[string]map[string]any{"mid": {"n": 1}}
	began := time.Now()
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %s", time.Since(began))
	if err := guest.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	report := guest.Report()
	if report.Session != "s2" || report.State != "ended" || out.len() != 100 || report.Connections[1].Frames != 100 || len(report.Warnings) > 0 {
		t.Errorf("%d lines, report: %+v", out.len(), report)
	}
	if err := guest.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if opened := <-r.mid.opened; fmt.Sprint(opened.Params) != "map[n:1]" {
		t.Errorf("opened: %+v", opened)
	}
	if calls := strings.Count(strings.Join(r.engine.calls, " "), "up"); calls != 2 {
		t.Errorf("containers were brought up anew: %q", r.engine.calls)
	}
	eventually(func() bool { return len(s.Others()) == 0 })
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	r.end(s)
}

// The last session out stops the project.
func TestFirstSessionEndsFirst(t *testing.T) {
	r := newSharedRig(t, 50, 2)
	gate := make(chan struct{})
	r.config.Nodes[0].Run = func(ctx context.Context, p *node.Ports) error {
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return count(50)(ctx, p)
	}
	s := r.start()
	c, out := r.second(0)
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	close(gate)
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if state := s.Report().State; state != "ended" {
		t.Errorf("state: %s", state)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	n := out.len()
	if !eventually(func() bool { return out.len() > n+20 }) {
		t.Error("the second session does not go on")
	}
	third, lines := r.second(10)
	last, err := Start(t.Context(), third)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(last.Wait(t.Context()), last.Close()); err != nil || lines.len() != 10 {
		t.Errorf("third: %v, %d lines", err, lines.len())
	}
	if err := guest.Stop(t.Context()); err != nil {
		t.Errorf("Wait of the second: %v", err)
	}
	if err := guest.Close(); err != nil {
		t.Errorf("Close of the second: %v", err)
	}
	if w := guest.Report().Warnings; len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	r.nothingLeft()
}

func TestSessionsRefused(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	s := r.start()
	c, _ := r.second(0)
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*Config)
		want   string
	}{
		"one too many": {func(*Config) {}, "2 of 2 sessions are open (main, s2) and shared memory is reserved for no more: raise sessions"},
		"same name":    {func(c *Config) { c.Session = "s2" }, "session s2 is open already: process "},
		"other plan":   {func(c *Config) { c.Digest = "other" }, "it runs another pipeline than this one"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, _ := r.second(0)
			test.change(&c)
			if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := errors.Join(guest.Stop(t.Context()), guest.Close(), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	r.end(s)
}

// A process that is killed leaves its session to the supervisor.
func TestLostSession(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	s := r.start()
	c, _ := r.second(0)
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	guest.link.wire.close() // as the kernel does
	_ = guest.seat.file.Close()
	if !eventually(func() bool { return len(s.Others()) == 0 }) {
		t.Fatal("the lost session is kept")
	}
	gone := func() bool {
		_, err := os.Stat(filepath.Join(seatDir(r.config.Dir), "s2"))
		return errors.Is(err, os.ErrNotExist)
	}
	if !eventually(gone) {
		t.Error("its name is kept")
	}
	guest.Kill()
	_ = guest.Close()
	again, out := r.second(20)
	guest, err = Start(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if err := guest.Wait(t.Context()); err != nil || out.len() != 20 {
		t.Errorf("after it: %v, %d", err, out.len())
	}
	if err := errors.Join(guest.Close(), s.Stop(t.Context())); err != nil {
		t.Error(err)
	}
	r.end(s)
}

// A process that is killed before it is let in leaves no session.
func TestKilledBeforeItIsLetIn(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	s := r.start()
	for _, say := range []string{"nothing", "who it is"} {
		conn, err := s.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(seatDir(r.config.Dir), "killed")
		if err := os.WriteFile(path, nil, 0o600); err != nil { // with no lock: its owner is dead
			t.Fatal(err)
		}
		if say != "nothing" {
			if _, err := conn.Write([]byte(`{"open":{"session":"killed","digest":"of another pipeline"}}` + "\n")); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if !eventually(func() bool {
			_, err := os.Stat(path)
			return errors.Is(err, fs.ErrNotExist)
		}) {
			t.Errorf("it said %s: its session stays", say)
		}
	}
	if all := owned(r.config.Dir); len(all) != 1 || !all["main"] {
		t.Errorf("sessions: %v", all)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	r.end(s)
}

// Of two first ones at once, one runs the project and the other joins it.
func TestTwoFirstSessions(t *testing.T) {
	r := newSharedRig(t, 100, 2)
	r.engine.lag = 100 * time.Millisecond
	c, _ := r.second(100)
	type result struct {
		s   *Session
		err error
	}
	both := make(chan result, 2)
	for _, c := range []Config{r.config, c} {
		go func() {
			s, err := Start(t.Context(), c)
			both <- result{s, err}
		}()
	}
	names := map[string]bool{}
	closed := make(chan error, 2)
	for range 2 {
		got := <-both
		if got.err != nil {
			t.Fatal(got.err)
		}
		if err := got.s.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		names[got.s.Report().Session] = true
		go func() { closed <- got.s.Close() }()
	}
	if err := errors.Join(<-closed, <-closed); err != nil {
		t.Error(err)
	}
	if len(names) != 2 && !names["main"] { // the first may have ended before the second came
		t.Errorf("sessions: %v", names)
	}
	r.nothingLeft()
}

// One that comes while the last one leaves starts the project anew.
func TestArrivalWhileTheLastLeaves(t *testing.T) {
	r := newSharedRig(t, 20, 2)
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	started := make(chan *Session)
	c, out := r.second(30)
	go func() {
		s, err := Start(t.Context(), c)
		if err != nil {
			t.Error(err)
		}
		started <- s
	}()
	time.Sleep(50 * time.Millisecond)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	next := <-started
	if next == nil {
		return
	}
	if err := next.Wait(t.Context()); err != nil || out.len() != 30 {
		t.Errorf("Wait: %v, %d lines", err, out.len())
	}
	r.end(next)
}

func TestJoinOfNothing(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	if _, err := Join(t.Context(), r.config); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Join: %v", err)
	}
	r.nothingLeft()
}

// Two that leave at the same moment leave nothing.
func TestTwoLeaveAtOnce(t *testing.T) {
	for range 10 {
		r := newSharedRig(t, 0, 2)
		s := r.start()
		c, _ := r.second(0)
		guest, err := Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		closed := make(chan error, 2)
		for _, one := range []*Session{s, guest} {
			go func() { closed <- errors.Join(one.Stop(t.Context()), one.Close()) }()
		}
		if err := errors.Join(<-closed, <-closed); err != nil {
			t.Error(err)
		}
		r.nothingLeft()
	}
}
