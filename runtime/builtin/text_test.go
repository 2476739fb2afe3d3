package builtin_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

func TestTextFileSource(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"empty", "", nil},
		{"lines", "one\ntwo\n", []string{"one", "two"}},
		{"last line without a break", "one\n\ntwo", []string{"one", "", "two"}},
		{"breaks of two bytes", "\ufeffone\r\ntwo\r\n", []string{"one", "two"}},
		{"longer than the buffer", long + "\n" + long, []string{long, long}},
		{"a break on the buffer's edge", long[:1<<16-1] + "\r\nx\r", []string{long[:1<<16-1], "x\r"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := runSource(t, "TextFileSource", map[string]any{"path": "a.txt"}, writeFile(t, "a.txt", []byte(c.file)), 100_000)
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, f := range got {
				lines = append(lines, string(f.payload))
			}
			if !slices.Equal(lines, c.want) {
				t.Errorf("%d lines, want %d: %.80q", len(lines), len(c.want), lines)
			}
		})
	}
}

func TestTextFileSourceErrors(t *testing.T) {
	for _, c := range []struct{ file, want string }{
		{"one\n" + strings.Repeat("x", 200_000) + "\n", "a.txt:2: the line has 200000 bytes, max_frame of the output is 10: raise max_frame"},
		{"0123456789\r\n0123456789a\r\n", "a.txt:2: the line has 11 bytes, max_frame of the output is 10"},
		{"one\n\xff\n", "a.txt:2: the line is not UTF-8"},
	} {
		got, err := runSource(t, "TextFileSource", map[string]any{"path": "a.txt"}, writeFile(t, "a.txt", []byte(c.file)), 10)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || len(got) != 1 {
			t.Errorf("%d frames, error %v, want %s", len(got), err, c.want)
		}
	}
}

func TestTextFileSink(t *testing.T) {
	dir := t.TempDir()
	frames := []taken{text("one"), text(""), text("a\nb\r\nc\rd\n"), text("ü")}
	files, err := runSink(t, "TextFileSink", map[string]any{"path": "out/a.txt"}, dir, nil, frames, false)
	if err != nil {
		t.Fatal(err)
	}
	path, want := filepath.Join(dir, "out", "a.txt"), "one\n\na b c d\nü\n"
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if want := []node.File{{Path: path, Bytes: int64(len(want)), Frames: 4, Complete: true}}; !slices.Equal(files, want) {
		t.Errorf("report %+v", files)
	}
	if _, err := os.Stat(path + ".partial"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("partial file: %v", err)
	}
}

// A run that fails leaves what it has under another name, and an older result
// alone.
func TestSinkIncomplete(t *testing.T) {
	dir := writeFile(t, "a.txt", []byte("old\n"))
	path := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(path+".partial", []byte("rests of a run before, longer than this one"), 0o600); err != nil {
		t.Fatal(err)
	}
	files, err := runSink(t, "TextFileSink", map[string]any{"path": "a.txt"}, dir, nil, []taken{text("new")}, true)
	if !errors.Is(err, node.ErrIncomplete) {
		t.Errorf("error %v", err)
	}
	for name, want := range map[string]string{path: "old\n", path + ".partial": "new\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if want := []node.File{{Path: path + ".partial", Bytes: 4, Frames: 1}}; !slices.Equal(files, want) {
		t.Errorf("report %+v", files)
	}
}

func TestSinkErrors(t *testing.T) {
	dir := writeFile(t, "file", nil)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"../a.txt": "leads out of the directory", "link/a.txt": "leads out of the directory", "file/a.txt": "file exists", ".": "not a regular file",
	} {
		_, err := runSink(t, "TextFileSink", map[string]any{"path": path}, dir, nil, []taken{text("x")}, false)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", path, err, want)
		}
	}
	_, err := runSink(t, "TextFileSink", map[string]any{"path": "a.txt"}, dir, nil, []taken{jsonFrame("1")}, false)
	if err == nil || err.Error() != "frame 0 from a is json, want text" {
		t.Errorf("error %v", err)
	}
}

// Two sinks do not mix their lines in one file.
func TestSinkTwice(t *testing.T) {
	dir := t.TempDir()
	w := wire(t, "TextFileSink", map[string]any{"path": "a.txt"}, dir, nil, 64)
	pub, err := channel.NewPublisher(w.mem, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	done := w.run(t.Context())
	l, err := pub.Loan(1)
	if err != nil {
		t.Fatal(err)
	}
	l.Header.Kind = channel.Text
	l.Payload[0] = 'x'
	if err := errors.Join(l.Send(t.Context()), pub.Drain(t.Context())); err != nil {
		t.Fatal(err)
	}
	_, err = runSink(t, "TextFileSink", map[string]any{"path": "a.txt"}, dir, nil, nil, false)
	if err == nil || err.Error() != "a.txt is being written by another run or session: give this one another, as with --set NODE.path=FILE" {
		t.Errorf("error %v", err)
	}
	if err := errors.Join(pub.End(t.Context(), false), <-done); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "a.txt")); string(got) != "x\n" {
		t.Errorf("%q", got)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestStdoutSink(t *testing.T) {
	var out bytes.Buffer
	frames := []taken{text("hello\n"), jsonFrame(`{"a": [1, 2]}`), {payload: []byte("xyz")}}
	if _, err := runSink(t, "StdoutSink", nil, t.TempDir(), &out, frames, false); err != nil {
		t.Fatal(err)
	}
	want := "hello\n{\"a\":[1,2]}\n" + `{"kind":"bytes","sequence":2,"pts_ns":0,"source":"a","bytes":3}` + "\n"
	if out.String() != want {
		t.Errorf("%s, want %s", &out, want)
	}
	_, err := runSink(t, "StdoutSink", nil, t.TempDir(), broken{}, frames, false)
	if err == nil || err.Error() != "standard output: broken pipe" {
		t.Errorf("error %v", err)
	}
}

func TestNullSink(t *testing.T) {
	frames := slices.Repeat([]taken{text("x")}, 100)
	if _, err := runSink(t, "NullSink", nil, t.TempDir(), nil, frames, false); err != nil {
		t.Error(err)
	}
}

func TestParams(t *testing.T) {
	for _, c := range []struct {
		nodeType, want string
		params         map[string]any
	}{
		{"Nothing", `no built-in node "Nothing": there are AudioFileSource, `, nil},
		{"TextFileSource", "TextFileSource: param path is missing", nil},
		{"TextFileSink", "TextFileSink: param path: is empty", map[string]any{"path": ""}},
		{"TextFileSink", "TextFileSink: param path: want text, not 3", map[string]any{"path": 3}},
		{"TextFileSource", "no such file", map[string]any{"path": "absent.txt"}},
		{"TextFileSource", ". is not a regular file", map[string]any{"path": "."}},
		{"NullSink", `NullSink: no param "x": it has none`, map[string]any{"x": 1}},
		{"StdoutSink", "StdoutSink: there is no standard output", nil},
		{"TestPatternSource", "param width: 31 is less than 32", map[string]any{"width": 31}},
		{"TestPatternSource", "param frames: want an integer, not 1.5", map[string]any{"frames": 1.5}},
		{"TestPatternSource", "param fps: want a number, not fast", map[string]any{"fps": "fast"}},
		{"TestPatternSource", "param paced: want true or false, not yes", map[string]any{"paced": "yes"}},
		{"TestPatternSource", `param format: "rgb" is none of rgb24, bgr24, rgba, gray8, i420, nv12`, map[string]any{"format": "rgb"}},
	} {
		_, err := builtin.New(channel.Node{ID: "n", Type: c.nodeType}, c.params, t.TempDir(), nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: error %v, want %s", c.nodeType, c.params, err, c.want)
		}
	}
}
