package builtin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// payloads are frames as text.
func payloads(frames []taken) []string {
	var list []string
	for _, f := range frames {
		list = append(list, string(f.payload))
	}
	return list
}

func TestJSONLinesSource(t *testing.T) {
	file := "\ufeff{\"a\": [1, 2]}\r\n\n \t\r\n\"\u00e9\"\n12345678901234567890\nnull"
	got, err := runSource(t, "JSONLinesSource", map[string]any{"path": "a.jsonl"}, writeFile(t, "a.jsonl", []byte(file)), 100)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{`{"a": [1, 2]}`, `"é"`, "12345678901234567890", "null"}; !slices.Equal(payloads(got), want) {
		t.Errorf("got %q", payloads(got))
	}
	for _, f := range got {
		if f.header.Kind != channel.JSON {
			t.Errorf("kind %s", f.header.Kind)
		}
	}
}

func TestJSONLinesSourceErrors(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"1\n\n{\"a\": x}\n", "a.jsonl:3: not JSON at byte 7: invalid character 'x'"},
		{"1\n{\n", "a.jsonl:2: not JSON at byte 1: unexpected end of JSON input"},
		{"1\n1 2\n", "a.jsonl:2: not JSON at byte 3: invalid character '2' after top-level value"},
		{"1\nNaN\n", "a.jsonl:2: not JSON at byte 1: invalid character 'N'"},
		{"1\n\"\xff\"\n", "a.jsonl:2: the line is not UTF-8"},
		{"1\n\"0123456789\"\n", "a.jsonl:2: the line has 12 bytes, max_frame of the output is 10: raise max_frame"},
	} {
		got, err := runSource(t, "JSONLinesSource", map[string]any{"path": "a.jsonl"}, writeFile(t, "a.jsonl", []byte(c.file)), 10)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || len(got) != 1 {
			t.Errorf("%d frames, error %v, want %s", len(got), err, c.want)
		}
	}
}

func TestFileSource(t *testing.T) {
	const file = "\x00\xff23456789"
	for _, c := range []struct {
		file  string
		chunk int
		want  []string
		most  int64
	}{
		{file, 0, []string{file}, 10}, {file, 4, []string{"\x00\xff23", "4567", "89"}, 4}, {file, 5, []string{"\x00\xff234", "56789"}, 5},
		{file, 100, []string{file}, 100}, {"", 0, []string{""}, 1}, {"", 4, nil, 4},
	} {
		dir := writeFile(t, "a.bin", []byte(c.file))
		params := map[string]any{"path": "a.bin", "chunk": c.chunk}
		need, err := builtin.MaxFrame("FileSource", params, dir)
		if err != nil || need != c.most {
			t.Errorf("chunk %d: max_frame %d, want %d; %v", c.chunk, need, c.most, err)
		}
		got, err := runSource(t, "FileSource", params, dir, int(need))
		if err != nil || !slices.Equal(payloads(got), c.want) {
			t.Errorf("chunk %d: %q, %v", c.chunk, payloads(got), err)
		}
	}
}

func TestFileSourceErrors(t *testing.T) {
	dir := writeFile(t, "a.bin", []byte("0123456789"))
	outside := writeFile(t, "secret", []byte("x"))
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for want, params := range map[string]map[string]any{
		"a.bin: the file has 10 bytes, max_frame of the output is 9: raise max_frame or set chunk":    {"path": "a.bin"},
		"a.bin: a frame needs 20 bytes, max_frame of the output is 9: raise max_frame or lower chunk": {"path": "a.bin", "chunk": 20},
	} {
		if _, err := runSource(t, "FileSource", params, dir, 9); !errors.Is(err, channel.ErrTooLarge) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	for path, want := range map[string]string{"none": "open none: no such file", ".": "not a regular file", "link": "link leads out of the directory"} {
		for _, nodeType := range []string{"FileSource", "VideoFileSource", "JSONLinesSource"} {
			_, err := builtin.New(channel.Node{ID: "a", Type: nodeType}, map[string]any{"path": path}, dir, nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: error %v, want %s", nodeType, path, err, want)
			}
		}
	}
}

func TestFileSink(t *testing.T) {
	frames := []taken{text("one"), {payload: []byte{0, 255}}, text(""), video(channel.Gray8, 1, 1, 1, 0, []byte("v"))}
	for _, failed := range []bool{false, true} {
		dir, name := t.TempDir(), "a.bin"
		files, err := runSink(t, "FileSink", map[string]any{"path": name}, dir, nil, frames, failed)
		if failed != errors.Is(err, node.ErrIncomplete) || !failed && err != nil {
			t.Errorf("failed %v: error %v", failed, err)
		}
		if failed {
			name += ".partial"
		}
		path, want := filepath.Join(dir, name), "one\x00\xffv"
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
		if want := []node.File{{Path: path, Bytes: int64(len(want)), Frames: 4, Complete: !failed}}; !slices.Equal(files, want) {
			t.Errorf("report %+v", files)
		}
	}
}

// runStdin runs a StdinSource with an input until it ends.
func runStdin(t *testing.T, params map[string]any, in io.Reader) ([]taken, error) {
	t.Helper()
	got, err := filter{nodeType: "StdinSource", params: params, maxFrame: 10, stdio: &builtin.Stdio{In: in}}.run(t)
	return got[channel.DefaultOutput], err
}

// slow gives a byte a read.
type slow struct{ io.Reader }

func (s slow) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(1, len(p))]) }

func TestStdinSource(t *testing.T) {
	for _, c := range []struct {
		format, in string
		want       []string
		kind       channel.Kind
		err        string
	}{
		{"text", "one\n\ntwo", []string{"one", "", "two"}, channel.Text, ""},
		{"json", "{}\n\n[1]\n", []string{"{}", "[1]"}, channel.JSON, ""},
		{"bytes", "0123456789", []string{"0123", "4567", "89"}, channel.Bytes, ""},
		{"bytes", "", nil, channel.Bytes, ""},
		{"text", "one\n\xff\n", []string{"one"}, channel.Text, "stdin:2: the line is not UTF-8"},
		{"json", "1\n{\n", []string{"1"}, channel.JSON, "stdin:2: not JSON"},
		{"text", "one\n01234567890\n", []string{"one"}, channel.Text, "stdin:2: the line has 11 bytes"},
	} {
		got, err := runStdin(t, map[string]any{"format": c.format, "chunk": 4}, slow{strings.NewReader(c.in)})
		if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
			t.Errorf("%s %q: error %v, want %s", c.format, c.in, err, c.err)
		}
		if !slices.Equal(payloads(got), c.want) {
			t.Errorf("%s %q: %q", c.format, c.in, payloads(got))
		}
		for _, f := range got {
			if f.header.Kind != c.kind {
				t.Errorf("%s: kind %s", c.format, f.header.Kind)
			}
		}
	}
	_, err := runStdin(t, nil, io.MultiReader(strings.NewReader("one\n"), failing{}))
	if err == nil || err.Error() != "stdin:2: the line is bad" {
		t.Errorf("error %v", err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("the line is bad") }

// A source that waits for somebody who types ends when it is told.
func TestStdinSourceStops(t *testing.T) {
	for _, format := range []string{"text", "json", "bytes"} {
		in, keep := io.Pipe()
		n := channel.Node{ID: "a", Type: "StdinSource"}
		body, err := builtin.New(n, map[string]any{"format": format}, t.TempDir(), &builtin.Stdio{In: in})
		if err != nil {
			t.Fatal(err)
		}
		ports, err := node.Open(channel.NewMemory(), n, session)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- body(ctx, ports) }()
		if _, err := keep.Write([]byte("begin")); err != nil { // taken: the next read waits
			t.Fatal(err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", format, err)
		}
		keep.Close()
	}
}

func TestStdinTwice(t *testing.T) {
	stdio := &builtin.Stdio{In: strings.NewReader("x")}
	for i, want := range []string{"", "StdinSource: node a reads the standard input already"} {
		_, err := builtin.New(channel.Node{ID: string(rune('a' + i)), Type: "StdinSource"}, nil, t.TempDir(), stdio)
		if (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	_, err := builtin.New(channel.Node{ID: "a", Type: "StdinSource"}, nil, t.TempDir(), nil)
	if err == nil || err.Error() != "StdinSource: there is no standard input" {
		t.Errorf("error %v", err)
	}
}

func TestStdoutSinkJSON(t *testing.T) {
	var out bytes.Buffer
	frames := []taken{text("a \"b\"\n"), jsonFrame(`{"a": 1}`)}
	if _, err := runSink(t, "StdoutSink", map[string]any{"format": "json"}, t.TempDir(), &out, frames, false); err != nil {
		t.Fatal(err)
	}
	if want := "\"a \\\"b\\\"\\n\"\n{\"a\":1}\n"; out.String() != want {
		t.Errorf("%s, want %s", &out, want)
	}
}
