// Package schemas_test holds the JSON Schema that lies here against the language:
// the file is for who has no plugin at hand, such as an editor that was given its
// URL.
package schemas_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

var update = flag.Bool("update", false, "rewrite pipeline.schema.json")

func published(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("pipeline.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestFileIsTheLanguage(t *testing.T) {
	want := pipeline.Schema(builtin.Catalog())
	if *update {
		if err := os.WriteFile("pipeline.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(published(t), want) {
		t.Error("pipeline.schema.json is old: go test ./schemas -update")
	}
}

// What the project shows to others must be without a mark in their editor.
func TestExamplesAreValid(t *testing.T) {
	files, err := filepath.Glob("../examples/*/pipeline.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	schema := compile(t)
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal(src, &value); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(value); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(published(t)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	escape := regexp.MustCompile(`\\u([0-9a-f]{4})`) // of ECMAScript, which Go writes otherwise
	c.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		return regexp.Compile(escape.ReplaceAllString(s, `\x{$1}`))
	})
	if err := c.AddResource("pipeline.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("pipeline.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
