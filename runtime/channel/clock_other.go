//go:build !unix

package channel

import "time"

// Now is a monotonic time in ns. Frames do not cross processes on a system
// without POSIX clocks, so the process's own zero will do.
func Now() uint64 { return uint64(time.Since(zero)) }

var zero = time.Now()
