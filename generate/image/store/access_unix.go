//go:build unix

package store

import (
	"os"

	"golang.org/x/sys/unix"
)

// writable asks without opening: closing a file drops all locks that this
// process has on it.
func writable(path string) bool { return unix.Access(path, unix.W_OK) == nil }

// lockable tries a lock in a directory, on a file of its own. SQLite takes a
// file system that has none for one whose file somebody else holds.
func lockable(dir string) bool {
	file, err := os.CreateTemp(dir, ".image_cache-*")
	if err != nil {
		return true // says nothing about locks
	}
	defer os.Remove(file.Name())
	defer file.Close()
	return unix.FcntlFlock(file.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}) == nil
}
