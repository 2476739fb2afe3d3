package pipeline_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func found() pipeline.Diagnostics {
	return pipeline.Diagnostics{
		{File: "a,b:c%.yaml", Pos: at(3, 7), Path: "nodes[0].id", Message: "100% wrong: \"a\"", Hint: "write b"},
		{File: "p.yaml", Pos: at(1, 1), Message: "two\r\nlines", Severity: pipeline.Warning},
	}
}

func TestGitHub(t *testing.T) {
	const want = `::error file=a%2Cb%3Ac%25.yaml,line=3,col=7::nodes[0].id: 100%25 wrong: "a"%0Ahint: write b
::warning file=p.yaml,line=1,col=1::two%0D%0Alines
`
	var b bytes.Buffer
	if err := found().GitHub(&b); err != nil || b.String() != want {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestDiagnosticJSON(t *testing.T) {
	const want = `[{"file":"a,b:c%.yaml","line":3,"column":7,"path":"nodes[0].id","severity":"error","message":"100% wrong: \"a\"","hint":"write b"},` +
		`{"file":"p.yaml","line":1,"column":1,"path":"","severity":"warning","message":"two\r\nlines","hint":""}]`
	got, err := json.Marshal(found())
	if err != nil || string(got) != want {
		t.Errorf("%v: %s", err, got)
	}
}
