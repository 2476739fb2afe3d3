package cache

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"

	"github.com/medianode/docker-medianode/generate/image/store"
)

func TestWarmBuildsNothingAndAsksOnce(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "a", "b", "c")
	first := p.ensure(t, images)
	if got := p.builds(t); got != "a b c" {
		t.Fatalf("built %s", got)
	}
	p.engine.lists = 0
	again := p.ensure(t, images)
	if !slices.Equal(first, again) || p.builds(t) != "a b c" {
		t.Errorf("got %v after %v; built %s", again, first, p.builds(t))
	}
	if p.engine.lists != 1 {
		t.Errorf("%d calls of the engine for three images", p.engine.lists)
	}
}

func TestWhatIsNotTheImageAnyMoreIsBuilt(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "a", "b")
	p.ensure(t, images)
	do := func(name string, err error, builds, why string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		states, err := p.Look(t.Context(), images)
		if err != nil || states[0].Why != why || states[0].ID != "" {
			t.Errorf("%s: look says %q, %q, %v; want %q", name, states[0].ID, states[0].Why, err, why)
		}
		p.ensure(t, images)
		if got := p.builds(t); got != builds {
			t.Errorf("%s: built %s, want %s", name, got, builds)
		}
	}
	do("removed", os.Remove(p.engine.path(images[0].Ref)), "a b a", "it was removed from the engine")
	do("retagged", p.engine.tag(fakeImage{images[0].Ref, "x", "", ""}), "a b a a", "its tag is that of another image")
	do("replaced", p.engine.tag(fakeImage{images[0].Ref, "x", images[0].Key, ""}), "a b a a a", "the image was replaced by another program")
	do("new base", p.engine.tag(fakeImage{Ref: baseRef, ID: "base-2"}), "a b a a a a b", baseRef+" is another image now")
}

func TestFailureIsKeptAndTriedAgain(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "a")
	good := p.builder
	p.builder.fail = errors.New("no such package")
	if _, err := p.Ensure(t.Context(), images, p.builder, Use{}); !errors.Is(err, p.builder.fail) {
		t.Fatalf("got %v", err)
	}
	entries, err := p.Images(t.Context())
	if err != nil || len(entries) != 1 || entries[0].Status != store.Failed || entries[0].Why != "no such package" {
		t.Errorf("got %+v, %v", entries, err)
	}
	p.builder = good
	p.ensure(t, images)
	entries, err = p.Images(t.Context())
	if err != nil || len(entries) != 1 || entries[0].Status != store.Available || entries[0].Why != "" {
		t.Errorf("got %+v, %v", entries, err)
	}
}

func TestCancelledBuildIsNoFailure(t *testing.T) {
	p := newPlant(t)
	p.builder.takes = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := p.Ensure(ctx, recipes("1", "a"), p.builder, Use{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	entries, err := p.Images(t.Context())
	if err != nil || len(entries) != 0 {
		t.Errorf("left %+v, %v", entries, err)
	}
	p.leavesNoLocks(t)
}

func TestImagesOfTheEngineAloneAreTaken(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "a")
	if err := p.engine.tag(fakeImage{images[0].Ref, "sha256:theirs", images[0].Key, "base-1"}); err != nil {
		t.Fatal(err)
	}
	ids := p.ensure(t, images)
	if ids[0] != "sha256:theirs" || p.builds(t) != "" {
		t.Errorf("got %v, built %s", ids, p.builds(t))
	}
	rows, err := p.Store.List(t.Context())
	if err != nil || len(rows) != 1 || rows[0].ImageID != "sha256:theirs" || rows[0].PythonVersion != "3.11" {
		t.Errorf("got %+v, %v", rows, err)
	}
}

func TestAlwaysBuilds(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "a")
	p.ensure(t, images)
	r, err := p.Ensure(t.Context(), images, p.builder, Use{Always: true})
	if err != nil {
		t.Fatal(err)
	}
	r.Release()
	if got := p.builds(t); got != "a a" {
		t.Errorf("built %s", got)
	}
}

func TestOldImagesGo(t *testing.T) {
	p := newPlant(t)
	p.Keep = 3
	p.ensure(t, recipes("1", "a", "b"))
	p.ensure(t, recipes("2", "a", "b"))
	if _, err := os.Stat(p.engine.path(recipes("1", "a")[0].Ref)); err == nil {
		t.Error("the image used longest ago is still there")
	}
	if len(p.said) != 1 || !strings.Contains(p.said[0], recipes("1", "a")[0].Ref) {
		t.Errorf("said %q", p.said)
	}
	// Used again, an old one is young.
	p.ensure(t, recipes("1", "b"))
	p.engine.containers = []container.Summary{{ID: "c", Names: []string{"/runs"}, ImageID: string(p.ensure(t, recipes("2", "a"))[0])}}
	p.ensure(t, recipes("3", "c", "d"))
	var left []string
	entries, err := p.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Ref)
	}
	slices.Sort(left)
	want := []string{recipes("2", "a")[0].Ref, recipes("3", "c")[0].Ref, recipes("3", "d")[0].Ref}
	if !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
}

func TestOtherEnginesAreForgotten(t *testing.T) {
	p := newPlant(t)
	p.EngineID = "of a machine that is gone"
	for i := range 14 {
		p.ensure(t, recipes(strconv.Itoa(i), "a"))
	}
	p.EngineID, p.Keep = "engine", 1
	p.ensure(t, recipes("99", "a", "b"))
	rows, err := p.Store.List(t.Context())
	if err != nil || len(rows) != 12 || rows[11].Tag != refOf(recipes("4", "a")[0].Ref).Tag {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestPruneRemovesNothingOfOthersUnlessAsked(t *testing.T) {
	p := newPlant(t)
	p.ensure(t, recipes("1", "a"))
	theirs := recipes("9", "z")[0]
	if err := p.engine.tag(fakeImage{theirs.Ref, "sha256:theirs", theirs.Key, ""}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		s    Selection
		want int
	}{{Selection{DryRun: true}, 1}, {Selection{Foreign: true, DryRun: true}, 2}, {Selection{}, 1}, {Selection{Foreign: true}, 1}, {Selection{Foreign: true}, 0}} {
		gone, err := p.Prune(t.Context(), c.s)
		if err != nil || len(gone) != c.want {
			t.Errorf("%+v: removed %v, %v; want %d", c.s, gone, err, c.want)
		}
	}
}

// TestPrunedMeanwhile lets another process prune everything right after the look
// that found it, and while it is held.
func TestPrunedMeanwhile(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "a", "b")
	p.ensure(t, images)
	p.engine.after = func() {
		if gone, err := p.Prune(t.Context(), Selection{}); err != nil || len(gone) != 2 {
			t.Errorf("removed %v, %v", gone, err)
		}
	}
	p.ensure(t, images)
	if got := p.builds(t); got != "a b a b" {
		t.Errorf("built %s", got)
	}
	r, err := p.Ensure(t.Context(), images, p.builder, Use{}) // as up does, which has no containers yet
	if err != nil {
		t.Fatal(err)
	}
	if gone, err := p.Prune(t.Context(), Selection{}); err != nil || len(gone) != 0 {
		t.Errorf("removed %v, %v: they are held", gone, err)
	}
	r.Release()
	r.Release()
	states, err := p.Look(t.Context(), images)
	if err != nil || states[0].ID == "" || states[1].ID == "" {
		t.Errorf("got %+v, %v", states, err)
	}
	p.leavesNoLocks(t)
}

// TestNodesOfOneImage has two nodes whose ids differ in what no image's name has.
func TestNodesOfOneImage(t *testing.T) {
	p := newPlant(t)
	images := append(recipes("1", "a", "b"), recipes("1", "a")...)
	images[2].Node = "A"
	for range 2 {
		ids := p.ensure(t, images)
		if len(ids) != 3 || ids[0] != ids[2] || ids[0] == ids[1] {
			t.Errorf("got %v", ids)
		}
	}
	if got := p.builds(t); got != "a b" {
		t.Errorf("built %s", got)
	}
	rows, err := p.Store.List(t.Context())
	if err != nil || len(rows) != 2 || !slices.Equal(rows[0].UsedBy, []string{"test/A", "test/a"}) {
		t.Errorf("got %+v, %v", rows, err)
	}
}

// TestAdoptedImagesAreOthers loses the database, and adopts what the engine has:
// nothing of it goes before it is used here.
func TestAdoptedImagesAreOthers(t *testing.T) {
	p := newPlant(t)
	p.Keep = 1
	for _, theirs := range recipes("7", "x", "y", "z") {
		if err := p.engine.tag(fakeImage{theirs.Ref, "sha256:" + theirs.Node, theirs.Key, ""}); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.ensure(t, recipes("1", "a"))
	p.ensure(t, recipes("7", "x")) // used here from now on
	p.ensure(t, recipes("2", "a"))
	var left []string
	entries, err := p.Images(t.Context())
	for _, e := range entries {
		left = append(left, e.Row.Name)
	}
	if want := []string{"medianode/a", "medianode/y", "medianode/z"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left %v, %v; want %v", left, err, want)
	}
}

// TestFailureTakesNoGoodImage builds again what is there, and fails: the image is
// there still, and known.
func TestFailureTakesNoGoodImage(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "a", "b")
	ids := p.ensure(t, images)
	p.builder.fail = errors.New("the cache cannot be written")
	if _, err := p.Ensure(t.Context(), images, p.builder, Use{Always: true}); !errors.Is(err, p.builder.fail) {
		t.Errorf("got %v", err)
	}
	entries, err := p.Images(t.Context())
	if err != nil || len(entries) != 2 || entries[0].Status != store.Available || entries[1].Status != store.Available {
		t.Errorf("got %+v, %v", entries, err)
	}
	if again := p.ensure(t, images); !slices.Equal(again, ids) || p.builds(t) != "a b" {
		t.Errorf("got %v, built %s", again, p.builds(t))
	}
	rows, err := p.Store.List(t.Context())
	if err != nil || rows[0].BuildConfig == "" || rows[0].Created.IsZero() {
		t.Errorf("got %+v, %v", rows, err)
	}
}

// TestFailedBuildsCrowdNothingOut fails more often than there are images to keep.
func TestFailedBuildsCrowdNothingOut(t *testing.T) {
	p := newPlant(t)
	p.Keep = 3
	p.ensure(t, recipes("1", "a", "b"))
	good := p.builder
	p.builder.fail = errors.New("no")
	for i := range 9 {
		if _, err := p.Ensure(t.Context(), recipes("f"+strconv.Itoa(i), "c"), p.builder, Use{}); err == nil {
			t.Fatal("no failure")
		}
	}
	p.builder = good
	p.ensure(t, recipes("1", "c"))
	available, failed := 0, 0
	entries, err := p.Images(t.Context())
	for _, e := range entries {
		if e.Status == store.Failed {
			failed++
		} else {
			available++
		}
	}
	if err != nil || available != 3 || failed != 3 {
		t.Errorf("%d available, %d failed, %v", available, failed, err)
	}
}

// TestInventory holds rows against the engine, which decides.
func TestInventory(t *testing.T) {
	p := newPlant(t)
	images := recipes("1", "killed", "ghost", "retagged", "interrupted")
	p.ensure(t, images[:3])
	building := p.row(images[0], tagged{})
	building.Status = store.Building // killed when the engine had the image already
	interrupted := p.row(images[3], tagged{})
	interrupted.Status = store.Building
	err := errors.Join(p.Store.Put(t.Context(), building), p.Store.Put(t.Context(), interrupted),
		os.Remove(p.engine.path(images[1].Ref)), p.engine.tag(fakeImage{images[2].Ref, "x", "another", ""}))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := p.Images(t.Context())
	got := map[string]string{}
	for _, e := range entries {
		got[e.Row.Name] = string(e.Status) + " " + e.Why
	}
	want := map[string]string{
		"medianode/killed": "available ", "medianode/interrupted": "failed the build was interrupted", "medianode/retagged": "available ",
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	gone, err := p.Prune(t.Context(), Selection{})
	if err != nil || len(gone) != 1 || gone[0].Ref != images[0].Ref {
		t.Errorf("removed %v, %v: the killed one is ours, the retagged one is not", gone, err)
	}
	if rows, err := p.Store.List(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("left %+v, %v", rows, err)
	}
}

func TestChanges(t *testing.T) {
	p := newPlant(t)
	p.ensure(t, recipes("1", "a", "b"))
	images := append(recipes("2", "a", "new"), recipes("1", "b")...)
	states, err := p.Look(t.Context(), images)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := p.Changes(t.Context(), "test", states)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(changes[0], "; "); !strings.Contains(got, "+ numpy==2") || !strings.Contains(got, "code.py changed") {
		t.Errorf("got %q", got)
	}
	if len(changes[1]) != 0 || len(changes[2]) != 0 {
		t.Errorf("got %q", changes)
	}
	if changes, err := p.Changes(t.Context(), "another project", states); err != nil || len(changes[0]) != 0 {
		t.Errorf("got %q, %v", changes, err)
	}
}

func (p *plant) leavesNoLocks(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(p.Locks)
	if err == nil && len(left) > 0 {
		t.Errorf("left %v in %s", left, p.Locks)
	}
}
