package cache

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"
)

const pushed = "ghcr.io/me/captions/asr:0123456789ab"

// has tells whether the fake engine has a reference.
func (f *fakeEngine) has(ref string) bool {
	_, err := os.Stat(f.path(ref))
	return err == nil
}

func TestPushesOfTheSameDoNotTakeTheNameAway(t *testing.T) {
	p := newPlant(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			temporary, done, err := p.Name(t.Context(), "asr", pushed)
			if err != nil {
				t.Error(err)
				return
			}
			defer done()
			if !temporary {
				t.Error("another's name was taken for one that stays")
			}
			if err := p.engine.tag(fakeImage{Ref: pushed, ID: "sha256:a"}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
			if err := os.Remove(p.engine.path(pushed)); err != nil {
				t.Errorf("while it was pushed: %v", err)
			}
		})
	}
	wait.Wait()
	p.leavesNoLocks(t)
}

func TestNameOfAKilledPushGoes(t *testing.T) {
	p := newPlant(t)
	killed := func() {
		t.Helper()
		temporary, done, err := p.Name(t.Context(), "asr", pushed)
		if err != nil || !temporary {
			t.Fatal(temporary, err)
		}
		text, err := os.ReadDir(p.Locks)
		if err != nil || len(text) != 1 {
			t.Fatal(text, err)
		}
		path := p.Locks + "/" + text[0].Name()
		done()
		if err := errors.Join(os.WriteFile(path, []byte(pushed), 0o600), p.engine.tag(fakeImage{Ref: pushed, ID: "sha256:a"})); err != nil {
			t.Fatal(err)
		}
	}
	killed()
	temporary, done, err := p.Name(t.Context(), "asr", pushed) // the same again
	if err != nil || !temporary {
		t.Errorf("the name counts as one that stays: %v", err)
	}
	other := *p.Cache
	other.EngineID = "other"
	other.sweep()
	p.sweep()
	if !p.engine.has(pushed) {
		t.Error("the name was taken from who pushes")
	}
	if err := os.Remove(p.engine.path(pushed)); err != nil {
		t.Error(err)
	}
	done()
	killed()
	other.sweep()
	if !p.engine.has(pushed) {
		t.Error("another engine's name is gone")
	}
	killed()
	p.sweep()
	if p.engine.has(pushed) {
		t.Error("the name is left")
	}
	p.leavesNoLocks(t)
}

func TestNameThatWasThereStays(t *testing.T) {
	p := newPlant(t)
	if err := p.engine.tag(fakeImage{Ref: pushed, ID: "sha256:a"}); err != nil {
		t.Fatal(err)
	}
	temporary, done, err := p.Name(t.Context(), "asr", pushed)
	if err != nil || temporary {
		t.Errorf("temporary %v, %v", temporary, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := p.Name(ctx, "asr", pushed); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	done()
	p.sweep()
	if !p.engine.has(pushed) {
		t.Error("it is gone")
	}
}
