//go:build unix

package channel

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Now is CLOCK_MONOTONIC in ns, the clock of Header.Sent: the same for every
// process and container of a machine. Go reads that clock without a system
// call but does not say its zero, so the zero is measured once.
func Now() uint64 {
	o := clockOrigin()
	return o.ns + uint64(time.Since(o.at))
}

type origin struct {
	at time.Time
	ns uint64
}

//nolint:gochecknoglobals // measured once and never changed
var clockOrigin = sync.OnceValue(func() origin {
	var t unix.Timespec
	at := time.Now()
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return origin{at: at}
	}
	return origin{at: at, ns: uint64(t.Nano())}
})
