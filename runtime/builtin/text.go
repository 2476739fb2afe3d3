package builtin

import (
	"bytes"
	"context"
	"fmt"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// newTextFileSource sends each line of a file as a text frame.
func newTextFileSource(s setup) (node.Builtin, error) {
	return lineSource(s, channel.Text)
}

// newJSONLinesSource sends each line of a file as a json frame.
func newJSONLinesSource(s setup) (node.Builtin, error) {
	return lineSource(s, channel.JSON)
}

func lineSource(s setup, kind channel.Kind) (node.Builtin, error) {
	file := source{dir: s.dir, path: s.params.text("path")}
	f, _, err := file.open()
	if err != nil {
		return nil, badPath(err)
	}
	run := func(ctx context.Context, ports *node.Ports) error {
		f, _, err := file.open()
		if err != nil {
			return err
		}
		defer f.Close()
		return lines{name: file.path, from: f, kind: kind}.send(ctx, ports)
	}
	return run, f.Close()
}

// newTextFileSink writes each text frame as one line.
func newTextFileSink(s setup) (node.Builtin, error) {
	return fileSink(s, appendText)
}

// appendText appends the text of a frame as one line: a break at its end goes,
// one inside becomes a space.
func appendText(line []byte, f node.Frame) ([]byte, error) {
	if f.Header.Kind != channel.Text {
		return line, fmt.Errorf("frame %d from %s is %s, want text", f.Header.Sequence, f.Source, f.Header.Kind)
	}
	begin := len(line)
	line = append(line, bytes.TrimRight(f.Payload, "\r\n")...)
	text := line[begin:]
	to := 0
	for i, c := range text {
		switch {
		case c == '\r' && text[i+1] == '\n': // text ends with neither
			continue
		case c == '\r' || c == '\n':
			c = ' '
		}
		text[to] = c
		to++
	}
	return line[:begin+to], nil
}
