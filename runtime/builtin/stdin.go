package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// Stdio is the standard input and output of the command, for the nodes of one
// pipeline; nil is none.
type Stdio struct {
	In  io.Reader
	Out io.Writer

	reader string // the node that has taken In
}

// takeIn gives the input to one node: two would each get half of it.
func (s *Stdio) takeIn(id string) (io.Reader, error) {
	switch {
	case s == nil || s.In == nil:
		return nil, errors.New("StdinSource: there is no standard input")
	case s.reader != "":
		return nil, fmt.Errorf("StdinSource: node %s reads the standard input already", s.reader)
	}
	s.reader = id
	return s.In, nil
}

func (s *Stdio) out() (io.Writer, error) {
	if s == nil || s.Out == nil {
		return nil, errors.New("StdoutSink: there is no standard output")
	}
	return s.Out, nil
}

// stdinFormats are what StdinSource makes of its input.
func stdinFormats() []string { return []string{"text", "json", "bytes"} }

// newStdinSource sends the standard input, by lines or in chunks.
func newStdinSource(s setup) (node.Builtin, error) {
	in, err := s.stdio.takeIn(s.id)
	if err != nil {
		return nil, err
	}
	format, chunk := s.params.text("format"), s.params.integer("chunk")
	return func(ctx context.Context, ports *node.Ports) error {
		from := newStoppable(ctx, in)
		const name = "stdin"
		switch format {
		case "json":
			return lines{name: name, from: from, kind: channel.JSON}.send(ctx, ports)
		case "bytes":
			return chunks{name: name, from: from, size: chunk}.send(ctx, ports)
		}
		return lines{name: name, from: from, kind: channel.Text}.send(ctx, ports)
	}, nil
}

func stdinMaxFrame(s setup) (int64, error) {
	if s.params.text("format") == "bytes" {
		return s.params.integer("chunk"), nil
	}
	return 0, nil
}

// stoppable reads from a reader whose reads cannot be interrupted, as those of
// a terminal. When ctx ends, a read that waits is left behind with what it may
// still get.
type stoppable struct {
	ctx  context.Context
	want chan []byte // a buffer to be filled
	got  chan result
	buf  []byte
	rest []byte // of buf
	err  error
}

type result struct {
	n   int
	err error
}

func newStoppable(ctx context.Context, from io.Reader) *stoppable {
	s := &stoppable{ctx: ctx, want: make(chan []byte), got: make(chan result, 1), buf: make([]byte, 1<<16)}
	go func() {
		for {
			select {
			case buf := <-s.want:
				n, err := from.Read(buf)
				s.got <- result{n, err} // has room: one is asked for at a time
			case <-ctx.Done():
				return
			}
		}
	}()
	return s
}

func (s *stoppable) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		select {
		case s.want <- s.buf:
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
		select {
		case r := <-s.got:
			s.rest, s.err = s.buf[:r.n], r.err
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
