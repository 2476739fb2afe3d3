package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Deadlines of calls to the engine. A deadline is for an engine that hangs; a
// call that works takes a small part of it.
const (
	callTimeout = 15 * time.Second
	upTimeout   = 2 * time.Minute
	downTimeout = time.Minute
	askTimeout  = 20 * time.Second // for a session that is asked to stop
)

// Down removes what a project has left: containers, volumes, networks, shared
// memory, and what probes of processes have left that were killed. A session of
// this machine that still runs is asked to stop first, and given some time.
func Down(ctx context.Context, e Engine, project string, uid int) error {
	p := &place{
		project: project, dir: Directory(uid, project), root: channel.NewDomain(uid, project).Root,
		uid: uid, gid: os.Getgid(),
	}
	taken := p.takeOver(ctx)
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	err := e.Down(ctx, project, defaultGrace)
	if err != nil {
		err = fmt.Errorf("remove project %s: %w", project, err)
	}
	if taken != nil {
		return errors.Join(taken, err)
	}
	removeProbes(ctx, e, uid)
	return errors.Join(err, p.wipe(), p.leave())
}

// removeProbes removes what belongs to no project: a start that is killed while it
// looks whether the engine sees this machine's memory has none yet. It may be
// another's, so that it is no failure of this project if it cannot be removed.
func removeProbes(ctx context.Context, e Engine, uid int) {
	left, _ := Leftovers(ctx, e, uid)
	left = slices.DeleteFunc(left, func(l Leftover) bool { return l.Project != "" })
	if len(left) > 0 {
		_, _ = RemoveLeftovers(ctx, e, uid, left)
	}
}

// takeOver locks the project, after asking all that run it to stop. Sessions whose
// supervisor has just died need one more to end well: the lock is theirs first.
func (p *place) takeOver(ctx context.Context) error {
	asked, began := map[int]bool{}, time.Now()
	for end := began.Add(askTimeout); ; {
		err := p.take(Owner{PID: os.Getpid(), Started: time.Now(), Removes: true})
		pids := owners(p.dir)
		var running *RunningError
		switch {
		case err == nil && len(pids) == 0:
			return nil
		case err == nil:
			if err := p.leave(); err != nil {
				return err
			}
			err = &RunningError{Project: p.project, Owner: Owner{PID: pids[0], Started: time.Now()}}
		case !errors.As(err, &running):
			return err
		}
		if running != nil && running.Owner.PID > 0 && !running.Owner.Removes && holds(running.Owner.PID, p.lockPath()) {
			pids = append(pids, running.Owner.PID)
		}
		for _, pid := range pids {
			if asked[pid] {
				continue
			}
			asked[pid] = true
			if bad := ask(pid); bad != nil && holds(pid, p.lockPath()) {
				return errors.Join(err, fmt.Errorf("ask it to stop: %w", bad))
			}
		}
		// The lock belongs to another process, which cannot wake this one.
		if time.Now().After(end) || ctx.Err() != nil {
			if errors.As(err, &running) && asked[running.Owner.PID] {
				running.Asked = time.Since(began)
			}
			return err
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// Running is a *RunningError if a process of this machine runs the project. It
// is for saying so early; Start is what decides, by the lock.
func Running(uid int, project string) error { return runningIn(Directory(uid, project), project) }

func runningIn(dir, project string) error {
	p := &place{project: project, dir: dir}
	f, err := os.OpenFile(p.lockPath(), os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil // nobody has it, or Start will say what is wrong
	}
	defer f.Close()
	// Looked at and not tried: even for a moment a lock would be in the way of
	// one who takes it.
	o := readOwner(f)
	if o.PID <= 0 || !holds(o.PID, p.lockPath()) {
		return nil
	}
	return &RunningError{Project: project, Owner: o}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// Ps lists the containers of a project by service.
func Ps(ctx context.Context, e Engine, project string) ([]Container, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	containers, err := e.Containers(ctx, project)
	if err != nil {
		return nil, fmt.Errorf("containers of project %s: %w", project, err)
	}
	slices.SortFunc(containers, func(a, b Container) int { return strings.Compare(a.Service, b.Service) })
	return containers, nil
}

// ErrNoContainers is the error of Logs for a project that has none.
var ErrNoContainers = errors.New("no containers")

// Logs gives the lines of a project's containers to take, one call at a time:
// in the order of their times, or, with Follow, as they come.
func Logs(ctx context.Context, e Engine, project string, o LogOptions, take LogSink) error {
	containers, err := Ps(ctx, e, project)
	if err != nil {
		return err
	}
	if len(containers) == 0 {
		return fmt.Errorf("project %s: %w", project, ErrNoContainers)
	}
	if len(o.Services) > 0 {
		containers = slices.DeleteFunc(containers, func(c Container) bool { return !slices.Contains(o.Services, c.Service) })
	}
	var mu sync.Mutex
	var lines []LogLine
	each := func(l LogLine) {
		mu.Lock()
		defer mu.Unlock()
		if o.Follow {
			take(l)
			return
		}
		lines = append(lines, l)
	}
	var wait sync.WaitGroup
	errs := make([]error, len(containers))
	for i, c := range containers {
		wait.Go(func() { errs[i] = readLogs(ctx, e, c, o, each) })
	}
	wait.Wait()
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.Time.Compare(b.Time) })
	for _, l := range lines {
		take(l)
	}
	return errors.Join(errs...)
}

func readLogs(ctx context.Context, e Engine, c Container, o LogOptions, each func(LogLine)) error {
	out := &liner{node: c.Service, stream: "stdout", each: each}
	bad := &liner{node: c.Service, stream: "stderr", each: each}
	err := e.Logs(ctx, c.ID, o, out, bad)
	out.flush()
	bad.flush()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("logs of %s: %w", c.Service, err)
	}
	return nil
}

// Projects are those of a user that have a directory here.
func Projects(uid int) ([]string, error) {
	entries, err := os.ReadDir(filepath.Dir(Directory(uid, "x")))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	return names, err
}
