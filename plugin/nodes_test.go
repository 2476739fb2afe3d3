package plugin

import (
	"testing"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// What the help of a built-in shows can be pasted.
func TestNodeExamples(t *testing.T) {
	for _, b := range builtin.Catalog() {
		text := "version: v1\nnodes:\n" + nodeExample(b)
		if _, err := pipeline.Parse(b.Name, []byte(text), builtin.Catalog()); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if b.Doc == "" {
			t.Errorf("%s says nothing about itself", b.Name)
		}
		for _, p := range b.Params {
			if p.Doc == "" {
				t.Errorf("%s.%s says nothing about itself", b.Name, p.Name)
			}
			// The least that is allowed is mostly nonsense.
			if isNumber := p.Type == pipeline.ParamNumber || p.Type == pipeline.ParamInteger; isNumber && p.Required && p.Example == nil {
				t.Errorf("%s.%s has no example", b.Name, p.Name)
			}
		}
	}
}
