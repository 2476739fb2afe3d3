package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// DeadLetter is what is kept of a frame that was given up: a node has died with it
// so often that it is not given to it again. It is a line of the dead-letter file.
type DeadLetter struct {
	Time    time.Time `json:"time"`
	Project string    `json:"project"`
	Session string    `json:"session"`
	Node    string    `json:"node"`
	Port    string    `json:"port"`
	From    string    `json:"from"` // node.port
	// Sequence and Header are missing where the process died once more before it
	// could tell which frame it was, Header also where the frame did not come again.
	Sequence *uint64         `json:"sequence,omitempty"`
	Tries    int             `json:"tries"`
	Reason   string          `json:"reason"`
	Header   json.RawMessage `json:"header,omitempty"` // kind, pts_ns, bytes, and what the kind has
}

const (
	// maxLetters is the size in bytes at which the file becomes the one before,
	// NAME.1, of which there is one.
	maxLetters = 1 << 20
	maxReason  = 1 << 10 // bytes of a reason
	// maxUntold is how many letters are written of what only a ledger says, in which
	// the node could write any number.
	maxUntold = 1000
)

// onGivenUp is a node's word of a frame that it was not given again.
func (s *Session) onGivenUp(m *member, st channel.Status) {
	m.letters[st.Source+"."+st.SourcePort+" "+st.Port]++
	s.keepLetter(m, DeadLetter{Port: st.Port, From: st.Source + "." + st.SourcePort, Sequence: st.Sequence, Header: st.Header})
}

// tellUntold writes a letter for each frame that was given up and that no node told
// of: the ledgers count them all.
func (s *Session) tellUntold() {
	for _, m := range s.members {
		for _, in := range m.Inputs {
			l := s.ledgerOf(in.Channel)
			if l == nil || in.Slot >= l.Slots() {
				continue
			}
			from := in.Source + "." + in.SourcePort
			counted := l.Slot(in.Slot).GivenUp().Load()
			for range min(counted-min(m.letters[from+" "+in.Port], counted), maxUntold) {
				if !s.keepLetter(m, DeadLetter{Port: in.Port, From: from}) {
					return // as the next one would be
				}
			}
		}
	}
}

// keepLetter is false if there is no file for it, or it cannot be written.
func (s *Session) keepLetter(m *member, d DeadLetter) bool {
	if s.c.DeadLetters == "" {
		return false
	}
	d.Time, d.Project, d.Session, d.Node, d.Tries = time.Now(), s.c.Project, s.c.Session, m.ID, channel.MaxTries
	d.Reason = fmt.Sprintf("the node died with it %d times", channel.MaxTries)
	if m.fate != "" {
		d.Reason += ", at last: " + m.fate
	}
	if len(d.Reason) > maxReason {
		d.Reason = strings.ToValidUTF8(d.Reason[:maxReason], "") + "…"
	}
	err := appendLetter(s.c.DeadLetters, d, maxLetters)
	if err != nil {
		s.warn(fmt.Sprintf("node %s: a frame that was given up cannot be noted: %v", m.ID, err))
	}
	return err == nil
}

// appendLetter adds a line to the file. Several sessions write to it, one at a time;
// one that is killed in the middle of a line has it ended by the next.
func appendLetter(path string, d DeadLetter, limit int64) error {
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		done, err := tryAppend(path, line, limit)
		if done || err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: somebody else has it locked", path)
}

// tryAppend is false if another process is at the file.
func tryAppend(path string, line []byte, limit int64) (done bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|noFollow, 0o644)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if free, err := tryLock(f); !free || err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(info, now) {
		return false, nil // it has just become the one before
	}
	if info.Size() > 0 && info.Size()+int64(len(line)) > limit {
		return false, os.Rename(path, path+".1")
	}
	if last := make([]byte, 1); info.Size() > 0 {
		if _, err := f.ReadAt(last, info.Size()-1); err == nil && !bytes.Equal(last, []byte("\n")) {
			line = append([]byte("\n"), line...)
		}
	}
	_, err = f.Write(line)
	return true, err
}
