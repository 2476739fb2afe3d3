package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// SessionInfo is one session of a project, as Sessions lists it.
type SessionInfo struct {
	Session    string    `json:"session"`
	State      string    `json:"state"` // starting, running, stopping, ended, failed; lost: its process is gone
	Started    time.Time `json:"started"`
	AgeS       float64   `json:"age_s"`
	Frames     uint64    `json:"frames"` // received, on all connections
	PID        int       `json:"pid"`
	Supervises bool      `json:"supervises"` // its process runs the containers
}

// seat is what a session's owner keeps locked while the session lives: the file
// of its name in the project's directory. The kernel unlocks it when the owner
// dies.
type seat struct {
	file *os.File
	path string
	seatText
}

// seatText is what a seat says.
type seatText struct {
	PID        int            `json:"pid"`
	Started    time.Time      `json:"started"`
	State      string         `json:"state"`
	Supervises bool           `json:"supervises,omitempty"`
	Channels   map[string]int `json:"channels"` // of the session, with the number of their readers
}

func seatDir(dir string) string { return filepath.Join(dir, "sessions") }

// errTaken says that a session of that name is open.
var errTaken = errors.New("is open already")

// takeSeat locks a session's name, or says who has it.
func takeSeat(dir, name string, text seatText) (*seat, error) {
	path := filepath.Join(seatDir(dir), name)
	var owner seatText
	for range 5 { // who only looks has it for a moment
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, ErrNotRunning
		}
		if err != nil {
			return nil, fmt.Errorf("session %s: %w", name, err)
		}
		s := &seat{file: f, path: path, seatText: text}
		free, err := tryLock(f)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("session %s: %w", name, err), f.Close())
		}
		if free && s.isCurrent() {
			return s, s.write()
		}
		owner = readSeat(f.Name())
		_ = f.Close()
		time.Sleep(5 * time.Millisecond)
	}
	return nil, fmt.Errorf("session %s %w: process %d since %s", name, errTaken, owner.PID, owner.Started.Format(time.TimeOnly))
}

// isCurrent says whether the file is still there: that of one who has just left
// is locked in vain.
func (s *seat) isCurrent() bool {
	mine, err := s.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(s.path)
	return err == nil && os.SameFile(mine, now)
}

// takeAnySeat locks the first free name of main, s2, s3, and so on.
func takeAnySeat(dir string, text seatText) (*seat, string, error) {
	for n := 1; ; n++ {
		name := defaultSession
		if n > 1 {
			name = fmt.Sprintf("s%d", n)
		}
		s, err := takeSeat(dir, name, text)
		if !errors.Is(err, errTaken) {
			return s, name, err
		}
	}
}

func (s *seat) write() error {
	text, err := json.Marshal(s.seatText)
	if err != nil {
		return err
	}
	if err := s.file.Truncate(0); err != nil {
		return err
	}
	_, err = s.file.WriteAt(text, 0)
	return err
}

// leave gives the name back.
func (s *seat) leave() error {
	err := os.Remove(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.file.Close())
}

func readSeat(path string) seatText {
	var t seatText
	if text, err := os.ReadFile(path); err == nil {
		_ = json.Unmarshal(text, &t) // empty while it is being written
	}
	return t
}

// sit takes the session's name and keeps it until the session is closed.
func (s *Session) sit() error {
	text := seatText{PID: os.Getpid(), Started: s.begun, State: "starting", Supervises: s.link == nil, Channels: map[string]int{}}
	var err error
	if s.c.Session == "" {
		s.seat, s.c.Session, err = takeAnySeat(s.c.Dir, text)
	} else {
		s.seat, err = takeSeat(s.c.Dir, s.c.Session, text)
	}
	if err != nil {
		return err
	}
	for _, c := range s.c.Channels {
		s.seat.Channels[c.For(s.c.Session).Name] = len(c.Readers)
	}
	mine := s.seat
	s.later("name of session "+s.c.Session, closeTimeout, func(context.Context) error { return mine.leave() })
	return mine.write()
}

// tellState writes the session's state where Sessions finds it.
func (s *Session) tellState() {
	s.tellNodes()
	if state := s.stateName(); s.seat != nil && s.seat.State != state {
		s.seat.State = state
		_ = s.seat.write() // it is for the eye
	}
}

// Sessions lists the sessions of a project by age; none if it does not run.
func Sessions(uid int, project string) ([]SessionInfo, error) {
	dir := Directory(uid, project)
	entries, err := os.ReadDir(seatDir(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sessions of project %s: %w", project, err)
	}
	var all []SessionInfo
	for _, e := range entries {
		f, err := os.OpenFile(filepath.Join(seatDir(dir), e.Name()), os.O_RDWR|noFollow, 0)
		if err != nil {
			continue // it has just ended
		}
		t := readSeat(f.Name())
		if free, err := tryLock(f); free && err == nil {
			t.State = "lost"
		}
		_ = f.Close()
		all = append(all, SessionInfo{
			Session: e.Name(), State: t.State, Started: t.Started, AgeS: time.Since(t.Started).Seconds(),
			Frames: framesOf(dir, t.Channels), PID: t.PID, Supervises: t.Supervises,
		})
	}
	slices.SortFunc(all, func(a, b SessionInfo) int {
		if c := a.Started.Compare(b.Started); c != 0 {
			return c
		}
		return strings.Compare(a.Session, b.Session)
	})
	return all, nil
}

// framesOf reads the ledgers of a session.
func framesOf(dir string, channels map[string]int) uint64 {
	var frames uint64
	for name, readers := range channels {
		mem, unmap, err := mapFile(filepath.Join(dir, "shm", channel.LedgerName(name)))
		if err != nil {
			continue
		}
		if l, err := channel.NewLedger(mem, readers); err == nil {
			for i := range l.Slots() {
				frames += l.Slot(i).Received().Load()
			}
		}
		_ = unmap()
	}
	return frames
}

// CloseSession asks the owner of a session to end it well, as Ctrl-C does.
func CloseSession(uid int, project, name string) error {
	dir := Directory(uid, project)
	path := filepath.Join(seatDir(dir), name)
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		var names []string
		for other, lives := range owned(dir) {
			if lives {
				names = append(names, other)
			}
		}
		if len(names) == 0 {
			return fmt.Errorf("project %s does not run", project)
		}
		slices.Sort(names)
		return fmt.Errorf("project %s has no session %s: it has %s", project, name, strings.Join(names, ", "))
	}
	defer f.Close()
	t := readSeat(f.Name())
	if t.PID <= 0 || !holds(t.PID, path) {
		if len(owners(dir)) > 0 { // down would end theirs
			return fmt.Errorf("session %s has no process any more: the project's other sessions end it within some seconds", name)
		}
		return fmt.Errorf("session %s has no process any more: docker medianode down -p %s removes what it left", name, project)
	}
	return ask(t.PID)
}

// owned are the names of sessions in a project's directory, and whether their
// owners live.
func owned(dir string) map[string]bool {
	entries, err := os.ReadDir(seatDir(dir))
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, e := range entries {
		f, err := os.OpenFile(filepath.Join(seatDir(dir), e.Name()), os.O_RDWR|noFollow, 0)
		if err != nil {
			continue
		}
		free, err := tryLock(f)
		names[e.Name()] = !free || err != nil
		_ = f.Close()
	}
	return names
}

// owners are the processes that have sessions of the project in a directory.
func owners(dir string) []int {
	entries, err := os.ReadDir(seatDir(dir))
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		path := filepath.Join(seatDir(dir), e.Name())
		f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
		if err != nil {
			continue
		}
		t := readSeat(f.Name())
		_ = f.Close()
		if t.PID > 0 && holds(t.PID, path) {
			pids = append(pids, t.PID)
		}
	}
	return pids
}
