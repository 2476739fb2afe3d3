package cache

import (
	"fmt"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/store"
)

func TestJudge(t *testing.T) {
	img := generate.Image{Node: "asr", Ref: "medianode/asr:111", Key: "key", Base: "python:3.11-slim"}
	there := tagged{id: "sha256:1", key: "key", base: "base-1"}
	row := func(change func(*store.Row)) *store.Row {
		r := &store.Row{Key: "key", EngineID: "engine", ImageID: "sha256:1", Status: store.Available}
		if change != nil {
			change(r)
		}
		return r
	}
	for name, c := range map[string]struct {
		k     knowledge
		id    image.ID
		why   string
		adopt bool
	}{
		"nothing is known":      {k: knowledge{}, why: "not built yet"},
		"as it was left":        {k: knowledge{tagged: there, row: row(nil), base: "base-1"}, id: "sha256:1"},
		"the base is not there": {k: knowledge{tagged: there, row: row(nil)}, id: "sha256:1"},
		"built without a base that the engine knew": {
			k: knowledge{tagged: tagged{id: "sha256:1", key: "key"}, row: row(nil), base: "base-2"}, id: "sha256:1",
		},
		"only the engine knows":        {k: knowledge{tagged: there}, id: "sha256:1", adopt: true},
		"committed of a container":     {k: knowledge{tagged: tagged{id: "sha256:2", key: "key", created: time.Now()}}, why: "the image of its name may be another program's"},
		"of an engine that sets times": {k: knowledge{tagged: tagged{id: "sha256:1", key: "key", created: time.Now()}, row: row(nil)}, id: "sha256:1"},
		"remembered of another":        {k: knowledge{tagged: there, row: row(func(r *store.Row) { r.EngineID = "other" })}, id: "sha256:1", adopt: true},
		"a crash after the build":      {k: knowledge{tagged: there, row: row(func(r *store.Row) { r.Status = store.Building })}, id: "sha256:1", adopt: true},
		"removed":                      {k: knowledge{row: row(nil)}, why: "it was removed from the engine"},
		"removed from another":         {k: knowledge{row: row(func(r *store.Row) { r.EngineID = "other" })}, why: "not built yet"},
		"another recipe of this tag":   {k: knowledge{row: row(func(r *store.Row) { r.Key = "key of the same beginning" })}, why: "not built yet"},
		"retagged":                     {k: knowledge{tagged: tagged{id: "sha256:2"}, row: row(nil)}, why: "its tag is that of another image"},
		"built elsewhere":              {k: knowledge{tagged: tagged{id: "sha256:2", key: "key"}, row: row(nil)}, why: "the image was replaced by another program"},
		"the base moved":               {k: knowledge{tagged: there, row: row(nil), base: "base-2"}, why: "python:3.11-slim is another image now"},
		"the base moved, no row":       {k: knowledge{tagged: there, base: "base-2"}, why: "python:3.11-slim is another image now"},
		"failed":                       {k: knowledge{row: row(func(r *store.Row) { r.Status = store.Failed })}, why: "its last build failed"},
		"interrupted":                  {k: knowledge{row: row(func(r *store.Row) { r.Status = store.Building })}, why: "its last build was interrupted"},
		"being removed":                {k: knowledge{tagged: there, busy: true}, why: "another process builds or removes it"},
		"being built": {
			k:   knowledge{tagged: there, row: row(func(r *store.Row) { r.Status, r.Holder = store.Building, "process 7" }), busy: true},
			why: "is being built by process 7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.k.engine = "engine"
			got := judge(img, c.k)
			if got.ID != c.id || got.Why != c.why || got.adopt != c.adopt {
				t.Errorf("got %q, %q, adopt %v; want %q, %q, %v", got.ID, got.Why, got.adopt, c.id, c.why, c.adopt)
			}
		})
	}
}

func TestSurplus(t *testing.T) {
	entry := func(ref string, used int64, change func(*Entry)) Entry {
		e := Entry{Ref: ref, Status: store.Available, Row: store.Row{Used: used}}
		if change != nil {
			change(&e)
		}
		return e
	}
	entries := []Entry{
		entry("old", 1, nil),
		entry("old but in use", 2, func(e *Entry) { e.Containers = []string{"x"} }),
		entry("in work", 3, func(e *Entry) { e.Status = store.Building }),
		entry("needed", 4, nil),
		entry("failed", 5, func(e *Entry) { e.Status = store.Failed }),
		entry("new", 6, nil),
		entry("newest", 7, nil),
		entry("another's", 0, func(e *Entry) { e.foreign = true }),
	}
	needed := []generate.Image{{Ref: "needed"}}
	for _, c := range []struct {
		s    Selection
		want string
	}{
		{Selection{Keep: 50, Needed: needed, Foreign: true}, "[]"},
		{Selection{Keep: 0, Needed: needed}, "[old failed new newest]"},
		{Selection{Keep: 0}, "[old needed failed new newest]"},
		{Selection{Keep: 0, Needed: needed, Foreign: true}, "[another's old failed new newest]"},
		{Selection{Keep: 1, Needed: needed}, "[old new]"}, // a failed build has no image: it is counted apart
		{Selection{Keep: 5, Needed: needed}, "[old]"},     // what stays in any case counts
		{Selection{Keep: 6, Needed: needed}, "[]"},
	} {
		var got []string
		for _, e := range surplus(entries, c.s) {
			got = append(got, e.Ref)
		}
		if text := fmt.Sprint(got); text != c.want {
			t.Errorf("keep %d, foreign %v: got %s, want %s", c.s.Keep, c.s.Foreign, text, c.want)
		}
	}
}
