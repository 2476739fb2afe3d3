//go:build cgo && linux

package iox

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// ledger is a channel's ledger file, open and mapped. Its locks belong to the
// descriptor.
type ledger struct {
	*channel.Ledger
	mu sync.RWMutex
	fd int // -1 once closed
}

// writerByte and readerByte are the bytes of the file by whose locks the ends
// show that they live.
const writerByte = 0

func readerByte(slot int) int64 { return int64(slot) + 1 }

func ledgerPath(dir string, s channel.Spec) string {
	return filepath.Join(dir, channel.LedgerName(s.Name))
}

// createLedger makes the file anew: what is there is of a channel that is gone.
func createLedger(dir string, s channel.Spec) error {
	path, size := ledgerPath(dir, s), int64(s.Sizes().Ledger)
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove old ledger: %w", err)
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o666)
	if err != nil {
		return fmt.Errorf("create ledger %s: %w", path, err)
	}
	l := &ledger{fd: fd}
	defer l.close()
	if err := l.fill(s, size); err != nil {
		return errors.Join(err, removeLedger(dir, s))
	}
	return nil
}

// fill gives the new file its rights, its memory and its format.
func (l *ledger) fill(s channel.Spec, size int64) error {
	// The umask has no say: containers run as another user. The directory keeps
	// others out.
	if err := unix.Fchmod(l.fd, 0o666); err != nil {
		return fmt.Errorf("create ledger: %w", err)
	}
	err := unix.Fallocate(l.fd, 0, 0, size)
	for errors.Is(err, unix.EINTR) {
		err = unix.Fallocate(l.fd, 0, 0, size)
	}
	if errors.Is(err, unix.ENOSPC) {
		return &Error{Op: "create ledger", Code: NoSpace, Need: uint64(size), Have: freeBytes(l.fd)}
	}
	if err != nil {
		return fmt.Errorf("create ledger: %w", err)
	}
	return l.mapped(s)
}

func freeBytes(fd int) uint64 {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0
	}
	return st.Bavail * uint64(st.Bsize)
}

// removeLedger removes the file; who has it mapped keeps it.
func removeLedger(dir string, s channel.Spec) error {
	if err := unix.Unlink(ledgerPath(dir, s)); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove ledger: %w", err)
	}
	return nil
}

// openLedger opens the file of a channel that was created and takes the lock of
// one of its ends.
func openLedger(dir string, s channel.Spec, end int64) (*ledger, error) {
	path := ledgerPath(dir, s)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, &Error{Op: "open ledger", Code: Missing, Text: "channel " + s.Name + " does not exist"}
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger %s: %w", path, err)
	}
	l := &ledger{fd: fd}
	if err := l.lock(end); err != nil {
		l.close()
		return nil, err
	}
	if err := l.mapped(s); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// mapped maps the file. The memory goes when nothing can reach the ledger any
// more, not with the port: counters are read, and goroutines are in the middle
// of a call, after Close.
func (l *ledger) mapped(s channel.Spec) error {
	var st unix.Stat_t
	if err := unix.Fstat(l.fd, &st); err != nil {
		return fmt.Errorf("map ledger: %w", err)
	}
	size := channel.LedgerSize(len(s.Readers))
	if st.Size < int64(size) {
		return fmt.Errorf("ledger of %d bytes: want %d", st.Size, size)
	}
	mem, err := unix.Mmap(l.fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map ledger: %w", err)
	}
	if l.Ledger, err = channel.NewLedger(mem, len(s.Readers)); err != nil {
		return errors.Join(err, unix.Munmap(mem))
	}
	runtime.AddCleanup(l.Ledger, func(mem []byte) { _ = unix.Munmap(mem) }, mem)
	return nil
}

func (l *ledger) lock(at int64) error {
	// Locks of open file descriptions: closing the file elsewhere in this
	// process does not end them, the end of the process does.
	k := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	err := unix.FcntlFlock(uintptr(l.fd), unix.F_OFD_SETLK, &k)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
		return fmt.Errorf("lock ledger: %w", err)
	case at == writerByte:
		return &Error{Op: "lock ledger", Code: Occupied, Text: "the channel has a writer"}
	}
	return &Error{Op: "lock ledger", Code: Occupied, Text: fmt.Sprintf("reader %d is there", at-1)}
}

// locked says whether somebody else holds the lock at a byte.
func (l *ledger) locked(at int64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.fd < 0 {
		return false
	}
	k := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	if err := unix.FcntlFlock(uintptr(l.fd), unix.F_OFD_GETLK, &k); err != nil {
		return true // not known to be dead
	}
	return k.Type != unix.F_UNLCK
}

// close ends the lock, safe twice; the memory stays. The lock is ended by name:
// the mapping is a use of the open file too, so closing alone keeps it.
func (l *ledger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fd >= 0 {
		k := unix.Flock_t{Type: unix.F_UNLCK}
		_ = unix.FcntlFlock(uintptr(l.fd), unix.F_OFD_SETLK, &k)
		_ = unix.Close(l.fd)
		l.fd = -1
	}
}
