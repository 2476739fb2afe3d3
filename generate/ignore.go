package generate

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

const (
	ignoreFile = ".dockerignore"
	// maxIgnore bounds a .dockerignore: each of its lines is held against each file.
	maxIgnore = 64 << 10
)

// secrets are names that never go into an image, whatever .dockerignore says.
func secrets() []string {
	return []string{
		".env*", "*.pem", "*.key", "*.p12", "*.pfx", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*",
		".ssh", ".aws", ".gnupg", ".netrc", ".pypirc", ".git-credentials",
	}
}

// clutter are names of what is not code: they go into an image only if a line of
// .dockerignore that begins with ! names them.
func clutter() []string {
	return []string{
		".git", ".hg", ".svn", ignoreFile, ".medianode",
		"__pycache__", "*.pyc", "*.pyo", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".tox", ".nox", ".hypothesis",
		".venv", "venv", "node_modules",
		".DS_Store", "Thumbs.db", ".idea", ".vscode", "*.swp", "*.swo", "*~", ".#*", "#*#",
	}
}

// matching is the first of the patterns that matches a name without directories;
// empty if there is none.
func matching(patterns []string, base string) string {
	for _, p := range patterns {
		if ok, _ := path.Match(p, base); ok { // the patterns are well formed
			return p
		}
	}
	return ""
}

// ignoreRules are a .dockerignore; the zero value leaves nothing out.
type ignoreRules struct {
	matcher *patternmatcher.PatternMatcher
	back    []negation
}

// negation is one line that begins with !.
type negation struct {
	matcher *patternmatcher.PatternMatcher
	parts   []string
	glob    bool // it may match below any directory
}

// readIgnore reads the .dockerignore of a source, as Docker does.
func readIgnore(fsys fs.FS, root string) (ignoreRules, error) {
	name := path.Join(root, ignoreFile)
	if _, err := fs.Lstat(fsys, name); errors.Is(err, fs.ErrNotExist) {
		return ignoreRules{}, nil
	}
	file, err := read(fsys, name, maxIgnore)
	if errors.Is(err, errTooLarge) {
		return ignoreRules{}, fmt.Errorf("%q has more than %s", name, size(maxIgnore))
	}
	if err != nil {
		return ignoreRules{}, err
	}
	rules, err := parseIgnore(file.Data)
	if err != nil {
		return ignoreRules{}, fmt.Errorf("%q %w", name, err)
	}
	return rules, nil
}

func parseIgnore(text []byte) (ignoreRules, error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(text))
	if err != nil {
		return ignoreRules{}, fmt.Errorf("cannot be read: %w", err)
	}
	rules := ignoreRules{}
	if rules.matcher, err = compile(patterns); err != nil {
		return ignoreRules{}, badLine(text, err)
	}
	for _, p := range rules.matcher.Patterns() {
		if !p.Exclusion() {
			continue
		}
		slashed := strings.ReplaceAll(p.String(), `\`, "/") // Windows
		n := negation{parts: strings.Split(slashed, "/"), glob: strings.ContainsAny(p.String(), `*?[\`)}
		if n.matcher, err = compile([]string{p.String()}); err != nil {
			return ignoreRules{}, err
		}
		rules.back = append(rules.back, n)
	}
	return rules, nil
}

// compile makes a matcher of which every pattern is known to be good: a matcher
// itself compiles them when it is asked.
func compile(patterns []string) (*patternmatcher.PatternMatcher, error) {
	for _, p := range patterns {
		one, err := patternmatcher.New([]string{strings.TrimPrefix(p, "!")})
		if err == nil {
			_, err = one.MatchesOrParentMatches("x")
		}
		if err != nil {
			return nil, err
		}
	}
	return patternmatcher.New(patterns)
}

// badLine says which line of a .dockerignore is to blame for an error.
func badLine(text []byte, err error) error {
	for i, line := range strings.Split(string(text), "\n") {
		patterns, readErr := ignorefile.ReadAll(strings.NewReader(line))
		if readErr != nil {
			continue
		}
		if _, bad := compile(patterns); bad != nil {
			return fmt.Errorf("line %d: %q is not a pattern: %w", i+1, strings.TrimSpace(line), bad)
		}
	}
	return fmt.Errorf("has a bad pattern: %w", err)
}

// naming are the negations that name an entry by its own name, or by the pattern
// for which it is left out.
func (r ignoreRules) naming(base, pattern string) []negation {
	var out []negation
	for _, n := range r.back {
		if slices.Contains(n.parts, base) || pattern != "" && slices.Contains(n.parts, pattern) {
			out = append(out, n)
		}
	}
	return out
}

// mayBringBack tells whether a negation could match something below a directory.
func (r ignoreRules) mayBringBack(dir string) bool {
	return slices.ContainsFunc(r.back, func(n negation) bool {
		return n.glob || strings.HasPrefix(strings.Join(n.parts, "/"), dir+"/")
	})
}

// bringsBack tells whether one of the negations matches a path or a parent of it.
func bringsBack(list []negation, name string) bool {
	return slices.ContainsFunc(list, func(n negation) bool {
		ok, _ := n.matcher.MatchesOrParentMatches(name) // compiled before
		return ok
	})
}
