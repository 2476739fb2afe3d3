//go:build cgo && linux

package iox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// bell is the means of an end to wake the other and to be woken. A goroutine
// that waits is parked in Go's netpoller, not a thread in C.
type bell struct {
	mu     sync.RWMutex // held for reading during a call of the library
	raw    *cBell       // nil once closed
	file   *os.File
	conn   syscall.RawConn
	turn   chan struct{} // taken by the goroutine that waits
	listen func(uintptr) bool
	heard  error // of listen, belongs to who has the turn
}

func newBell(n *cNode, s *cSpec, writer bool) (*bell, error) {
	raw, err := openBell(n, s, writer)
	if err != nil {
		return nil, err
	}
	b := &bell{raw: raw, turn: make(chan struct{}, 1)}
	b.listen = b.drained
	if err := b.poll(); err != nil {
		dropBell(raw)
		return nil, fmt.Errorf("wait for events: %w", err)
	}
	return b, nil
}

// poll gives a descriptor of the bell's socket to the netpoller: one of its
// own, because each side closes the one it has.
func (b *bell) poll() error {
	fd, err := unix.FcntlInt(uintptr(bellFD(b.raw)), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate descriptor: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return errors.Join(err, unix.Close(fd))
	}
	b.file = os.NewFile(uintptr(fd), "iceoryx2 listener")
	if b.conn, err = b.file.SyscallConn(); err == nil {
		// Only what the poller knows takes a deadline.
		err = b.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		return errors.Join(err, b.file.Close())
	}
	return nil
}

func (b *bell) ring() error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.raw == nil {
		return channel.ErrClosed
	}
	return ringBell(b.raw)
}

// drained takes the wake-ups and says whether the wait is over.
func (b *bell) drained(uintptr) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.raw == nil {
		b.heard = channel.ErrClosed
		return true
	}
	rung, err := drainBell(b.raw)
	b.heard = err
	return rung || err != nil
}

// wait returns when the bell rang, after limit, or with an error.
func (b *bell) wait(ctx context.Context, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	if ok, err := b.enter(ctx, limit); !ok {
		return err
	}
	defer func() { <-b.turn }()
	_ = b.file.SetReadDeadline(deadline) // closed: Read says so
	if ctx.Done() != nil {
		// If this comes late, it ends another's wait early, which is allowed.
		stop := context.AfterFunc(ctx, func() { _ = b.file.SetReadDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	b.heard = nil
	err := b.conn.Read(b.listen)
	switch {
	case err == nil:
		return b.heard
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ctx.Err()
	case b.closed(): // Read has an error of its own for it
		return channel.ErrClosed
	}
	return fmt.Errorf("wait: %w", err)
}

func (b *bell) closed() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.raw == nil
}

// enter takes the turn to wait. Without it, the wait is over: after limit, or
// because of ctx.
func (b *bell) enter(ctx context.Context, limit time.Duration) (bool, error) {
	select {
	case b.turn <- struct{}{}:
		return true, nil
	default:
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case b.turn <- struct{}{}:
		return true, nil
	case <-ctx.Done():
		return false, ctx.Err()
	case <-timer.C:
		return false, nil
	}
}

// close ends the bell, safe twice; who waits is told.
func (b *bell) close() {
	b.mu.Lock()
	raw := b.raw
	b.raw = nil
	b.mu.Unlock()
	if raw == nil {
		return
	}
	_ = b.file.Close()
	dropBell(raw)
}
