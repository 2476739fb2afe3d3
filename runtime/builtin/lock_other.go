//go:build !unix

package builtin

import "os"

// lock has nothing to offer where files have no advisory locks.
func lock(*os.File) (bool, error) { return true, nil }
