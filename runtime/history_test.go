package runtime

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// historian is a session that has a directory and one node.
func historian(t *testing.T) (*Session, *member) {
	t.Helper()
	s, err := newSession(t.Context(), Config{Project: "p", Dir: t.TempDir(), Open: newRig(t, 0).config.Open})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stopLife)
	m := newMember(Node{Restart: Restart{Policy: "always", MaxAttempts: 3, Window: time.Minute}}, s.sink)
	m.ID = "mid"
	s.members = []*member{m}
	return s, m
}

// What one process has counted another one goes on with.
func TestHistory(t *testing.T) {
	before, m := historian(t)
	dead := &Container{ID: "c", Started: time.Now().Add(-time.Hour)}
	m.dead = dead
	m.recent = []time.Time{time.Now().Add(-2 * time.Minute), time.Now().Add(-50 * time.Second)}
	m.restarts, m.delay = 7, 400*time.Millisecond
	before.plan(m)
	if m.restarts != 8 || len(m.recent) != 2 || m.delay != 800*time.Millisecond {
		t.Fatalf("planned: %+v", m.revival)
	}

	after, n := historian(t)
	after.c.Dir = before.c.Dir
	n.restarts = 7 // as it was told of
	after.recallHistory()
	if n.restarts != 8 || n.heard != 7 || n.delay != m.delay || len(n.recent) != 2 {
		t.Errorf("recalled: %+v", n.revival)
	}
	for i := range n.recent {
		if d := n.recent[i].Sub(m.recent[i]).Abs(); d > time.Second {
			t.Errorf("restart %d is off by %s", i, d)
		}
	}
	after.keepHistory() // of another node's restart, before the death of this one is found
	third, o := historian(t)
	third.c.Dir = before.c.Dir
	third.recallHistory()
	o.dead = dead
	if !o.isPlanned() {
		t.Error("the process after the next one does not know the death")
	}
	n.dead = &Container{ID: "c", Started: dead.Started}
	if !n.isPlanned() {
		t.Error("the death is not known")
	}
	if wait := after.plan(n); wait > 800*time.Millisecond || wait < 300*time.Millisecond || n.restarts != 8 || n.isPlanned() {
		t.Errorf("waits %s, %+v", wait, n.revival)
	}
	n.dead = &Container{ID: "c", Started: time.Now()} // the next process
	if after.plan(n); n.restarts != 9 || len(n.recent) != 3 {
		t.Errorf("the next death: %+v", n.revival)
	}
}

// Whoever is killed while it writes leaves what was there before.
func TestHistoryTorn(t *testing.T) {
	tests := map[string]struct {
		file, part string
		restarts   int
		warned     string
	}{
		"none":         {"", "", 0, ""},
		"part":         {"", `{"mid":{"cou`, 0, ""},
		"part beside":  {`{"mid":{"count":2,"at":[1,2]}}`, `{"mid":{"cou`, 2, ""},
		"torn":         {`{"mid":{"cou`, "", 0, "restarts of before are not known, they are counted anew: "},
		"other nodes":  {`{"old":{"count":2}}`, "", 0, ""},
		"of a future":  {`{"mid":{"count":2,"at":[18446744073709551615],"more":1}}`, "", 2, ""},
		"another kind": {`[]`, "", 0, "restarts of before are not known"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, m := historian(t)
			path := historyPath(s.c.Dir)
			for path, text := range map[string]string{path: test.file, path + "~": test.part} {
				if text != "" {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.recallHistory()
			if told := strings.Join(s.warnings, "\n"); m.restarts != test.restarts || !strings.HasPrefix(told, test.warned) || (told == "") != (test.warned == "") {
				t.Errorf("%d restarts, warned %q", m.restarts, told)
			}
			m.restarts++
			s.keepHistory()
			next, n := historian(t)
			next.c.Dir = s.c.Dir
			if next.recallHistory(); n.restarts != m.restarts {
				t.Errorf("%d restarts written, %d read", m.restarts, n.restarts)
			}
		})
	}
}

// A place that takes no file is told of once, and nodes are started all the same.
func TestHistoryCannotBeKept(t *testing.T) {
	s, m := historian(t)
	s.c.Dir = filepath.Join(s.c.Dir, "none")
	s.plan(m)
	s.plan(m)
	if len(s.warnings) != 1 || !strings.HasPrefix(s.warnings[0], "restarts cannot be noted") || m.restarts != 2 {
		t.Errorf("%q, %+v", s.warnings, m.revival)
	}
}

// A death that the process before has counted is not counted again, and the
// restart that it did not come to is made up for; the next one counts.
func TestRestartOfTheOneBefore(t *testing.T) {
	for name, counted := range map[string]bool{"counted": true, "not counted": false} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 0)
			r.again(Restart{Policy: "on-failure", MaxAttempts: 1})
			s := r.start()
			r.engine.mu.Lock()
			of := &death{"id-mid", r.engine.containers["id-mid"].Started}
			r.engine.mu.Unlock()
			if !counted {
				of.Started = of.Started.Add(-time.Minute) // of the process before
			}
			s.post(func() {
				m := s.members[1]
				m.recall(past{Count: 1, At: m.past().At, Delay: firstDelay, Of: of})
				m.recent = []time.Time{time.Now()}
			})
			r.kill()
			if counted {
				eventually(func() bool { return s.Report().Nodes[1].Restarts == 1 && s.Report().Nodes[1].State == StateRunning })
				r.kill()
			}
			err := s.Wait(t.Context())
			want := 0 // in this session
			if counted {
				want = 1
			}
			var got *NodeError
			if !errors.As(err, &got) || got.Restarts != want {
				t.Errorf("Wait: %v", err)
			}
			r.end(s)
			if w := s.Report().Warnings; len(w) != want || want == 1 && !strings.HasSuffix(w[0], "restart 1 of 1") {
				t.Errorf("warnings: %q", w)
			}
		})
	}
}
