package store

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// small is a database in as few bytes as there can be, and every row that it
// has or had.
type small struct {
	files map[string][]byte // by suffix of the name: "", "-wal"
	rows  []Row
	refs  []Ref
	facts map[string]string
}

// makeSmall writes rows, replaces some and deletes others, so that there are
// free pages too. With crash the journal is not written back.
func makeSmall(t *testing.T, crash bool) small {
	t.Helper()
	path := temporary(t)
	opt := testOptions()
	opt.pageSize = 512
	s := openTest(t, path, opt)
	made := small{files: map[string][]byte{}, facts: map[string]string{"sha256:base": `{"glibc":"2.36"}`}}
	record := func() {
		list, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range list {
			row.UsedBy = nil
			made.rows = append(made.rows, row)
			if !slices.Contains(made.refs, row.Ref()) {
				made.refs = append(made.refs, row.Ref())
			}
		}
	}
	put(t, s, full("asr", "1f2e"), full("gone", "3"), full("tts", "5a6b"), Row{Name: "bad", Tag: "9", Status: Failed, Error: "no space", Created: noon(), LastUsed: noon()})
	record()
	next := full("asr", "1f2e")
	next.ImageID = "sha256:" + strings.Repeat("01", 32)
	put(t, s, next)
	record()
	for _, err := range []error{
		s.Delete(t.Context(), Ref{"gone", "3"}),
		s.Touch(t.Context(), []Use{{Ref{"tts", "5a6b"}, "captions", "tts"}}),
		s.PutFacts(t.Context(), "sha256:base", made.facts["sha256:base"]),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	record()
	if !crash {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		if data, err := os.ReadFile(path + suffix); err == nil {
			made.files[suffix] = data
		}
	}
	quiet(t, s)
	return made
}

// try opens a changed copy and uses it. What it answers must be what was once
// put, and it must work as a cache afterwards.
func (m small) try(ctx context.Context, path string, changed map[string][]byte) (hits int, notes []string, err error) {
	for suffix, data := range m.files {
		if other, ok := changed[suffix]; ok {
			data = other
		}
		if err := os.WriteFile(path+suffix, data, 0o600); err != nil {
			return 0, nil, err
		}
	}
	s, err := open(ctx, path, testOptions())
	if err != nil {
		return 0, nil, err
	}
	defer s.Close()
	hits, err = m.answers(ctx, s)
	if err != nil {
		return 0, nil, err
	}
	notes = s.Notes()
	if err = useAsCache(ctx, s); err == nil {
		return hits, append(notes, s.Notes()...), nil
	}
	// Damage that a later step met took with it what an earlier one had put:
	// that is a miss, and must be the last.
	more := s.Notes()
	if len(more) == 0 {
		return hits, notes, err
	}
	return hits, append(notes, more...), useAsCache(ctx, s)
}

func (m small) answers(ctx context.Context, s *Store) (int, error) {
	got, err := s.Get(ctx, append([]Ref{{"never", "0"}}, m.refs...))
	if err != nil {
		return 0, err
	}
	list, err := s.List(ctx)
	if err != nil {
		return 0, err
	}
	had, err := s.Had(ctx, "captions")
	if err != nil {
		return 0, err
	}
	for ref, row := range got {
		if row.Ref() != ref {
			return 0, fmt.Errorf("%s was answered with %s", ref, row.Ref())
		}
		list = append(list, row)
	}
	for _, row := range had {
		list = append(list, row)
	}
	for _, row := range list {
		for _, user := range row.UsedBy {
			if user != "captions/tts" {
				return 0, fmt.Errorf("user %q", user)
			}
		}
		row.UsedBy = nil
		if !slices.ContainsFunc(m.rows, func(r Row) bool { return reflect.DeepEqual(r, row) }) {
			return 0, fmt.Errorf("a row that never was: %+v", row)
		}
	}
	facts, ok, err := s.Facts(ctx, "sha256:base")
	if ok && facts != m.facts["sha256:base"] {
		return 0, fmt.Errorf("facts that never were: %q", facts)
	}
	return len(got), err
}

// useAsCache puts, touches, deletes, and reads back.
func useAsCache(ctx context.Context, s *Store) error {
	row := full("asr", "1f2e")
	row.ImageID = "sha256:new"
	if err := s.Put(ctx, row, full("other", "1")); err != nil {
		return err
	}
	if err := s.Touch(ctx, []Use{{row.Ref(), "captions", "asr"}}); err != nil {
		return err
	}
	if err := s.Delete(ctx, Ref{"other", "1"}, Ref{"tts", "5a6b"}); err != nil {
		return err
	}
	got, err := s.Get(ctx, []Ref{row.Ref(), {"other", "1"}})
	if err != nil {
		return err
	}
	if len(got) != 1 || got[row.Ref()].ImageID != "sha256:new" {
		return fmt.Errorf("after a put: %+v", got)
	}
	return s.PutFacts(ctx, "k", "{}")
}

// change is one way to damage a file.
type change struct {
	name string
	data []byte
}

// tryAll tries changes of one of the files, on all processors.
func (m small) tryAll(t *testing.T, suffix string, changes func(yield func(change) bool)) (hits, asides int) {
	t.Helper()
	if testing.Short() {
		t.Skip("tries every byte")
	}
	var (
		work = make(chan change)
		lock sync.Mutex
		wait sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for c := range work {
				dir, err := os.MkdirTemp(memoryDir(), "store")
				if err != nil {
					t.Error(err)
					continue
				}
				found, notes, err := m.try(t.Context(), filepath.Join(dir, "c.db"), map[string][]byte{suffix: c.data})
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				for _, note := range notes {
					if strings.Contains(note, "nothing is kept") {
						t.Errorf("%s: %s", c.name, note)
					}
				}
				lock.Lock()
				hits += found
				if len(notes) > 0 {
					asides++
				}
				lock.Unlock()
				os.RemoveAll(dir)
			}
		})
	}
	changes(func(c change) bool { work <- c; return !t.Failed() })
	close(work)
	wait.Wait()
	return hits, asides
}

// memoryDir is for thousands of files: on a disk each waits for it.
func memoryDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return ""
}

// flips are the bytes of a file, each with all its bits changed, or one.
func flips(data []byte, step int) func(func(change) bool) {
	return func(yield func(change) bool) {
		for i := 0; i < len(data); i += step {
			mask := []byte{0xff, 1 << rand.N(8)}[rand.N(2)]
			changed := bytes.Clone(data)
			changed[i] ^= mask
			if !yield(change{fmt.Sprintf("byte %d ^ %#x", i, mask), changed}) {
				return
			}
		}
	}
}

func TestEveryByteFlipped(t *testing.T) {
	m := makeSmall(t, false)
	step := 1
	if raceEnabled { // without it every byte has its turn
		step = 13
	}
	hits, asides := m.tryAll(t, "", flips(m.files[""], step))
	t.Logf("%d bytes: %d hits of the %d rows, %d set aside", len(m.files[""]), hits, len(m.refs)-1, asides)
	if hits == 0 || asides == 0 {
		t.Error("want both")
	}
}

func TestEveryByteOfTheJournalFlipped(t *testing.T) {
	m := makeSmall(t, true)
	if len(m.files["-wal"]) == 0 {
		t.Fatal("no journal")
	}
	hits, asides := m.tryAll(t, "-wal", flips(m.files["-wal"], 13))
	t.Logf("%d bytes: %d hits, %d set aside", len(m.files["-wal"]), hits, asides)
}

func TestTruncatedAnywhere(t *testing.T) {
	for _, suffix := range []string{"", "-wal"} {
		t.Run("image_cache.db"+suffix, func(t *testing.T) {
			m := makeSmall(t, suffix != "")
			m.tryAll(t, suffix, func(yield func(change) bool) {
				for n := 0; n < len(m.files[suffix]); n += 61 {
					if !yield(change{fmt.Sprintf("%d bytes", n), m.files[suffix][:n]}) {
						return
					}
				}
			})
		})
	}
}
