package runtime

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/medianode/docker-medianode/runtime/node"
)

// letters are the lines of a dead-letter file.
func letters(t *testing.T, path string) []DeadLetter {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []DeadLetter
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var d DeadLetter
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			t.Errorf("%v: %s", err, lines.Text())
		}
		all = append(all, d)
	}
	return all
}

// The file and the one before it have a largest size, whoever writes how much.
func TestLettersAreBounded(t *testing.T) {
	const limit, writers, each = 2000, 4, 50
	path := filepath.Join(t.TempDir(), "state", "dead.jsonl")
	var wait sync.WaitGroup
	for w := range writers {
		wait.Go(func() {
			for i := range each {
				if err := appendLetter(path, DeadLetter{Node: fmt.Sprint(w), Tries: i}, limit); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	kept := 0
	for _, file := range []string{path, path + ".1"} {
		info, err := os.Stat(file)
		if err != nil || info.Size() > limit {
			t.Fatalf("%s: %v %v", file, info, err)
		}
		kept += len(letters(t, file))
	}
	if kept < 10 {
		t.Errorf("%d letters are kept", kept)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Errorf("%v %v", entries, err)
	}
	if got := letters(t, path); got[len(got)-1].Tries != each-1 {
		t.Errorf("the last letter is %+v", got[len(got)-1])
	}
}

// A line that was cut does not spoil the next.
func TestLetterAfterACutLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	if err := os.WriteFile(path, []byte(`{"node":"a"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := appendLetter(path, DeadLetter{Node: "b"}, maxLetters); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(text), "{\"node\":\"a\"\n{") || !strings.HasSuffix(string(text), "\n") {
		t.Errorf("%v: %s", err, text)
	}
}

// A frame that the node does not tell of is counted, and has a letter all the same.
func TestUntoldLetter(t *testing.T) {
	const frames = 100
	r := newRig(t, frames)
	r.again(Restart{Policy: "on-failure"})
	r.config.DeadLetters = filepath.Join(t.TempDir(), "dead.jsonl")
	for i := range r.config.Nodes {
		for j := range r.config.Nodes[i].Inputs {
			if r.config.Nodes[i].ID == "mid" {
				r.config.Nodes[i].Inputs[j].Channel.Readers[0].Retry = true
			}
		}
	}
	r.mid.body = func(ctx context.Context, p *node.Ports) error {
		for {
			f, err := p.Receive(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if string(f.Payload) == "20" {
				return errors.New("no")
			}
			if err := p.Send(ctx, "output", *f.Header, f.Payload); err != nil {
				return err
			}
			f.Release()
		}
	}
	s := r.start()
	if err := s.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	r.end(s)
	report := s.Report()
	c := report.Connections[0]
	if c.Frames != frames-1 || c.Dropped != 1 || c.GivenUp != 1 || r.out.len() != frames-1 {
		t.Errorf("%d frames arrived: %+v", r.out.len(), c)
	}
	got := letters(t, r.config.DeadLetters)
	if len(got) != 1 || got[0].Node != "mid" || got[0].From != "src.output" || got[0].Sequence != nil ||
		got[0].Reason != "the node died with it 3 times, at last: node mid: process: ValueError: no" {
		t.Errorf("letters: %+v", got)
	}
	var text strings.Builder
	if err := report.Text(&text); err != nil || !strings.Contains(text.String(),
		"src.output → mid.input: 1 of the frames dropped were given up, the node died with each 3 times; see "+r.config.DeadLetters) {
		t.Errorf("%v\n%s", err, text.String())
	}
}
