package pipeline_test

import (
	"os"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// values are put in the place of values of a file, one at a time. Their number is
// no multiple of three, so that all have their turn.
func values() []string {
	return []string{
		"x", "''", "null", "true", "5", "-1", "1.5", "'5'", "[]", "{}", "[x, x]", "{a: 1}", "../x", "/x", "~/x", "'a b'", `"a\nb"`, "3.14", "64KiB", "no",
		"always", "retry", "NullSink", "'m:C'", "'m.py:C'", "./x.whl", "'https://x/y.whl'", "numpy==1", "65537", "docker.sock", "/proc/x", "GPU-1", "text", "3.10",
	}
}

// places calls f with each value of a tree, which f may change for the time of
// the call.
func places(y *yaml.Node, f func(*yaml.Node)) {
	for i, c := range y.Content {
		if y.Kind != yaml.MappingNode || i%2 == 1 {
			was := *c
			f(c)
			*c = was
		}
		places(c, f)
	}
}

// Parse and the schema agree about every value in every place, but for what the
// schema cannot see and for numbers and booleans that Parse takes as written.
func TestSchemaAgrees(t *testing.T) {
	s := compile(t, builtins())
	others := make([]yaml.Node, len(values()))
	for i, v := range values() {
		if err := yaml.Unmarshal([]byte(v), &others[i]); err != nil {
			t.Fatal(err)
		}
	}
	tried := 0
	for _, file := range []string{"every-field", "image"} {
		src, err := os.ReadFile("testdata/ok/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var doc yaml.Node
		if err := yaml.Unmarshal(src, &doc); err != nil {
			t.Fatal(err)
		}
		places(doc.Content[0], func(at *yaml.Node) {
			for i := range others {
				if tried++; tried%3 != 0 { // each place has a third of the values, each value a third of the places
					continue
				}
				*at = *others[i].Content[0]
				agree(t, func() (*pipeline.Spec, any, error) {
					text, err := yaml.Marshal(&doc)
					if err != nil {
						t.Fatal(err)
					}
					spec, err := pipeline.Parse(file, text, builtins())
					value, _, _ := pipeline.Tree(file, text)
					return spec, value, err
				}, s.Validate, at)
			}
		})
	}
	if tried < 1000 {
		t.Errorf("only %d tried", tried)
	}
}

func agree(t *testing.T, read func() (*pipeline.Spec, any, error), validate func(any) error, at *yaml.Node) {
	t.Helper()
	spec, value, wrong := read()
	marked := validate(value)
	if spec != nil && marked != nil && at.Tag == "!!str" {
		t.Errorf("%q parses, and the schema says %v", at.Value, marked)
	}
	if spec != nil || marked != nil {
		return
	}
	found, _ := pipeline.AsDiagnostics(wrong)
	for _, d := range found {
		if d.Severity == pipeline.Error && !unseen(d.Message) {
			t.Errorf("%q passes the schema, and %v", at.Value, d)
		}
	}
}
