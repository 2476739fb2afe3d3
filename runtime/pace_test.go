package runtime

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, told, gave := make(chan struct{}), 0, 0
		p := newPace(t.Context(), ended, func() { gave++ })
		p.tell = func() { told++ }
		var out, bad bytes.Buffer
		streams := []struct {
			to   *bytes.Buffer
			rate int
		}{{&out, 0}, {&bad, 0}}
		began, chunk := time.Now(), make([]byte, 16<<10)
		write := func(bytes int) {
			for i := range bytes / len(chunk) {
				if _, err := p.of(streams[i%2].to).Write(chunk); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(logBurst)
		if took := time.Since(began); took != 0 || told != 0 {
			t.Errorf("a burst took %s, told %d times", took, told)
		}
		write(10 * logRate)
		if took := time.Since(began); took < 9900*time.Millisecond || took > 10100*time.Millisecond || told != 1 {
			t.Errorf("10 s of a flood took %s, told %d times", took, told)
		}
		time.Sleep(time.Minute)
		began = time.Now()
		write(logBurst)
		if took := time.Since(began); took != 0 {
			t.Errorf("a burst took %s", took)
		}
		if n := out.Len() + bad.Len(); n != 2*logBurst+10*logRate {
			t.Errorf("%d bytes came through", n)
		}
		close(ended)
		n, err := p.of(&out).Write(chunk)
		if _, again := p.of(&bad).Write(chunk); n != 0 || !errors.Is(err, context.Canceled) || again == nil || gave != 1 || told != 1 {
			t.Errorf("after the end: %d bytes, %v, %v, given up %d times", n, err, again, gave)
		}
	})
}

// A flood does not keep what a node said last from being read.
func TestFloodedLog(t *testing.T) {
	r := newRig(t, 100)
	line := strings.Repeat("x", 1000)
	r.mid.logs = slices.Repeat([]string{line}, 2*logBurst/1000)
	r.mid.die, r.mid.exit, r.mid.slow = "process", 137, time.Second
	began := time.Now()
	s := r.start()
	var failed *NodeError
	if err := s.Wait(t.Context()); !errors.As(err, &failed) {
		t.Fatalf("Wait: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the end took %s", took)
	}
	r.end(s)
	if n := len(failed.Log); n == 0 || failed.Log[n-1] != "last words" || failed.Log[n-2] != leftOut {
		t.Errorf("log: %.200q", failed.Log)
	}
	if w := s.Report().Warnings; len(w) != 1 || w[0] != "node mid: "+flooded {
		t.Errorf("warnings: %q", w)
	}
	most := (logBurst + int(time.Since(began).Seconds()*logRate)) / 1000
	if n := len(r.logs); n < logBurst/1100 || n > most+10 {
		t.Errorf("%d lines were read, at most %d may be", n, most)
	}
}
