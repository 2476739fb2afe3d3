package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// clock is a time that only the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func noon() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) }

// testOptions do not wait long.
func testOptions() options {
	opt := defaults()
	opt.patience = 2 * time.Second
	return opt
}

func openTest(t *testing.T, path string, opt options) *Store {
	t.Helper()
	s, err := open(t.Context(), path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func temporary(t *testing.T) string { return filepath.Join(t.TempDir(), "cache", "image_cache.db") }

func quiet(t *testing.T, s *Store) {
	t.Helper()
	if notes := s.Notes(); len(notes) > 0 {
		t.Errorf("notes: %q", notes)
	}
}

// full is a row with a value in every field.
func full(name, tag string) Row {
	return Row{
		Name: name, Tag: tag, ImageID: "sha256:" + strings.Repeat("ab", 32), Digest: "sha256:" + strings.Repeat("cd", 32),
		Size: 191 << 20, Created: noon(), LastPulled: noon().Add(time.Minute), LastUsed: noon().Add(1234 * time.Millisecond),
		BuildConfig: `{"dockerfile":"FROM x\n"}`, Dependencies: `{"pip":["numpy"]}`, PythonVersion: "3.11", BaseImage: "python:3.11-slim",
		Status: Available, Error: "none", Key: strings.Repeat("ef", 32), Platform: "linux/amd64", EngineID: "engine",
		Iceoryx2: "0.10.0", BaseDigest: "sha256:base", Holder: "process 4711 of node asr",
	}
}

func put(t *testing.T, s *Store, rows ...Row) {
	t.Helper()
	if err := s.Put(t.Context(), rows...); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, s *Store, refs ...Ref) map[Ref]Row {
	t.Helper()
	got, err := s.Get(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func names(t *testing.T, s *Store) string {
	t.Helper()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range list {
		names = append(names, row.Name)
	}
	return strings.Join(names, " ")
}

func TestEveryFieldComesBackInAnotherProcess(t *testing.T) {
	path := temporary(t)
	s := openTest(t, path, testOptions())
	want := full("medianode/asr", "1f2e")
	minimal := Row{Name: "medianode/tts", Tag: "0", Status: Failed, Created: noon(), LastUsed: noon()}
	put(t, s, want, minimal)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openTest(t, path, testOptions())
	got := get(t, s, want.Ref(), minimal.Ref(), Ref{"medianode/asr", "other"})
	want.Used, minimal.Used = 1, 2
	if all := (map[Ref]Row{want.Ref(): want, minimal.Ref(): minimal}); !reflect.DeepEqual(got, all) {
		t.Errorf("got  %+v\nwant %+v", got, all)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Row]()) {
		if field.Name != "UsedBy" && reflect.ValueOf(want).FieldByIndex(field.Index).IsZero() {
			t.Errorf("%s was not tried", field.Name)
		}
	}
	quiet(t, s)
}

func TestPutReplacesTheRowOfTheSameName(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	put(t, s, full("asr", "1"))
	next := full("asr", "1")
	next.ImageID, next.Status, next.Error = "", Failed, "disk full"
	put(t, s, next)
	next.Used = 2
	if got := get(t, s, next.Ref())[next.Ref()]; !reflect.DeepEqual(got, next) {
		t.Errorf("got  %+v\nwant %+v", got, next)
	}
	if got := names(t, s); got != "asr" {
		t.Errorf("list %q", got)
	}
}

func TestPutIsAllOrNothing(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	for _, bad := range []Row{{Name: "asr", Status: Failed}, {Tag: "1", Status: Failed}, {Name: "asr", Tag: "1"}, {Name: "asr", Tag: "1", Status: Available}, {Name: "a\x00", Tag: "1", Status: Failed}} {
		if err := s.Put(t.Context(), full("good", "1"), bad); err == nil {
			t.Errorf("%+v was put", bad)
		}
	}
	if got := names(t, s); got != "" {
		t.Errorf("list %q", got)
	}
}

// A clock that jumps back must not make what was used last the first to go.
func TestOrderIsOfUsesNotOfTheClock(t *testing.T) {
	c := &clock{noon()}
	opt := testOptions()
	opt.now = c.now
	s := openTest(t, temporary(t), opt)
	row := func(name string) Row { return Row{Name: name, Tag: "1", ImageID: "sha256:1", Status: Available} }
	put(t, s, row("a"), row("b"))
	c.at = c.at.Add(-24 * time.Hour)
	put(t, s, row("c"))
	c.at = c.at.Add(-24 * time.Hour)
	if err := s.Touch(t.Context(), []Use{{Ref{"a", "1"}, "captions", "asr"}, {Ref{"unknown", "1"}, "captions", "tts"}}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); got != "a c b" {
		t.Errorf("order %q, want %q", got, "a c b")
	}
	if got := get(t, s, Ref{"a", "1"})[Ref{"a", "1"}]; !got.LastUsed.Equal(c.at) {
		t.Errorf("last used %v, want %v", got.LastUsed, c.at)
	}
}

func TestHadIsTheLatestThatIsThere(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	put(t, s, full("a", "1"), full("a", "2"), full("b", "1"), Row{Name: "a", Tag: "3", Status: Failed})
	uses := []Use{
		{Ref{"a", "2"}, "captions", "asr"}, {Ref{"b", "1"}, "captions", "tts"}, {Ref{"a", "1"}, "captions", "asr"},
		{Ref{"a", "3"}, "captions", "asr"}, {Ref{"a", "2"}, "another", "asr"},
	}
	if err := s.Touch(t.Context(), uses); err != nil {
		t.Fatal(err)
	}
	for project, want := range map[string]map[string]string{
		"captions": {"asr": "a:1", "tts": "b:1"}, "another": {"asr": "a:2"}, "none": {},
	} {
		got, err := s.Had(t.Context(), project)
		if err != nil {
			t.Fatal(err)
		}
		refs := map[string]string{}
		for node, row := range got {
			refs[node] = row.Ref().String()
		}
		if !reflect.DeepEqual(refs, want) {
			t.Errorf("%s had %v, want %v", project, refs, want)
		}
	}
}

func TestFoundIsNeverUsedAndReplacesNothing(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	put(t, s, full("a", "1"))
	theirs := full("a", "1")
	theirs.ImageID = "sha256:theirs"
	if err := s.Found(t.Context(), theirs, full("b", "1")); err != nil {
		t.Fatal(err)
	}
	got := get(t, s, Ref{"a", "1"}, Ref{"b", "1"})
	if got[Ref{"a", "1"}].ImageID == "sha256:theirs" || got[Ref{"b", "1"}].Used != 0 || len(got) != 2 {
		t.Errorf("got %+v", got)
	}
	if free, err := s.Claim(t.Context(), got[Ref{"b", "1"}]); err != nil || !free {
		t.Errorf("claimed %v, %v", free, err)
	}
}

func TestClaimIsOfWhatNobodyUsedSince(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	put(t, s, full("a", "1"), full("b", "1"))
	rows := get(t, s, Ref{"a", "1"}, Ref{"b", "1"})
	if err := s.Touch(t.Context(), []Use{{Ref{"a", "1"}, "captions", "asr"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		row  Row
		want bool
	}{
		{rows[Ref{"a", "1"}], false}, {rows[Ref{"b", "1"}], true}, {rows[Ref{"b", "1"}], false},
		{Row{Name: "none", Tag: "1"}, true}, {Row{Name: "a", Tag: "1"}, false},
	} {
		if got, err := s.Claim(t.Context(), c.row); err != nil || got != c.want {
			t.Errorf("claim of %s, used %d: %v, %v", c.row.Ref(), c.row.Used, got, err)
		}
	}
	if got := names(t, s); got != "a" {
		t.Errorf("left %q", got)
	}
}

func TestListSaysWhoUsedWhat(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	put(t, s, full("asr", "1"), full("tts", "1"))
	for _, uses := range [][]Use{
		{{Ref{"asr", "1"}, "captions", "asr"}, {Ref{"asr", "1"}, "captions", "second"}},
		{{Ref{"asr", "1"}, "captions", "asr"}},
		nil,
	} {
		if err := s.Touch(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 || list[0].Name != "asr" || !reflect.DeepEqual(list[0].UsedBy, []string{"captions/asr", "captions/second"}) || list[1].UsedBy != nil {
		t.Errorf("list %+v", list)
	}
	if err := s.Delete(t.Context(), Ref{"asr", "1"}, Ref{"asr", "never"}); err != nil {
		t.Fatal(err)
	}
	put(t, s, full("asr", "1"))
	if list, err = s.List(t.Context()); err != nil || len(list) != 2 || list[0].UsedBy != nil {
		t.Errorf("a deleted image is still used: %+v, %v", list, err)
	}
	if err := s.Vacuum(t.Context()); err != nil {
		t.Error(err)
	}
	quiet(t, s)
}

func TestFacts(t *testing.T) {
	path := temporary(t)
	s := openTest(t, path, testOptions())
	for _, facts := range []string{`{"glibc":"2.36"}`, `{"glibc":"2.41"}`} {
		if err := s.PutFacts(t.Context(), "sha256:1", facts); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := s.Facts(t.Context(), "sha256:1"); err != nil || !ok || got != facts {
			t.Errorf("%q, %v, %v", got, ok, err)
		}
	}
	if got, ok, err := s.Facts(t.Context(), "sha256:2"); err != nil || ok || got != "" {
		t.Errorf("unknown: %q, %v, %v", got, ok, err)
	}
}

func TestErrorsAreTheCallers(t *testing.T) {
	s := openTest(t, temporary(t), testOptions())
	put(t, s, full("asr", "1"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ended, []Ref{{"asr", "1"}}); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("ended context: %v", err)
	}
	if got := get(t, s, Ref{"asr", "1"}); len(got) != 1 {
		t.Errorf("after an ended context: %v", got)
	}
	quiet(t, s)
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Put(t.Context(), full("asr", "1")); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
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
