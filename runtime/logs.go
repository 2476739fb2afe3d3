package runtime

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxLine  = 16 << 10 // bytes of a line; the rest is cut
	tailSize = 20       // lines of a NodeError
)

// logbook collects the lines of one process: the last ones for an error, all
// for the sink.
type logbook struct {
	node string
	sink *sink
	mu   sync.Mutex
	tail []string
}

// sink gives lines to a LogSink one at a time.
type sink struct {
	mu   sync.Mutex
	take LogSink
}

func (s *sink) line(l LogLine) {
	if s.take == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(l)
}

// next is that of the process after it.
func (b *logbook) next() *logbook { return &logbook{node: b.node, sink: b.sink} }

func (b *logbook) line(l LogLine) {
	b.mu.Lock()
	b.tail = append(b.tail, l.Text)
	if len(b.tail) > tailSize {
		b.tail = b.tail[1:]
	}
	b.mu.Unlock()
	b.sink.line(l)
}

// last are the last lines.
func (b *logbook) last() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.tail...)
}

// liner is a writer that makes lines of one stream of the engine's log.
type liner struct {
	node, stream string
	each         func(LogLine)
	line         []byte
	cut          bool // the line is longer than maxLine
}

// timeSize is the most that the engine's time and a session's mark take in front of a line.
const timeSize = 160

// Write never fails.
func (w *liner) Write(p []byte) (int, error) {
	n := len(p)
	for {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if room := maxLine + timeSize - len(w.line); len(part) > room {
			part, w.cut = part[:room], true
		}
		w.line = append(w.line, part...)
		if end < 0 {
			return n, nil
		}
		w.flush()
		p = p[end+1:]
	}
}

// flush ends a line; also at the end of the stream.
func (w *liner) flush() {
	if len(w.line) == 0 {
		return
	}
	stamp, text, _ := bytes.Cut(w.line, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		at, text = time.Now(), w.line
	}
	text = bytes.TrimSuffix(text, []byte("\r"))
	session, text := sessionOf(text)
	if len(text) > maxLine {
		text, w.cut = text[:maxLine], true
	}
	level, text := levelOf(text)
	clean := escape(text)
	if w.cut {
		clean += " …"
	}
	w.each(LogLine{Time: at, Node: w.node, Session: session, Stream: w.stream, Level: level, Text: clean})
	w.line, w.cut = w.line[:0], false
}

// sessionOf takes the mark of a session off a line, with which the SDK begins the
// lines that are of one:
//
//	session=main level=info msg="it works"
//
// A node's own line that begins like that has a mark without a name.
func sessionOf(line []byte) (string, []byte) {
	rest, ok := bytes.CutPrefix(line, []byte("session="))
	if !ok {
		return "", line
	}
	name, text, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(name) > maxName || bytes.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
		return "", line
	}
	return string(name), text
}

// maxName is the longest name that a session has.
const maxName = 63

func isNameRune(r rune) bool {
	return r == '_' || r == '-' || (r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)))
}

// levelOf takes a line of the SDK's log apart, which is logfmt:
//
//	level=warning msg="frame is late" by_ms=12
//
// It returns the level and the message with what follows it; any other line has
// no level and stays as it is.
func levelOf(line []byte) (string, []byte) {
	rest, ok := bytes.CutPrefix(line, []byte("level="))
	if !ok {
		return "", line
	}
	level, rest, ok := bytes.Cut(rest, []byte(" msg="))
	if !ok || !slices.Contains([]string{"debug", "info", "warning", "error"}, string(level)) {
		return "", line
	}
	if !bytes.HasPrefix(rest, []byte(`"`)) { // one word
		return string(level), rest
	}
	quoted, err := strconv.QuotedPrefix(string(rest))
	if err != nil { // cut in the middle
		return string(level), rest
	}
	message, err := strconv.Unquote(quoted)
	if err != nil {
		return string(level), rest
	}
	return string(level), append([]byte(message), rest[len(quoted):]...)
}

// escape makes text that cannot steer a terminal: control characters, broken
// UTF-8 and characters that turn the direction of text become escapes.
func escape(text []byte) string {
	plain := func(r rune) bool { return r == '\t' || (unicode.IsPrint(r) && r != utf8.RuneError) }
	if utf8.Valid(text) && bytes.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return string(text)
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case plain(r) || r == utf8.RuneError:
			b.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r < 0x10000:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
		text = text[n:]
	}
	return b.String()
}
