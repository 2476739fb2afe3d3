package image_test

import (
	"bufio"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"
)

// decompress reads a layer, compressed or not.
func decompress(r io.Reader) (io.Reader, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(2)
	if err != nil {
		return nil, err
	}
	switch {
	case magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(b)
	case magic[0] == 0x28 && magic[1] == 0xb5:
		return zstd.NewReader(b)
	}
	return b, nil
}
