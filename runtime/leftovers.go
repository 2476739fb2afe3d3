package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Leftover is one thing of a run whose processes are all gone.
type Leftover struct {
	Kind    string    `json:"kind"`              // container, volume, network, directory, lock, link
	Name    string    `json:"name"`              // for people; a path is its own
	ID      string    `json:"id,omitempty"`      // what the engine calls it
	Project string    `json:"project,omitempty"` // none: a probe's
	State   string    `json:"state,omitempty"`   // of a container
	Made    time.Time `json:"made,omitzero"`
	Bytes   int64     `json:"bytes,omitempty"` // of shared memory, below a directory
}

// Owned is a container, volume or network with a label of this tool.
type Owned struct {
	Kind, ID, Name, Project, State string
	Probe                          string // of a container that was made to probe: the directory
	Made                           time.Time
}

// The kinds of Leftover and Owned, in the order in which they can be removed.
const (
	kindContainer = "container"
	kindVolume    = "volume"
	kindNetwork   = "network"
	kindLink      = "link"
	kindDirectory = "directory"
	kindLock      = "lock"
)

// probePrefix begins the name of a probe's directory; the id of its process follows.
const probePrefix = ".probe-"

// probeTime is longer than a probe takes: what is older belongs to nobody,
// whoever has the process id by now.
const probeTime = time.Minute

// remains is what of a user is on a machine.
type remains struct {
	files   []Leftover
	engine  []Owned
	running map[string]bool // projects that somebody runs
	lives   func(pid int) bool
	now     time.Time
}

// dead judges what of it belongs to nobody.
func (r remains) dead() []Leftover {
	var left []Leftover
	for _, o := range r.engine {
		l := Leftover{Kind: o.Kind, Name: o.Name, ID: o.ID, Project: o.Project, State: o.State, Made: o.Made}
		switch {
		case o.Probe != "" && r.probes(filepath.Base(o.Probe), o.Made):
		case o.Probe == "" && (o.Project == "" || r.running[o.Project]):
		default:
			left = append(left, l)
		}
	}
	for _, f := range r.files {
		if f.Project == "" && r.probes(filepath.Base(f.Name), f.Made) || r.running[f.Project] {
			continue
		}
		left = append(left, f)
	}
	order := []string{kindContainer, kindVolume, kindNetwork, kindLink, kindDirectory, kindLock}
	slices.SortStableFunc(left, func(a, b Leftover) int {
		if c := strings.Compare(a.Project, b.Project); c != 0 {
			return c
		}
		return slices.Index(order, a.Kind) - slices.Index(order, b.Kind)
	})
	return left
}

// probes says whether a probe's process may still be at it.
func (r remains) probes(name string, made time.Time) bool {
	pid, _, _ := strings.Cut(strings.TrimPrefix(name, probePrefix), "-")
	n, err := strconv.Atoi(pid)
	return err == nil && r.lives(n) && r.now.Sub(made) < probeTime
}

// Leftovers lists what runs of a user have left whose processes are all gone:
// what carries this tool's labels in the engine, and directories, locks and links
// on this machine. An error is the engine's; the list then has what is on this
// machine.
func Leftovers(ctx context.Context, e Engine, uid int) ([]Leftover, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r := remains{running: map[string]bool{}, lives: lives}
	var err error
	if r.engine, err = e.Owned(ctx, uid); err != nil {
		err = fmt.Errorf("ask the engine what there is: %w", err)
	}
	// Files after the engine: what begins meanwhile is known to run, and its
	// containers are not on the list.
	r.files = leftFiles(uid)
	for _, project := range r.projects() {
		r.running[project] = isRun(uid, project)
	}
	r.now = time.Now()
	return r.dead(), err
}

// projects are those that anything belongs to.
func (r remains) projects() []string {
	var names []string
	for _, o := range r.engine {
		names = append(names, o.Project)
	}
	for _, f := range r.files {
		names = append(names, f.Project)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" })
}

// isRun says whether a process of this machine supervises the project or has a
// session of it, which may be just taking over.
func isRun(uid int, project string) bool {
	return Running(uid, project) != nil || len(owners(Directory(uid, project))) > 0
}

// leftFiles are the directories, locks and links of a user's projects, running
// or not, and directories of probes.
func leftFiles(uid int) []Leftover {
	parent := filepath.Dir(Directory(uid, "x"))
	var all []Leftover
	entries, _ := os.ReadDir(parent) // none, or another user's, who sees them
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue // it has just gone
		}
		l := Leftover{Kind: kindDirectory, Name: filepath.Join(parent, entry.Name()), Project: entry.Name(), Made: info.ModTime()}
		lock, isLock := strings.CutSuffix(entry.Name(), ".lock")
		switch {
		case strings.HasPrefix(entry.Name(), probePrefix) && entry.IsDir():
			l.Project = ""
		case entry.IsDir() && !strings.HasPrefix(entry.Name(), "."):
			l.Bytes = TreeSize(l.Name)
		case isLock && entry.Type().IsRegular():
			l.Kind, l.Project = kindLock, lock
		default:
			continue
		}
		all = append(all, l)
	}
	return append(all, leftLinks(uid, parent)...)
}

// leftLinks are iceoryx2 roots that lead into a user's directory, by their own names.
func leftLinks(uid int, parent string) []Leftover {
	paths, err := filepath.Glob("/tmp/mn-*")
	if err != nil {
		return nil
	}
	var all []Leftover
	for _, path := range paths {
		target, err := os.Readlink(path)
		rest, ours := strings.CutPrefix(target, parent+"/")
		if err != nil || !ours {
			continue
		}
		project, _, _ := strings.Cut(rest, "/")
		info, err := os.Lstat(path)
		if err == nil && path == channel.NewDomain(uid, project).Root {
			all = append(all, Leftover{Kind: kindLink, Name: path, Project: project, Made: info.ModTime()})
		}
	}
	return all
}

// TreeSize is the bytes of the regular files below a directory.
func TreeSize(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it goes while one looks
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return nil
	})
	return n
}

// RemoveLeftovers removes what Leftovers has listed, projects at the same time
// and each under its lock: one that somebody has begun to run since is left
// alone, which is no error. It returns what is gone.
func RemoveLeftovers(ctx context.Context, e Engine, uid int, left []Leftover) ([]Leftover, error) {
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	byProject := map[string][]Leftover{}
	for _, l := range left {
		byProject[l.Project] = append(byProject[l.Project], l)
	}
	var mu sync.Mutex
	var wait sync.WaitGroup
	var gone []Leftover
	var errs []error
	for project, things := range byProject {
		wait.Go(func() {
			removed, err := removeProject(ctx, e, uid, project, things)
			mu.Lock()
			defer mu.Unlock()
			gone, errs = append(gone, removed...), append(errs, err)
		})
	}
	wait.Wait()
	_ = os.Remove(filepath.Dir(Directory(uid, "x"))) // fails if it holds something
	return gone, errors.Join(errs...)
}

// removeProject removes what is left of one project, or of no project.
func removeProject(ctx context.Context, e Engine, uid int, project string, things []Leftover) (gone []Leftover, err error) {
	if project != "" {
		p := &place{project: project, dir: Directory(uid, project), root: channel.NewDomain(uid, project).Root, uid: uid, gid: os.Getgid()}
		err := p.take(Owner{PID: os.Getpid(), Started: time.Now(), Removes: true})
		if errors.As(err, new(*RunningError)) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		defer func() {
			if bad := p.leave(); err == nil {
				err = bad
			}
		}()
		if len(owners(p.dir)) > 0 {
			return nil, nil // it is being taken over
		}
	}
	// A volume can go when its containers have.
	for _, kinds := range [][]string{{kindContainer}, {kindVolume, kindNetwork, kindLink, kindDirectory, kindLock}} {
		removed, bad := removeAll(ctx, e, things, kinds)
		gone, err = append(gone, removed...), errors.Join(err, bad)
	}
	return gone, err
}

func removeAll(ctx context.Context, e Engine, things []Leftover, kinds []string) ([]Leftover, error) {
	var mu sync.Mutex
	var wait sync.WaitGroup
	var gone []Leftover
	var errs []error
	for _, l := range things {
		if !slices.Contains(kinds, l.Kind) {
			continue
		}
		wait.Go(func() {
			err := remove(ctx, e, l)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("remove %s %s: %w", l.Kind, l.Name, err))
				return
			}
			gone = append(gone, l)
		})
	}
	wait.Wait()
	return gone, errors.Join(errs...)
}

func remove(ctx context.Context, e Engine, l Leftover) error {
	switch l.Kind {
	case kindContainer, kindVolume, kindNetwork:
		return e.Remove(ctx, Owned{Kind: l.Kind, ID: l.ID, Name: l.Name, Project: l.Project})
	case kindDirectory:
		return os.RemoveAll(l.Name)
	case kindLock:
		return nil // it is held, and goes when it is let go
	}
	if err := os.Remove(l.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
