package builtin_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/medianode/docker-medianode/runtime/builtin"
)

// The documentation of a built-in is shown by editors and by the list of
// nodes: a sentence that begins with a capital letter, without its full stop.
func TestCatalogDocs(t *testing.T) {
	check := func(what, doc string) {
		t.Helper()
		if doc == "" || !unicode.IsUpper([]rune(doc)[0]) || doc[len(doc)-1] == '.' {
			t.Errorf("%s: doc %q", what, doc)
		}
	}
	seen := map[string]bool{}
	for _, b := range builtin.Catalog() {
		if seen[b.Name] {
			t.Errorf("%s: twice in the catalog", b.Name)
		}
		seen[b.Name] = true
		check(b.Name, b.Doc)
		for _, p := range b.Params {
			check(b.Name+"."+p.Name, p.Doc)
		}
	}
}

// TestReadme finds the row of every node in README.md, with its params and
// their defaults.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, row, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` | "); ok && strings.HasPrefix(line, "| `") {
			rows[name] = row
		}
	}
	for _, b := range builtin.Catalog() {
		row, ok := rows[b.Name]
		if !ok {
			t.Errorf("%s: no row", b.Name)
		}
		for _, p := range b.Params {
			want := "`" + p.Name + ": " + fmt.Sprint(p.Default)
			if p.Default == nil {
				want = p.Name
			}
			if !strings.Contains(row, want) {
				t.Errorf("%s: no %s in the row %s", b.Name, want, row)
			}
		}
	}
}
