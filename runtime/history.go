package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// How often nodes were started again is in a file of the project's directory, so
// that a limit holds although the process that supervises is killed. A restart is
// written before it is done: who takes over finds a death that is counted already,
// or one that is not, and in both cases counts it once. The file is replaced as a
// whole; a machine that goes down takes it with all else in that directory.

// past is what the file says of a node. Times are CLOCK_MONOTONIC in ns, which all
// processes of a machine have in common and nobody can set.
type past struct {
	Count int           `json:"count"`    // of the whole run
	At    []uint64      `json:"at"`       // those that may count against the limit
	Delay time.Duration `json:"delay_ns"` // before the last one
	Of    *death        `json:"of,omitempty"`
}

// death names the process whose death the last restart follows.
type death struct {
	Container string    `json:"container"`
	Started   time.Time `json:"started"`
}

func (d *death) is(c *Container) bool {
	return d != nil && c != nil && d.Container == c.ID && d.Started.Equal(c.Started)
}

func historyPath(dir string) string { return filepath.Join(dir, "restarts.json") }

// past is what is to be remembered of a node's restarts.
func (m *member) past() past {
	p := past{Count: m.restarts, Delay: m.delay, Of: m.planned} // if that death has not been found yet
	now, mono := time.Now(), channel.Now()
	for _, at := range m.recent {
		p.At = append(p.At, mono-uint64(now.Sub(at)))
	}
	if m.dead != nil {
		p.Of = &death{m.dead.ID, m.dead.Started}
	}
	return p
}

// recall takes over what another process did for a node.
func (m *member) recall(p past) {
	m.heard, m.restarts = m.restarts, max(m.restarts, p.Count)
	m.delay, m.planned, m.recent = p.Delay, p.Of, nil
	now, mono := time.Now(), channel.Now()
	for _, at := range p.At {
		m.recent = append(m.recent, now.Add(-time.Duration(mono-min(at, mono))))
	}
	if n := len(m.recent); n > 0 {
		m.born = m.recent[n-1].Add(m.delay)
	}
}

// isPlanned says whether the restart that follows the death of a node is counted
// already: by the process that supervised before this one.
func (m *member) isPlanned() bool { return m.planned.is(m.dead) }

// keepHistory writes the restarts of all nodes.
func (s *Session) keepHistory() {
	all := map[string]past{}
	for _, m := range s.members {
		if m.restarts > 0 {
			all[m.ID] = m.past()
		}
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = replaceFile(historyPath(s.c.Dir), text)
	}
	if err != nil && !s.forgetful {
		s.forgetful = true
		s.warn(fmt.Sprintf("restarts cannot be noted, a process that takes over would count them anew: %v", err))
	}
}

// recallHistory reads what the process before this one wrote.
func (s *Session) recallHistory() {
	var all map[string]past
	text, err := os.ReadFile(historyPath(s.c.Dir))
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		s.warn(fmt.Sprintf("restarts of before are not known, they are counted anew: %v", err))
		return
	}
	for _, m := range s.members {
		if p, ok := all[m.ID]; ok {
			m.recall(p)
		}
	}
}

// replaceFile writes a file that readers see whole, as it was or as it is. Who is
// killed meanwhile leaves a part beside it, which the next one overwrites.
func replaceFile(path string, text []byte) error {
	if err := os.WriteFile(path+"~", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+"~", path)
}
