package builtin_test

import (
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
