// Package iox is the channel.Transport between processes and containers of one
// machine: iceoryx2 shared memory, reached through a small Rust library of
// which iox.h is the interface. It needs cgo, Linux, and the library, which
// go generate builds.
package iox

import (
	"fmt"

	"github.com/medianode/docker-medianode/runtime/channel"
)

//go:generate cargo build --release --locked --manifest-path shim/Cargo.toml

// Version is the version of iceoryx2, exact: peers with another one do not
// talk to this one.
const Version = "0.10.0"

// Code says what kind an Error is. The values are those of iox.h.
type Code int32

// The codes of errors.
const (
	Other    Code = iota + 1
	Panic         // the library panicked
	Invalid       // an argument
	Exists        // the channel is there
	Missing       // the channel is not there
	Occupied      // as many ports or processes as the channel admits
	Loaned        // wraps channel.ErrLoaned
	TooLarge      // wraps channel.ErrTooLarge
	Held          // wraps channel.ErrHeld
	NoSpace       // wraps channel.ErrNoSpace
)

// Error is an error of iceoryx2 or of the files beside it.
type Error struct {
	Op   string // what was asked for
	Code Code
	Text string // the library's own words

	Need, Have uint64 // bytes, if Code is NoSpace
}

// Error is the operation, the library's words and, where something did not fit,
// the numbers.
func (e *Error) Error() string {
	if e.Code == NoSpace {
		return fmt.Sprintf("%s: %v: %d bytes needed, %d free", e.Op, channel.ErrNoSpace, e.Need, e.Have)
	}
	return e.Op + ": " + e.Text
}

// Unwrap is the error of package channel that this one is, if any.
func (e *Error) Unwrap() error {
	switch e.Code {
	case Loaned:
		return channel.ErrLoaned
	case TooLarge:
		return channel.ErrTooLarge
	case Held:
		return channel.ErrHeld
	case NoSpace:
		return channel.ErrNoSpace
	}
	return nil
}
