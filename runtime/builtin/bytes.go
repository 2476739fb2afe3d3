package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// chunks are bytes that are sent in frames of size bytes; the last one is
// shorter. They have no time: their presentation time is 0.
type chunks struct {
	name string // for errors
	from io.Reader
	size int64
}

func (c chunks) send(ctx context.Context, ports *node.Ports) error {
	if have := maxFrame(ports); c.size > have {
		return fmt.Errorf("%s: a frame needs %d bytes, max_frame of the output is %d: raise max_frame or lower chunk: %w", c.name, c.size, have, channel.ErrTooLarge)
	}
	buf := make([]byte, c.size)
	for at := int64(0); ; {
		n, err := io.ReadFull(c.from, buf)
		last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !last {
			return fmt.Errorf("%s: at byte %d: %w", c.name, at+int64(n), err)
		}
		if n > 0 {
			if err := ports.Send(ctx, channel.DefaultOutput, channel.Header{Kind: channel.Bytes}, buf[:n]); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
		at += int64(n)
	}
}

// fileSource sends the bytes of any file: in one frame, or in chunks.
type fileSource struct {
	file  source
	chunk int64 // 0: the whole file
}

func bytesSource(s setup) fileSource {
	return fileSource{file: source{dir: s.dir, path: s.params.text("path")}, chunk: s.params.integer("chunk")}
}

func newFileSource(s setup) (node.Builtin, error) {
	b := bytesSource(s)
	f, _, err := b.file.open()
	if err != nil {
		return nil, badPath(err)
	}
	return b.run, f.Close()
}

func bytesMaxFrame(s setup) (int64, error) {
	b := bytesSource(s)
	if b.chunk > 0 {
		return b.chunk, nil
	}
	f, size, err := b.file.open()
	if err != nil {
		return 0, err
	}
	return max(1, size), f.Close()
}

func (b fileSource) run(ctx context.Context, ports *node.Ports) error {
	f, size, err := b.file.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if b.chunk > 0 {
		return chunks{name: b.file.path, from: f, size: b.chunk}.send(ctx, ports)
	}
	if have := maxFrame(ports); size > have {
		return fmt.Errorf("%s: the file has %d bytes, max_frame of the output is %d: raise max_frame or set chunk: %w", b.file.path, size, have, channel.ErrTooLarge)
	}
	l, err := ports.Loan(channel.DefaultOutput, int(size))
	if err != nil {
		return err
	}
	l.Header.Kind = channel.Bytes
	if n, err := io.ReadFull(f, l.Payload); err != nil {
		_ = l.Release()
		return fmt.Errorf("%s: at byte %d of %d: %w", b.file.path, n, size, err)
	}
	return l.Send(ctx)
}

// newFileSink writes the payloads of frames, one after the other.
func newFileSink(s setup) (node.Builtin, error) {
	dir, path := s.dir, s.params.text("path")
	return func(ctx context.Context, ports *node.Ports) error {
		file, err := createSink(dir, path)
		if err != nil {
			return err
		}
		return file.close(ports, each(ctx, ports, func(f node.Frame) error { return file.put(f.Payload) }))
	}, nil
}
