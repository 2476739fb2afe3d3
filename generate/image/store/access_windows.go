package store

import "os"

// writable knows the read-only attribute only; the rest is found when writing.
func writable(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.IsDir() || info.Mode()&0o200 != 0
}
