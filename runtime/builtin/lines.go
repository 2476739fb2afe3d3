package builtin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// lines is a text that is sent a frame a line, without line breaks. Lines have
// no time: their presentation time is 0.
type lines struct {
	name string // of the text, for errors
	from io.Reader
	kind channel.Kind // Text or JSON
}

// send sends what is left. Blank lines are no JSON, and passed over there.
func (t lines) send(ctx context.Context, ports *node.Ports) error {
	r := bufio.NewReaderSize(t.from, 1<<16)
	if mark, err := r.Peek(3); err == nil && string(mark) == "\ufeff" { // byte order mark
		_, _ = r.Discard(len(mark))
	}
	most := maxFrame(ports)
	var line []byte
	for number := 1; ; number++ {
		var length int64
		var err error
		line, length, err = readLine(r, line[:0], most)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			err = t.check(line, length, most)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", t.name, number, err)
		}
		if t.kind == channel.JSON && blank(line) {
			continue
		}
		if err := ports.Send(ctx, channel.DefaultOutput, channel.Header{Kind: t.kind}, line); err != nil {
			return err
		}
	}
}

func (t lines) check(line []byte, length, most int64) error {
	switch {
	case length > most:
		return fmt.Errorf("the line has %d bytes, max_frame of the output is %d: raise max_frame: %w", length, most, channel.ErrTooLarge)
	case !utf8.Valid(line):
		return errors.New("the line is not UTF-8")
	case t.kind == channel.JSON && !blank(line):
		return checkJSON(line)
	}
	return nil
}

// blank says that a line has nothing but what JSON calls white space.
func blank(line []byte) bool { return len(bytes.Trim(line, " \t\r")) == 0 }

// checkJSON wants one value, and says where the line stops being one.
func checkJSON(line []byte) error {
	if json.Valid(line) {
		return nil
	}
	err := json.Unmarshal(line, new(json.RawMessage))
	if bad, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON at byte %d: %w", bad.Offset, err)
	}
	return fmt.Errorf("not JSON: %w", err)
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
