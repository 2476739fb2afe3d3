package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is the file system that is mounted on a directory.
func memory(path string) Memory {
	m := Memory{Path: path, Type: "not mounted"}
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		m.Err = fmt.Errorf("%s: %w", path, err)
		return m
	}
	m.Size, m.Free = int64(s.Blocks)*s.Bsize, int64(s.Bavail)*s.Bsize
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		m.Err = err
		return m
	}
	m.Type, m.Options = mounted(string(mounts), path)
	return m
}

// mounted finds the last mount on a path, which is the one that is seen.
func mounted(mounts, path string) (kind string, options []string) {
	kind = "not mounted"
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) >= 4 && f[1] == path {
			kind, options = f[2], strings.Split(f[3], ",")
		}
	}
	return kind, options
}

func free(path string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(s.Bavail) * s.Bsize, nil
}

func openFiles() Files {
	var r unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r)
	return Files{Soft: r.Cur, Hard: r.Max, Err: err}
}

func owner(i os.FileInfo) int {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

func writable(path string) bool { return !errors.Is(unix.Access(path, unix.W_OK), unix.EACCES) }
