package schemas_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

var update = flag.Bool("update", false, "rewrite pipeline.schema.json")

// The file is for who has no plugin at hand: an editor that was given its URL.
func TestFileIsTheLanguage(t *testing.T) {
	want := pipeline.Schema(builtin.Catalog())
	if *update {
		if err := os.WriteFile("pipeline.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(schemas.Pipeline(), want) {
		t.Error("pipeline.schema.json is old: go test ./schemas -update")
	}
}
