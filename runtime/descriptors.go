package runtime

import (
	"fmt"
	"math"
)

// DescriptorError says that the process may not open as many files as the
// session needs.
type DescriptorError struct {
	Need, Limit int
}

// Error states both numbers and what to do.
func (e *DescriptorError) Error() string {
	return fmt.Sprintf("open files: this session needs some %d descriptors, and the process may have %d: raise the limit, as with ulimit -n %d",
		e.Need, e.Limit, e.Need)
}

// Descriptors as they were counted, each a little rounded up.
const (
	ownDescriptors     = 48 // of the process, and of its calls to the engine
	channelDescriptors = 6  // of a channel
	endDescriptors     = 18 // of an end that this process has
	peerDescriptors    = 4  // of a further reader, at its writer
	logDescriptors     = 2  // of a container whose log is read
)

// descriptors is how many of them the session needs in this process, with or
// without supervising the project. Without them iceoryx2 says that something has
// failed inside it, and the engine seems to be gone.
func (s *Session) descriptors(supervises bool) int {
	n := ownDescriptors + channelDescriptors*len(s.c.Channels)
	for _, m := range s.members {
		switch {
		case m.hasControl() && supervises:
			n += 2*(channelDescriptors+endDescriptors) + logDescriptors
		case m.Container:
			n += logDescriptors
		default:
			n += endDescriptors * len(m.Inputs)
			for _, o := range m.Outputs {
				for _, spec := range o.Channels {
					n += endDescriptors + peerDescriptors*max(0, len(spec.Readers)-1)
				}
			}
		}
	}
	return n
}

// fitsDescriptors is a *DescriptorError if they are too many.
func (s *Session) fitsDescriptors(supervises bool) error {
	if need, limit := s.descriptors(supervises), descriptorLimit(); need > limit {
		return &DescriptorError{Need: need, Limit: limit}
	}
	return nil
}

// bounded is a limit as an int.
func bounded(limit uint64) int { return int(min(limit, math.MaxInt32)) }
