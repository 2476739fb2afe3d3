// Package channel holds what both ends of a connection must agree on: the
// names, the sizes, the frame header, the ledger with its credits, and the
// rules of sending and receiving. How bytes get from one process to another is
// a Transport: package iox (iceoryx2 shared memory) and Memory (one process).
package channel

import "errors"

// Errors of a channel. They are compared with errors.Is; what is wrapped
// around them names the channel and the numbers.
var (
	// ErrClosed is the answer of a port that is closed, or is closed while a
	// call waits in it.
	ErrClosed = errors.New("closed")
	// ErrReleased is the answer to a second Send or Release of one loan or sample.
	ErrReleased = errors.New("already sent or released")
	// ErrTooLarge says that a frame is larger than the channel allows.
	ErrTooLarge = errors.New("frame too large")
	// ErrHeld says that a reader keeps as many frames as its hold allows.
	ErrHeld = errors.New("too many frames held")
	// ErrLoaned says that a writer has as many unsent frames as it may loan.
	ErrLoaned = errors.New("too many frames loaned")
	// ErrNoSpace says that shared memory for the channel does not fit.
	ErrNoSpace = errors.New("shared memory is full")
	// ErrCorrupt says that a peer wrote a header that cannot be true.
	ErrCorrupt = errors.New("corrupt frame header")
)
