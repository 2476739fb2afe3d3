package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Owner is who runs a project.
type Owner struct {
	PID      int       `json:"pid"`
	Pipeline string    `json:"pipeline,omitempty"`
	Started  time.Time `json:"started"`
	// Removes says that it has the project to remove it, and ends by itself: it is
	// waited for, not asked to stop.
	Removes bool `json:"removes,omitempty"`
}

// RunningError says that somebody runs the project already, and, if a session
// might have been opened there, why not.
type RunningError struct {
	Project string
	Owner   Owner // zero if it runs without a process of this machine
	Reason  string
	Asked   time.Duration // to stop, so long ago; 0: it was not
}

// Error names the process and its pipeline.
func (e *RunningError) Error() string {
	if e.Asked > 0 && e.Owner.PID > 0 {
		return fmt.Sprintf("process %d was asked to stop %s ago and has not, as one that Ctrl-Z has stopped: end it with kill -9 %d, then docker medianode down -p %s removes the rest",
			e.Owner.PID, e.Asked.Round(time.Second), e.Owner.PID, e.Project)
	}
	text := fmt.Sprintf("project %s is running already", e.Project)
	if e.Owner.PID == 0 {
		return text + ": stop it with docker medianode down -p " + e.Project + ", or choose another name with --project-name"
	}
	text += fmt.Sprintf(": process %d since %s", e.Owner.PID, e.Owner.Started.Format(time.TimeOnly))
	if e.Owner.Pipeline != "" {
		text += ", " + e.Owner.Pipeline
	}
	if e.Reason != "" {
		return text + "; " + e.Reason + ", or choose another name with --project-name"
	}
	return text + "; choose another name with --project-name"
}

// SpaceError says that the shared memory of a plan does not fit.
type SpaceError struct {
	Dir        string
	Need, Have int64 // bytes
}

// Error states both numbers.
func (e *SpaceError) Error() string {
	return fmt.Sprintf("shared memory: the pipeline needs %s, %s has %s left", size(uint64(e.Need)), e.Dir, size(uint64(max(0, e.Have))))
}

// Unwrap is channel.ErrNoSpace.
func (e *SpaceError) Unwrap() error { return channel.ErrNoSpace }

// place is a project's place on this machine: its directory, the link that is
// iceoryx2's root, and the lock beside the directory that says who runs it.
type place struct {
	project, dir, root string
	uid, gid           int
	lock               *os.File
}

func (p *place) lockPath() string { return p.dir + ".lock" }

// take locks the project, or says who has it.
func (p *place) take(o Owner) error {
	for range 100 {
		if err := p.makeParent(); err != nil {
			return err
		}
		f, err := os.OpenFile(p.lockPath(), os.O_RDWR|os.O_CREATE|noFollow, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the parent was empty, and removed in between
		}
		if err != nil {
			return fmt.Errorf("lock project %s: %w", p.project, err)
		}
		free, err := tryLock(f)
		if err != nil {
			return errors.Join(fmt.Errorf("lock project %s: %w", p.project, err), f.Close())
		}
		if !free {
			running := &RunningError{Project: p.project, Owner: readOwner(f)}
			if err := f.Close(); err != nil || running.Owner.PID != 0 {
				return errors.Join(running, err)
			}
			time.Sleep(time.Millisecond) // it has just come, and says in a moment who it is
			continue
		}
		if p.isCurrent(f) {
			p.lock = f
			return writeOwner(f, o)
		}
		_ = f.Close() // the file of one who has just ended
	}
	return fmt.Errorf("lock project %s: %s comes and goes", p.project, p.lockPath())
}

func (p *place) isCurrent(f *os.File) bool {
	mine, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := os.Lstat(p.lockPath())
	return err == nil && os.SameFile(mine, now)
}

func readOwner(f *os.File) Owner {
	var o Owner
	if text, err := io.ReadAll(io.LimitReader(f, 4096)); err == nil {
		_ = json.Unmarshal(text, &o) // empty while it is being written
	}
	return o
}

func writeOwner(f *os.File, o Owner) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(text, 0)
	return err
}

// makeParent makes the directory of all projects of the user. Everybody may
// write beside it, so what is there must be the user's own.
func (p *place) makeParent() error {
	parent := filepath.Dir(p.dir)
	if err := os.Mkdir(parent, 0o700); err == nil {
		return p.own(parent)
	} else if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("project directory: %w", err)
	}
	info, err := os.Lstat(parent)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("project directory: %w", err)
	}
	if o := owner(info); !info.IsDir() || info.Mode().Perm()&0o022 != 0 || (o != os.Getuid() && o != p.uid) {
		return fmt.Errorf("project directory: %s (%s, uid %d) is not a directory that only this user can write", parent, info.Mode(), o)
	}
	return nil
}

// own gives a path to the uid of the containers.
func (p *place) own(path string) error {
	if os.Getuid() == p.uid && os.Getgid() == p.gid {
		return nil
	}
	if err := os.Lchown(path, p.uid, p.gid); err != nil {
		return fmt.Errorf("project directory: %w", err)
	}
	return nil
}

// fits says whether so many bytes of shared memory are left.
func (p *place) fits(need int64) error {
	parent := filepath.Dir(p.dir)
	have, err := free(parent)
	if err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	if have < need {
		return &SpaceError{Dir: filepath.Dir(parent), Need: need, Have: have}
	}
	return nil
}

// make makes the directory and the link; nothing of them may be there.
func (p *place) make() error {
	for _, dir := range []string{p.dir, filepath.Join(p.dir, "shm"), filepath.Join(p.dir, "iox"), seatDir(p.dir)} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return fmt.Errorf("project directory: %w", err)
		}
		if err := p.own(dir); err != nil {
			return err
		}
	}
	if err := os.Symlink(filepath.Join(p.dir, "iox"), p.root); err != nil {
		return fmt.Errorf("iceoryx2 root: %w", err)
	}
	return nil
}

// wipe removes directory and link; what is not the project's own stays and is
// an error.
func (p *place) wipe() error {
	var err error
	switch target, bad := os.Readlink(p.root); {
	case errors.Is(bad, fs.ErrNotExist):
	case bad != nil, target != filepath.Join(p.dir, "iox"):
		err = fmt.Errorf("iceoryx2 root: %s is in the way and not this project's link", p.root)
	default:
		err = os.Remove(p.root)
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// leave unlocks the project; the parent goes when it is empty.
func (p *place) leave() error {
	if p.lock == nil {
		return nil
	}
	// Removed while locked: whoever opened it before finds out by isCurrent.
	err := os.Remove(p.lockPath())
	err = errors.Join(err, p.lock.Close())
	p.lock = nil
	_ = os.Remove(filepath.Dir(p.dir)) // fails if there are other projects
	return err
}
