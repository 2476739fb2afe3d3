package store

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

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
