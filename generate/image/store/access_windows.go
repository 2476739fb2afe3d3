package store

import "os"

// writable knows the read-only attribute only; the rest is found when writing.
func writable(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.IsDir() || info.Mode()&0o200 != 0
}

// lockable is any directory: locks are the system's own here.
func lockable(string) bool { return true }
