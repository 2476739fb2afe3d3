package image

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	bk "github.com/moby/buildkit/client"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/medianode/docker-medianode/generate"
)

// Options are what a command asks of all its builds.
type Options struct {
	// CacheTo are places that get the layers of each build, CacheFrom places
	// where layers are looked for. Each node has its own part of them: see For.
	CacheTo, CacheFrom []Cache
	NoCache            bool // runs every step
	Pull               bool // looks for a newer base image
}

// Always says that a build has to be done though the engine has the image: it
// is asked to do more than to make one.
func (o Options) Always() bool { return o.NoCache || o.Pull || len(o.CacheTo) > 0 }

// Cache is a place outside of the engine that keeps layers from build to build.
type Cache struct {
	Type  string            // registry, local, gha, inline
	Attrs map[string]string // as BuildKit knows them
}

// The types of caches that the BuildKit inside an engine knows.
const (
	registryCache = "registry"
	localCache    = "local"
	ghaCache      = "gha"
	inlineCache   = "inline"
)

// ErrNoGitHub is the error of a cache of type gha without the variables that
// only a workflow of GitHub has.
var ErrNoGitHub = errors.New("ACTIONS_RUNTIME_TOKEN and ACTIONS_RESULTS_URL are not set: GitHub gives them to actions only, so a step before has to pass them on (crazy-max/ghaction-github-runtime does)")

// tagPattern is what may stand behind the colon of a reference.
var tagPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// ParseCacheTo reads a value of --cache-to in buildx's syntax: a reference, or
// type=registry,ref=REF and more attributes. getenv gives the variables of the
// environment that type gha needs. Errors say what to write, or are ErrNoGitHub.
func ParseCacheTo(text string, getenv func(string) string) (Cache, error) {
	c, err := parseCache(text, "dest", getenv)
	if err != nil {
		return c, err
	}
	if mode, ok := c.Attrs["mode"]; ok && mode != "min" && mode != "max" {
		return c, errors.New("want mode=min (layers of the image) or mode=max (those of every stage)")
	}
	return c, nil
}

// ParseCacheFrom is ParseCacheTo for --cache-from.
func ParseCacheFrom(text string, getenv func(string) string) (Cache, error) {
	c, err := parseCache(text, "src", getenv)
	if err == nil && c.Type == inlineCache {
		return c, errors.New("an inline cache is in an image: read it with type=registry,ref=IMAGE")
	}
	return c, err
}

func parseCache(text, directory string, getenv func(string) string) (Cache, error) {
	c := Cache{Attrs: map[string]string{}}
	if text == "" { // of a variable that is not set
		return c, errors.New("give a reference, such as ghcr.io/me/cache, or type=registry,ref=…")
	}
	fields, err := csvvalue.Fields(text, nil)
	if err != nil {
		return c, fmt.Errorf("%w: want KEY=VALUE, with commas between", err)
	}
	if len(fields) == 1 && !strings.Contains(fields[0], "=") {
		fields = []string{"type=" + registryCache, "ref=" + fields[0]}
	}
	for _, f := range fields {
		key, value, ok := strings.Cut(f, "=")
		switch key = strings.ToLower(strings.TrimSpace(key)); {
		case !ok && !strings.Contains(text, "="):
			return c, errors.New("two references: repeat the flag for each")
		case !ok:
			return c, fmt.Errorf("%q is no attribute: want KEY=VALUE, such as ref=%s", f, f)
		case key == "type":
			c.Type = value
		default:
			c.Attrs[key] = value
		}
	}
	switch c.Type {
	case registryCache:
		return c, checkCacheRef(c.Attrs["ref"])
	case localCache:
		if c.Attrs[directory] == "" {
			return c, fmt.Errorf("add %s=DIR, the directory", directory)
		}
	case ghaCache:
		return c, c.addGitHub(getenv)
	case inlineCache:
	case "":
		return c, errors.New("no type: add type=registry, type=local, type=gha or type=inline")
	default:
		return c, errors.New("want type=registry, type=local, type=gha or type=inline: an engine knows no other")
	}
	return c, nil
}

func checkCacheRef(ref string) error {
	if ref == "" {
		return errors.New("add ref=REGISTRY/PATH")
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return fmt.Errorf("%w; want REGISTRY/PATH or REGISTRY/PATH:TAG", err)
	}
	if _, ok := named.(reference.Digested); ok {
		return errors.New("a digest names one cache, and each node has its own: want REGISTRY/PATH or REGISTRY/PATH:TAG")
	}
	return nil
}

// addGitHub takes what was not given from the variables of a workflow, as
// buildx does.
func (c Cache) addGitHub(getenv func(string) string) error {
	add := func(key, value string) {
		if _, given := c.Attrs[key]; !given && value != "" {
			c.Attrs[key] = value
		}
	}
	version := c.Attrs["version"]
	if v2, err := strconv.ParseBool(getenv("ACTIONS_CACHE_SERVICE_V2")); version == "" && err == nil && v2 {
		version = "2"
	}
	if version == "2" {
		add("url_v2", getenv("ACTIONS_RESULTS_URL"))
	}
	add("token", getenv("ACTIONS_RUNTIME_TOKEN"))
	add("url", cmp.Or(getenv("ACTIONS_CACHE_URL"), getenv("ACTIONS_RESULTS_URL")))
	if c.Attrs["token"] == "" || c.Attrs["url"]+c.Attrs["url_v2"] == "" {
		return ErrNoGitHub
	}
	return nil
}

// For is a node's own part of a cache: a tag, a directory or a scope. Nodes are
// built at the same time, and each build replaces what was there.
func (c Cache) For(node string) Cache {
	own := Cache{c.Type, maps.Clone(c.Attrs)}
	switch c.Type {
	case registryCache:
		own.Attrs["ref"] = nodeRef(c.Attrs["ref"], node)
	case localCache:
		for _, key := range []string{"dest", "src"} {
			if dir, ok := c.Attrs[key]; ok {
				own.Attrs[key] = filepath.Join(dir, node)
			}
		}
	case ghaCache:
		own.Attrs["scope"] = cmp.Or(c.Attrs["scope"], "buildkit") + "-" + node
	}
	return own
}

// nodeRef puts a node into the tag of a reference that was checked.
func nodeRef(ref, node string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ref
	}
	if tagged, ok := named.(reference.Tagged); ok {
		node = tagged.Tag() + "-" + node
	}
	return named.Name() + ":" + node
}

// CheckNodes refuses a tag that is too long together with the id of a node.
func (c Cache) CheckNodes(images []generate.Image) error {
	for _, img := range images {
		if ref := c.For(img.Node).Attrs["ref"]; c.Type == registryCache && !tagPattern.MatchString(ref[strings.LastIndexByte(ref, ':')+1:]) {
			return fmt.Errorf("ref=%s: the tag is too long together with the id of node %s: want at most 128 characters", c.Attrs["ref"], img.Node)
		}
	}
	return nil
}

// entries are caches as BuildKit's client takes them, which writes into them.
func entries(caches []Cache) []bk.CacheOptionsEntry {
	var out []bk.CacheOptionsEntry
	for _, c := range caches {
		out = append(out, bk.CacheOptionsEntry{Type: c.Type, Attrs: maps.Clone(c.Attrs)})
	}
	return out
}

// caches puts them into the options of one build. exists tells whether there is
// a file: BuildKit's client makes a directory that it is to read.
func (o Options) caches(node string, opt *bk.SolveOpt, exists func(string) bool) {
	if o.NoCache {
		opt.FrontendAttrs["no-cache"] = ""
	}
	if o.Pull {
		opt.FrontendAttrs["image-resolve-mode"] = "pull"
	}
	var to, from []Cache
	for _, c := range o.CacheTo {
		to = append(to, c.For(node))
	}
	// The node's own part, and the place itself, which another tool may have
	// written; not the parts of other nodes. Where two caches have the first steps
	// and one has the rest, BuildKit does not find the rest.
	for _, c := range o.CacheFrom {
		from = append(from, c.For(node), c)
	}
	from = slices.DeleteFunc(from, func(c Cache) bool {
		return c.Type == localCache && !exists(filepath.Join(c.Attrs["src"], "index.json"))
	})
	opt.CacheExports, opt.CacheImports = entries(to), entries(from)
}
