package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// lease is the right to build an image: the kernel's lock on a file. It ends
// with its holder, however that ends.
type lease struct{ file *flock.Flock }

// me names this process to whoever waits for it.
func me() string { return "process " + strconv.Itoa(os.Getpid()) }

// acquire waits for the right to build an image. Where files cannot be locked,
// several processes may build the same image, which is slow and not wrong.
func (c *Cache) acquire(ctx context.Context, img generate.Image) (*lease, error) {
	return c.await(ctx, c.lockPath(img.Ref), func() func() {
		return c.Wait(img.Node, "waiting for "+c.holder(ctx, img.Ref))
	})
}

// await waits for the lock of a file; show tells what it waits for.
func (c *Cache) await(ctx context.Context, path string, show func() func()) (*lease, error) {
	if err := os.MkdirAll(c.Locks, 0o755); err != nil {
		c.Say("images are made without a lock: " + err.Error())
		return &lease{}, nil
	}
	for {
		l := &lease{flock.New(path)}
		got, err := l.lock(ctx, show)
		if ctx.Err() != nil {
			l.release()
			return nil, ctx.Err()
		}
		if err != nil {
			_ = l.file.Close()
			c.Say("images are made without a lock: " + err.Error())
			return &lease{}, nil
		}
		// The holder before has removed its file: the lock must be on the one
		// that others find.
		if got && l.current() {
			return l, nil
		}
		_ = l.file.Close()
	}
}

// tryAcquire is acquire for who does not wait; nil if another has the image in
// work.
func (c *Cache) tryAcquire(ref string) (*lease, error) {
	if err := os.MkdirAll(c.Locks, 0o755); err != nil {
		return nil, err
	}
	l := &lease{flock.New(c.lockPath(ref))}
	got, err := l.file.TryLock()
	if err != nil || !got || !l.current() {
		return nil, errors.Join(err, l.file.Close())
	}
	return l, nil
}

// hold keeps images from being removed: who removes one locks it alone. It is
// false if another process has one in work.
func (c *Cache) hold(ctx context.Context, images []generate.Image) ([]*lease, bool) {
	if len(images) == 0 || os.MkdirAll(c.Locks, 0o755) != nil {
		return nil, true // where nothing can be locked nothing is held
	}
	// Who sweeps has a file for a moment.
	soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	var held []*lease
	for _, img := range images {
		for {
			l := &lease{flock.New(c.lockPath(img.Ref))}
			got, err := l.file.TryRLockContext(soon, 5*time.Millisecond)
			if got && l.current() {
				held = append(held, l)
				break
			}
			l.leave()
			if soon.Err() != nil {
				return held, false
			}
			if err != nil {
				break // no locks here
			}
		}
	}
	return held, true
}

// leave gives up a lease that others may have, too: the file stays for sweep.
func (l *lease) leave() { _ = l.file.Close() }

// lock waits for the lock; what it waits for is shown when that takes more than
// a moment: whoever looks whether there is a holder has it for one.
func (l *lease) lock(ctx context.Context, show func() func()) (bool, error) {
	const moment, poll = 100 * time.Millisecond, 50 * time.Millisecond
	soon, cancel := context.WithTimeout(ctx, moment)
	defer cancel()
	if got, err := l.file.TryLockContext(soon, poll/5); got || soon.Err() == nil {
		return got, err
	}
	done := show()
	defer done()
	return l.file.TryLockContext(ctx, poll)
}

// current tells whether the locked file is still the one of its name.
func (l *lease) current() bool {
	mine, err := l.file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(l.file.Path())
	return err == nil && os.SameFile(mine, now)
}

func (l *lease) release() {
	if l.file == nil {
		return
	}
	if l.file.Locked() {
		_ = os.Remove(l.file.Path()) // before the lock: after it the file is another's
	}
	_ = l.file.Close()
}

// holder is who has an image in work, and what for.
func (c *Cache) holder(ctx context.Context, ref string) string {
	rows, err := c.Store.Get(ctx, []store.Ref{refOf(ref)})
	if row := rows[refOf(ref)]; err == nil && row.Status == store.Building && row.Holder != "" {
		return row.Holder + ", which builds the same image"
	}
	return "another process, which uses the same image"
}

// held tells whether a process that lives builds an image.
func (c *Cache) held(ref string) bool {
	path := c.lockPath(ref)
	if _, err := os.Stat(path); err != nil {
		return false
	}
	l := &lease{flock.New(path, flock.SetFlag(os.O_RDWR))}
	got, err := l.file.TryRLock()
	_ = l.file.Close()
	return err == nil && !got
}

// sweep removes the files of holders that were killed.
func (c *Cache) sweep() {
	entries, err := os.ReadDir(c.Locks)
	if err != nil {
		return // there are none
	}
	for _, entry := range entries {
		push := strings.HasSuffix(entry.Name(), pushSuffix)
		if push && !strings.HasSuffix(entry.Name(), c.engineSuffix()+pushSuffix) {
			continue // another engine has the name
		}
		l := &lease{flock.New(filepath.Join(c.Locks, entry.Name()), flock.SetFlag(os.O_RDWR))}
		if got, err := l.file.TryLock(); err == nil && got && l.current() {
			if push {
				c.forget(l.file.Path())
			}
			l.release()
		} else {
			_ = l.file.Close()
		}
	}
}

// lockPath is the file of an image of this engine.
func (c *Cache) lockPath(ref string) string {
	return filepath.Join(c.Locks, strings.NewReplacer("/", "_", ":", "_").Replace(ref)+c.engineSuffix()+lockSuffix)
}

const lockSuffix = ".lock"

// engineSuffix tells the files of one engine from those of another.
func (c *Cache) engineSuffix() string {
	sum := sha256.Sum256([]byte(c.EngineID))
	return "-" + hex.EncodeToString(sum[:4])
}
