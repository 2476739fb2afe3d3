package image

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	bk "github.com/moby/buildkit/client"

	"github.com/medianode/docker-medianode/generate"
)

func nothingSet(string) string { return "" }

func TestParseCache(t *testing.T) {
	github := func(name string) string {
		return map[string]string{"ACTIONS_RUNTIME_TOKEN": "secret", "ACTIONS_RESULTS_URL": "https://results", "ACTIONS_CACHE_SERVICE_V2": "true"}[name]
	}
	older := func(name string) string {
		return map[string]string{"ACTIONS_RUNTIME_TOKEN": "secret", "ACTIONS_CACHE_URL": "https://cache"}[name]
	}
	for _, c := range []struct {
		text   string
		getenv func(string) string
		to     string // what is understood, or the error; to and from apart
		from   string
	}{
		{"ghcr.io/me/cache", nothingSet, "registry map[ref:ghcr.io/me/cache]", "="},
		{"localhost:5000/cache:main", nothingSet, "registry map[ref:localhost:5000/cache:main]", "="},
		{"type=registry,ref=ghcr.io/me/cache,mode=max", nothingSet, "registry map[mode:max ref:ghcr.io/me/cache]", "="},
		{`type=registry,"ref=x/y",Compression=zstd`, nothingSet, "registry map[compression:zstd ref:x/y]", "="},
		{"type=local,dest=out,src=in", nothingSet, "local map[dest:out src:in]", "="},
		{"type=inline", nothingSet, "inline map[]", "an inline cache is in an image: read it with type=registry,ref=IMAGE"},
		{"type=gha,scope=a", github, "gha map[scope:a token:secret url:https://results url_v2:https://results]", "="},
		{"type=gha,version=1", github, "gha map[token:secret url:https://results version:1]", "="},
		{"type=gha,token=mine", older, "gha map[token:mine url:https://cache]", "="},
		{"type=gha", nothingSet, ErrNoGitHub.Error(), "="},
		{"type=gha,url=u", nothingSet, ErrNoGitHub.Error(), "="},

		{"", nothingSet, "give a reference, such as ghcr.io/me/cache, or type=registry,ref=…", "="},
		{"a/b,c/d", nothingSet, "two references: repeat the flag for each", "="},
		{"type=registry,a/b", nothingSet, `"a/b" is no attribute: want KEY=VALUE, such as ref=a/b`, "="},
		{"ref=a/b", nothingSet, "no type: add type=registry, type=local, type=gha or type=inline", "="},
		{"type=s3,bucket=b", nothingSet, "want type=registry, type=local, type=gha or type=inline: an engine knows no other", "="},
		{"type=registry", nothingSet, "add ref=REGISTRY/PATH", "="},
		{"Ghcr.io/Me/cache", nothingSet, "invalid reference format: repository name (Me/cache) must be lowercase; want REGISTRY/PATH or REGISTRY/PATH:TAG", "="},
		{"x/y@sha256:" + strings.Repeat("0", 64), nothingSet, "a digest names one cache, and each node has its own: want REGISTRY/PATH or REGISTRY/PATH:TAG", "="},
		{"type=local", nothingSet, "add dest=DIR, the directory", "add src=DIR, the directory"},
		{"type=registry,ref=x/y,mode=most", nothingSet, "want mode=min (layers of the image) or mode=max (those of every stage)", "registry map[mode:most ref:x/y]"},
	} {
		if c.from == "=" {
			c.from = c.to
		}
		for _, side := range []struct {
			name, want string
			read       func(string, func(string) string) (Cache, error)
		}{{"to", c.to, ParseCacheTo}, {"from", c.from, ParseCacheFrom}} {
			parsed, err := side.read(c.text, c.getenv)
			got := fmt.Sprint(parsed.Type, " ", parsed.Attrs)
			if err != nil {
				got = err.Error()
			}
			if got != side.want {
				t.Errorf("%s %q:\n got %s\nwant %s", side.name, c.text, got, side.want)
			}
		}
	}
	if _, err := ParseCacheTo(`type="registry`, nothingSet); err == nil || !strings.Contains(err.Error(), "want KEY=VALUE, with commas between") {
		t.Errorf("an open quote: %v", err)
	}
	if _, err := ParseCacheTo("type=gha", nothingSet); !errors.Is(err, ErrNoGitHub) {
		t.Errorf("got %v", err)
	}
}

// FuzzParseCache holds that no text panics, and that what passes can be shared
// among nodes without two of them having one place.
func FuzzParseCache(f *testing.F) {
	for _, text := range []string{"ghcr.io/me/cache:main", "type=local,dest=a", "type=gha,token=a,url=b", `"`, "a@b", "=,="} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseCacheTo(text, nothingSet)
		if err != nil || c.Type == inlineCache {
			return
		}
		if a, b := c.For("a"), c.For("b"); fmt.Sprint(a) == fmt.Sprint(b) {
			t.Errorf("%q: two nodes have %v", text, a)
		}
	})
}

func nodes(ids ...string) []generate.Image {
	var images []generate.Image
	for _, id := range ids {
		images = append(images, generate.Image{Node: id})
	}
	return images
}

func TestEachNodeHasItsOwnCache(t *testing.T) {
	for text, want := range map[string]string{
		"ghcr.io/me/cache":               "map[ref:ghcr.io/me/cache:Asr_1]",
		"ghcr.io/me/cache:main":          "map[ref:ghcr.io/me/cache:main-Asr_1]",
		"localhost:5000/cache":           "map[ref:localhost:5000/cache:Asr_1]",
		"type=local,dest=d,src=s":        "map[dest:d/Asr_1 src:s/Asr_1]",
		"type=gha,token=t,url=u":         "map[scope:buildkit-Asr_1 token:t url:u]",
		"type=gha,token=t,url=u,scope=s": "map[scope:s-Asr_1 token:t url:u]",
		"type=inline":                    "map[]",
	} {
		c, err := ParseCacheTo(text, nothingSet)
		if err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprint(c)
		if got := fmt.Sprint(c.For("Asr_1").Attrs); got != want || fmt.Sprint(c) != before {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestTagTooLongForANode(t *testing.T) {
	c := Cache{"registry", map[string]string{"ref": "x.io/c:" + strings.Repeat("t", 120)}}
	if err := c.CheckNodes(nodes("short")); err != nil {
		t.Error(err)
	}
	err := c.CheckNodes(nodes("short", "longer_id"))
	if err == nil || !strings.HasSuffix(err.Error(), "the tag is too long together with the id of node longer_id: want at most 128 characters") {
		t.Errorf("got %v", err)
	}
}

func TestOptionsOfABuild(t *testing.T) {
	o := Options{
		CacheTo: []Cache{{"registry", map[string]string{"ref": "x.io/c", "mode": "max"}}},
		CacheFrom: []Cache{
			{"registry", map[string]string{"ref": "x.io/c:main"}}, {"local", map[string]string{"src": "here"}}, {"local", map[string]string{"src": "nowhere"}},
		},
		NoCache: true, Pull: true,
	}
	opt := bk.SolveOpt{FrontendAttrs: map[string]string{}}
	o.caches("b", &opt, func(name string) bool { return name == "here/b/index.json" })
	if got := fmt.Sprint(opt.CacheExports, opt.CacheImports, opt.FrontendAttrs); got !=
		"[{registry map[mode:max ref:x.io/c:b]}] [{registry map[ref:x.io/c:main-b]} {registry map[ref:x.io/c:main]} {local map[src:here/b]}] map[image-resolve-mode:pull no-cache:]" {
		t.Errorf("got %s", got)
	}
	opt.CacheImports[1].Attrs["digest"] = "as BuildKit's client does"
	if len(o.CacheFrom[0].Attrs) != 1 {
		t.Error("one build writes into the options of another")
	}
}

func TestAlways(t *testing.T) {
	cache := []Cache{{Type: "inline"}}
	for want, list := range map[bool][]Options{
		false: {{}, {CacheFrom: cache}},
		true:  {{NoCache: true}, {Pull: true}, {CacheTo: cache}},
	} {
		for _, o := range list {
			if o.Always() != want {
				t.Errorf("%+v: want %v", o, want)
			}
		}
	}
}
