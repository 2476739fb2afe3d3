package builtin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// textFileSource sends each line of a file as a text frame, without its line
// break. Lines have no time: their presentation time is 0.
type textFileSource struct{ file source }

func newTextFileSource(s setup) (node.Builtin, error) {
	t := textFileSource{source{dir: s.dir, path: s.params.text("path")}}
	f, _, err := t.file.open()
	if err != nil {
		return nil, err
	}
	return t.run, f.Close()
}

func (t textFileSource) run(ctx context.Context, ports *node.Ports) error {
	f, _, err := t.file.open()
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" { // byte order mark
		_, _ = r.Discard(len(mark))
	}
	most := maxFrame(ports)
	var line []byte
	for number := 1; ; number++ {
		var length int64
		line, length, err = readLine(r, line[:0], most)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s:%d: %w", t.file.path, number, err)
		case length > most:
			return fmt.Errorf("%s:%d: the line has %d bytes, max_frame of the output is %d: raise max_frame: %w", t.file.path, number, length, most, channel.ErrTooLarge)
		case !utf8.Valid(line):
			return fmt.Errorf("%s:%d: the line is not UTF-8", t.file.path, number)
		}
		if err := ports.Send(ctx, channel.DefaultOutput, channel.Header{Kind: channel.Text}, line); err != nil {
			return err
		}
	}
}

// readLine appends the next line, without its break, and says how long it is.
// Of a line that is longer than a frame it keeps the beginning only, but reads
// on, to tell how long it is. The error is io.EOF only when no line is left.
func readLine(r *bufio.Reader, line []byte, most int64) ([]byte, int64, error) {
	var length int64
	returned := false // the part before ended with a carriage return
	for {
		part, err := r.ReadSlice('\n')
		length += int64(len(part))
		if int64(len(line)) <= most {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			returned = part[len(part)-1] == '\r'
			continue
		}
		if errors.Is(err, io.EOF) && length > 0 {
			err = nil
		}
		if text, ok := bytes.CutSuffix(part, []byte("\n")); ok {
			length--
			if bytes.HasSuffix(text, []byte("\r")) || len(text) == 0 && returned {
				length--
			}
		}
		return line[:min(int64(len(line)), length)], length, err
	}
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
