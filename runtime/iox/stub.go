//go:build !cgo || !linux

package iox

import (
	"errors"
	"io"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// ErrNotBuilt is the answer of Open in a program without shared memory.
var ErrNotBuilt = errors.New("shared memory is not built in: build on Linux with CGO_ENABLED=1 after go generate ./runtime/iox")

// Transport cannot be had in this build.
type Transport struct{}

var _ channel.Transport = (*Transport)(nil)

// Open answers ErrNotBuilt.
func Open(channel.Domain, string) (*Transport, error) { return nil, ErrNotBuilt }

// Create answers ErrNotBuilt.
func (*Transport) Create(channel.Spec) (io.Closer, error) { return nil, ErrNotBuilt }

// Outlet answers ErrNotBuilt.
func (*Transport) Outlet(channel.Spec) (channel.Outlet, error) { return nil, ErrNotBuilt }

// Inlet answers ErrNotBuilt.
func (*Transport) Inlet(channel.Spec, int) (channel.Inlet, error) { return nil, ErrNotBuilt }

// Clean answers ErrNotBuilt.
func (*Transport) Clean() (int, error) { return 0, ErrNotBuilt }

// Close does nothing.
func (*Transport) Close() error { return nil }
