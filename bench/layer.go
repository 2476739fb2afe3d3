//go:build linux

package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
)

// unpackedSize is the bytes of the files in a layer; 0: the blob is no layer.
func unpackedSize(blob io.Reader) int64 {
	b := bufio.NewReader(blob)
	magic, err := b.Peek(4)
	if err != nil {
		return 0
	}
	var plain io.Reader = b
	switch {
	case magic[0] == 0x1f && magic[1] == 0x8b:
		if plain, err = gzip.NewReader(b); err != nil {
			return 0
		}
	case string(magic) == "\x28\xb5\x2f\xfd":
		d, err := zstd.NewReader(b)
		if err != nil {
			return 0
		}
		defer d.Close()
		plain = d
	case magic[0] == '{':
		return 0
	}
	var sum int64
	for archive := tar.NewReader(plain); ; {
		h, err := archive.Next()
		if err != nil {
			return sum
		}
		sum += h.Size + 1 // a layer of directories is one too
	}
}
