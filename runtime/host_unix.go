//go:build unix

package runtime

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFollow keeps an open from following a link.
const noFollow = syscall.O_NOFOLLOW

// tryLock locks a file for this process; false if another one has it.
func tryLock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

// free is the bytes that dir's file system has left.
func free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil //nolint:unconvert // other systems have other types
}

// owner is the uid of a file's owner.
func owner(i os.FileInfo) int {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// mapFile maps a file of shared memory.
func mapFile(path string) (mem []byte, unmap func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	// Shared and writable: a view of a ledger tries to format it, and on some
	// processors the attempt counts as a write, which would make a private copy.
	mem, err = unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, err
	}
	return mem, func() error { return unix.Munmap(mem) }, nil
}

// descriptorLimit is how many files the process may have open. Go raises the
// soft limit to the hard one when it starts.
func descriptorLimit() int {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return math.MaxInt32
	}
	return bounded(uint64(r.Cur)) //nolint:unconvert // other systems have other types
}

// kernel is this machine's kernel release.
func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// holds says whether a process has a file open; a process id alone may be
// that of another process, or of another container.
func holds(pid int, path string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && target == path {
			return true
		}
	}
	return false
}

// lives says whether there is a process of that id, whoever's it is.
func lives(pid int) bool {
	return pid > 0 && pid <= math.MaxInt32 && !errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// ask asks a process to end.
func ask(pid int) error { return unix.Kill(pid, unix.SIGTERM) }
