package generate

import (
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzIgnore: whatever a .dockerignore holds, it is read or its line is named,
// and no secret gets through.
func FuzzIgnore(f *testing.F) {
	for _, seed := range []string{"", "a", "!**", "*\n!a/**/.env\n", "[", "!", "a\\", "\xff\n\x00", "**/[z-a]", "!/..//\\!", "#\n \t!\r\n", "!.git/**\n!*/*.pem", "{a,b}+(", strings.Repeat("*", 300)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 {
			return // matching is as slow as Docker's
		}
		tree := fstest.MapFS{".dockerignore": {Data: []byte(text)}}
		for _, name := range []string{"a", "b/c", "a/.env", ".git/x", ".git/.env", "x.pem", "venv/id_rsa", "venv/x"} {
			tree[name] = &fstest.MapFile{}
		}
		got, err := snapshot(tree, ".")
		if err != nil {
			if !strings.Contains(err.Error(), ".dockerignore\" ") {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		for _, file := range got.files {
			if strings.HasSuffix(file.Path, ".env") || strings.HasSuffix(file.Path, ".pem") || strings.Contains(file.Path, "id_rsa") {
				t.Errorf("%q lets %s through", text, file.Path)
			}
		}
	})
}
