//go:build !linux

package store

import "errors"

func refuseLocks() error { return errors.New("needs seccomp") }
