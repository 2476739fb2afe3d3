package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
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

// execSQL changes a database behind the store's back.
func execSQL(t *testing.T, path, statements string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

func TestARowThatSomebodyChangedIsNotThere(t *testing.T) {
	path := temporary(t)
	s := openTest(t, path, testOptions())
	put(t, s, full("asr", "1"), full("tts", "1"))
	if err := s.PutFacts(t.Context(), "k", "{}"); err != nil {
		t.Fatal(err)
	}
	execSQL(t, path, "UPDATE image_metadata SET image_id = 'sha256:other' WHERE image_name = 'asr'; UPDATE image_facts SET facts = '[]'")
	if got := get(t, s, Ref{"asr", "1"}, Ref{"tts", "1"}); len(got) != 1 || got[Ref{"tts", "1"}].Name != "tts" {
		t.Errorf("%+v", got)
	}
	if got := names(t, s); got != "tts" {
		t.Errorf("list %q", got)
	}
	if _, ok, err := s.Facts(t.Context(), "k"); ok || err != nil {
		t.Errorf("facts: %v, %v", ok, err)
	}
	put(t, s, full("asr", "1"))
	if got := get(t, s, Ref{"asr", "1"}); len(got) != 1 {
		t.Errorf("put again: %+v", got)
	}
	quiet(t, s)
}

var asidePattern = regexp.MustCompile(`^image_cache\.db\.corrupt-\d{8}-\d{6}\.\d{3}$`)

// What cannot be used is set aside as it was, and said once.
func TestUselessIsSetAside(t *testing.T) {
	sound := makeSmall(t, false).files[""]
	newer := bytes.Clone(sound)
	newer[63] = 99 // user_version
	garbage := make([]byte, 5000)
	for i := range garbage {
		garbage[i] = byte(i*i + 7)
	}
	for name, data := range map[string][]byte{
		"zeros":   make([]byte, 4096),
		"garbage": garbage,
		"text":    []byte("this is not a database, but it is long enough to be asked whether it is one, which takes 100 bytes\n"),
		"newer":   newer,
		"cut":     sound[:700],
	} {
		t.Run(name, func(t *testing.T) {
			path := temporary(t)
			os.MkdirAll(filepath.Dir(path), 0o700)
			os.WriteFile(path, data, 0o600)
			s := openTest(t, path, testOptions())
			if err := useAsCache(t.Context(), s); err != nil {
				t.Error(err)
			}
			notes := s.Notes()
			if len(notes) != 1 || !strings.Contains(notes[0], "set aside as ") || strings.Contains(notes[0], "\n") {
				t.Fatalf("notes %q", notes)
			}
			t.Log(notes[0])
			quiet(t, s)
			s.Close()
			aside, _ := filepath.Glob(path + ".corrupt-*")
			if len(aside) != 1 || !asidePattern.MatchString(filepath.Base(aside[0])) {
				t.Fatalf("set aside: %q", aside)
			}
			if got, _ := os.ReadFile(aside[0]); !bytes.Equal(got, data) {
				t.Error("what was set aside is not what was there")
			}
			again := openTest(t, path, testOptions())
			if got := get(t, again, Ref{"asr", "1f2e"}); len(got) != 1 {
				t.Errorf("the new one kept %v", got)
			}
			quiet(t, again)
		})
	}
}

// A journal without its database, or of another, adds nothing.
func TestAForeignJournalIsNotRead(t *testing.T) {
	m := makeSmall(t, true)
	path := temporary(t)
	os.MkdirAll(filepath.Dir(path), 0o700)
	os.WriteFile(path+"-wal", m.files["-wal"], 0o600)
	s := openTest(t, path, testOptions())
	if got := names(t, s); got != "" {
		t.Errorf("rows %q", got)
	}
	if err := useAsCache(t.Context(), s); err != nil {
		t.Error(err)
	}
	quiet(t, s)
}

// Nothing of somebody else's is renamed or written, and the store works.
func TestWhatIsNotOursStays(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, path string){
		"another program's database": func(t *testing.T, path string) {
			execSQL(t, path, "CREATE TABLE moz_places (id INTEGER); PRAGMA user_version = 77")
		},
		"another program's database of our version": func(t *testing.T, path string) {
			execSQL(t, path, "CREATE TABLE moz_places (id INTEGER); PRAGMA user_version = 2")
		},
		"a directory": func(t *testing.T, path string) {
			os.MkdirAll(filepath.Join(path, "thesis"), 0o700)
		},
		"below a file": func(t *testing.T, path string) {
			os.Remove(filepath.Dir(path))
			os.WriteFile(filepath.Dir(path), []byte("a file"), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := temporary(t)
			os.MkdirAll(filepath.Dir(path), 0o700)
			make(t, path)
			before, _ := os.ReadFile(path)
			s := openTest(t, path, testOptions())
			if err := useAsCache(t.Context(), s); err != nil {
				t.Error(err)
			}
			notes := s.Notes()
			if len(notes) != 1 || !strings.Contains(notes[0], "nothing is kept") || strings.Contains(notes[0], "\n") {
				t.Errorf("notes %q", notes)
			}
			t.Log(notes)
			s.Close()
			after, _ := os.ReadFile(path)
			aside, _ := filepath.Glob(path + ".corrupt-*")
			if !bytes.Equal(before, after) || len(aside) > 0 {
				t.Errorf("changed, or set aside: %q", aside)
			}
		})
	}
}

// Where a file to mount is missing, engines make a directory.
func TestAnEmptyDirectoryInItsPlace(t *testing.T) {
	path := temporary(t)
	os.MkdirAll(path, 0o700)
	s := openTest(t, path, testOptions())
	put(t, s, full("asr", "1"))
	if notes := s.Notes(); len(notes) != 1 || !strings.Contains(notes[0], "was an empty directory; set aside") {
		t.Errorf("notes %q", notes)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		t.Errorf("%v, %v", info, err)
	}
}

// Removed while it is open: what is in the new one counts.
func TestRemovedBehindItsBack(t *testing.T) {
	path := temporary(t)
	s := openTest(t, path, testOptions())
	put(t, s, full("asr", "1"))
	for _, suffix := range []string{"", "-wal", "-shm"} {
		os.Remove(path + suffix)
	}
	for range 3 {
		if err := useAsCache(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	other := openTest(t, path, testOptions())
	if err := useAsCache(t.Context(), other); err != nil {
		t.Fatal(err)
	}
}

func TestALinkStaysALink(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "real.db"), filepath.Join(dir, "link.db")
	os.WriteFile(path, bytes.Repeat([]byte("garbage "), 100), 0o600)
	if err := os.Symlink(path, link); err != nil {
		t.Skip(err)
	}
	s := openTest(t, link, testOptions())
	put(t, s, full("asr", "1"))
	s.Close()
	if to, err := os.Readlink(link); err != nil || to != path {
		t.Errorf("%q, %v", to, err)
	}
	if got := get(t, openTest(t, path, testOptions()), Ref{"asr", "1"}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

// A file system that damages every file does not fill with them.
func TestTheLastThreeSetAsideStay(t *testing.T) {
	path := temporary(t)
	opt := testOptions()
	for i := range 6 {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(strings.Repeat("garbage", 1000)), 0o600)); err != nil {
			t.Fatal(err)
		}
		opt.now = func() time.Time { return noon().Add(time.Duration(i) * time.Hour) }
		openTest(t, path, opt).Close()
		journal := path + ".corrupt-" + opt.now().Format(asideTime) + "-wal"
		if err := os.WriteFile(journal, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	aside, _ := filepath.Glob(path + ".corrupt-*")
	for i, name := range aside {
		aside[i] = strings.TrimPrefix(name, path+".corrupt-"+noon().UTC().Format("20060102-"))
	}
	if want := []string{"150000.000", "150000.000-wal", "160000.000", "160000.000-wal", "170000.000", "170000.000-wal"}; !slices.Equal(aside, want) {
		t.Errorf("%q", aside)
	}
}

// Facts of bases that nobody has any more go without being asked for.
func TestFactsAreBounded(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	for i := range 300 {
		if err := s.PutFacts(t.Context(), fmt.Sprintf("sha256:%03d", (i*7)%300), "{}"); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := s.db.QueryRowContext(t.Context(), "SELECT count(*) FROM image_facts").Scan(&n); err != nil || n != 200 {
		t.Errorf("%d facts, %v", n, err)
	}
	if _, ok, err := s.Facts(t.Context(), fmt.Sprintf("sha256:%03d", (299*7)%300)); !ok || err != nil {
		t.Errorf("the last one: %v, %v", ok, err)
	}
}
