package pipeline_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// escapes turns what ECMAScript writes into what Go's regexp does.
var escapes = regexp.MustCompile(`\\u([0-9a-f]{4})`)

func compile(t *testing.T, known []pipeline.Builtin) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(pipeline.Schema(known)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		return regexp.Compile(escapes.ReplaceAllString(s, `\x{$1}`))
	})
	if err := c.AddResource("pipeline.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pipeline.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// refused lists the places that the schema refuses something at, joined by NUL,
// and the keys that it refuses, whose place the library does not always know.
func refused(s *jsonschema.Schema, value any) (places, keys map[string]bool) {
	places, keys = map[string]bool{}, map[string]bool{}
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		switch k := e.ErrorKind.(type) {
		case *kind.AdditionalProperties:
			for _, p := range k.Properties {
				keys[shortened(p)] = true
			}
		case *kind.PropertyNames:
			keys[k.Property] = true
		default:
			if len(e.Causes) == 0 {
				places[strings.Join(e.InstanceLocation, "\x00")] = true
			}
		}
		for _, c := range e.Causes {
			walk(c)
		}
	}
	if e := new(jsonschema.ValidationError); errors.As(s.Validate(value), &e) {
		walk(e)
	}
	return places, keys
}

// shortened is how much of a key a diagnostic repeats.
func shortened(key string) string {
	if len(key) <= 60 {
		return key
	}
	return key[:60] + "…"
}

// steps splits the path of a diagnostic, such as nodes[0].docker.env["A=B"].
func steps(t *testing.T, path string) []string {
	t.Helper()
	var out []string
	for path != "" {
		switch {
		case strings.HasPrefix(path, `["`):
			quoted, err := strconv.QuotedPrefix(path[1:])
			if err != nil {
				t.Fatal(err)
			}
			key, _ := strconv.Unquote(quoted)
			out, path = append(out, key), path[1+len(quoted)+1:]
		case path[0] == '[':
			index, rest, _ := strings.Cut(path[1:], "]")
			out, path = append(out, index), rest
		default:
			path = strings.TrimPrefix(path, ".")
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			out, path = append(out, path[:end]), path[end:]
		}
	}
	return out
}

// around is what a schema says of the value around it.
var around = regexp.MustCompile(`^(missing |more than |has no effect without )`)

// blind is what a schema cannot see, by what Parse says of it, and why.
var blind = map[string]string{
	`^no node has the id `:                                   "looks at the nodes",
	`^the id .* is already at `:                              "looks at the other nodes",
	`^"[A-Za-z0-9_-]+" has no (input|output)s?($| called )`:  "looks at the node of a connection",
	` sends .*, but .* takes `:                               "looks at both ends of a connection",
	`^".*" is (already written by|what .* reads at) `:        "looks at the other nodes",
	`^the same connection is already at `:                    "looks at the other connections; a port left out is the default one",
	`^closes a cycle: `:                                      "looks at all connections",
	`^more mistakes follow$`:                                 "is about the list of mistakes",
	`^has no effect: no connection touches this node`:        "looks at the connections",
	`^has no effect: it bounds one call `:                    "looks at the connections",
	`^".*" is already (at|mounted at|in env at) `:            "compares names, not texts: Pillow is pillow",
	`has a marker that is not PEP 508$`:                      "a grammar with parentheses",
	`^"3\.1" must be 3\.9, `:                                 "3.10 without quotes is the number 3.1 to a schema",
	`^must be a size .*, not "0x10"$`:                        "is the number 16 to a schema",
	`^must be an integer, not "(1\.0|2\.0|1e3)"$`:            "is an integer to a schema",
	`^must be (a number, not "0\.5"|a list, not a mapping)$`: "stands under a key that is itself unknown",
	`^unknown key "(cpu|source|target|ro|pth|form|too|memory-mb|memoryMB|cpuCores|ID|Node_Type)"$`: "stands under a key that is itself unknown",
}

// reason returns the pattern of blind that a message matches.
func reason(message string) string {
	for expr := range blind {
		if regexp.MustCompile(expr).MatchString(message) {
			return expr
		}
	}
	return ""
}

func unseen(message string) bool { return reason(message) != "" }

func TestSchemaAllowsWhatParses(t *testing.T) {
	s := compile(t, builtins())
	all := cases(t, "ok")
	for file, src := range cases(t, "err") {
		if strings.HasPrefix(filepath.Base(file), "warn-") {
			all[file] = src
		}
	}
	for file, src := range all {
		value, _, _ := pipeline.Tree(file, src)
		if err := s.Validate(value); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// Each mistake that Parse finds is found by the schema at the same place, or is
// of a kind that it cannot see.
func TestSchemaRefusesWhatDoesNotParse(t *testing.T) {
	s := compile(t, builtins())
	needed := map[string]bool{}
	for file, src := range cases(t, "err") {
		name := filepath.Base(file)
		value, wrong, ok := pipeline.Tree(name, src)
		if !ok {
			continue // not YAML, for an editor neither
		}
		_, err := pipeline.Parse(name, src, builtins())
		all, _ := pipeline.AsDiagnostics(err)
		places, keys := refused(s, value)
		for _, d := range all {
			text := slices.ContainsFunc(wrong, func(w *pipeline.Diagnostic) bool { return *w == *d })
			path := steps(t, d.Path)
			seen := places[strings.Join(path, "\x00")] || len(path) > 0 && keys[path[len(path)-1]]
			if len(path) > 0 && around.MatchString(d.Message) {
				seen = seen || places[strings.Join(path[:len(path)-1], "\x00")]
			}
			if text || seen {
				continue
			}
			needed[reason(d.Message)] = true
			if reason(d.Message) == "" {
				t.Errorf("the schema does not see %v", d)
			}
		}
	}
	for expr, why := range blind {
		if !needed[expr] {
			t.Errorf("no case needs %s: %s", expr, why)
		}
	}
}
