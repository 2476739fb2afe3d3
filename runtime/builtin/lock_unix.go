//go:build unix

package builtin

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lock takes the file for this opening of it, as long as it is open; false if
// another has it.
func lock(f *os.File) (bool, error) {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
