package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// format appends a frame as one line, without its break.
type format func(line []byte, f node.Frame) ([]byte, error)

// each gives every frame to take until the inputs end.
func each(ctx context.Context, ports *node.Ports, take func(node.Frame) error) error {
	for {
		f, err := ports.Receive(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = take(f)
		f.Release()
		if err != nil {
			return err
		}
	}
}

// fileSink writes each frame as a line of the file of param path.
func fileSink(s setup, form format) (node.Builtin, error) {
	dir, path := s.dir, s.params.text("path")
	return func(ctx context.Context, ports *node.Ports) error {
		file, err := createSink(dir, path)
		if err != nil {
			return err
		}
		return file.run(ctx, ports, form)
	}, nil
}

func (s *sink) run(ctx context.Context, ports *node.Ports, form format) error {
	var line []byte
	return s.close(ports, each(ctx, ports, func(f node.Frame) (err error) {
		if line, err = form(line[:0], f); err != nil {
			return err
		}
		return s.line(line)
	}))
}

// newStdoutSink prints text frames as lines, or with format json as JSON
// strings, json frames as JSON, and the header of others. A line is one write, so that two sinks do not mix.
func newStdoutSink(s setup) (node.Builtin, error) {
	out, err := s.stdio.out()
	if err != nil {
		return nil, err
	}
	json := s.params.text("format") == "json"
	return func(ctx context.Context, ports *node.Ports) error {
		var line []byte
		return each(ctx, ports, func(f node.Frame) (err error) {
			form := appendJSON
			if f.Header.Kind == channel.Text && !json {
				form = appendText
			}
			if line, err = form(line[:0], f); err != nil {
				return err
			}
			if _, err = out.Write(append(line, '\n')); err != nil {
				return fmt.Errorf("standard output: %w", err)
			}
			return nil
		})
	}, nil
}

// newNullSink takes frames and forgets them.
func newNullSink(setup) (node.Builtin, error) {
	return func(ctx context.Context, ports *node.Ports) error {
		return each(ctx, ports, func(node.Frame) error { return nil })
	}, nil
}
