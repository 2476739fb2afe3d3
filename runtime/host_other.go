//go:build !unix

package runtime

import (
	"errors"
	"math"
	"os"
)

// noFollow keeps an open from following a link.
const noFollow = 0

func tryLock(*os.File) (bool, error) { return true, nil }

func free(string) (int64, error) { return math.MaxInt64, nil }

func owner(os.FileInfo) int { return os.Getuid() }

func descriptorLimit() int { return math.MaxInt32 }

func kernel() string { return "" }

func ask(int) error { return errors.ErrUnsupported }

func mapFile(string) ([]byte, func() error, error) { return nil, nil, errors.ErrUnsupported }

func holds(int, string) bool { return false }

func lives(int) bool { return false }
