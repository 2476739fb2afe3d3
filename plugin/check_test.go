package plugin

import (
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

const checked = `version: v1
nodes:
  - id: asr
    node_type: asr:Asr
    docker:
      base_image: team/python:1
      source: nodes
      system_dependencies: [libsndfile1, libsox3]
      python_packages: [numpy]
      wheels: [wheels/tool-1.0-py3-none-any.whl]
  - id: plain
    node_type: plain:Plain
    docker: {python_version: "3.12", source: nodes}
`

// A finding is told where the pipeline file has what it is about.
func TestFindings(t *testing.T) {
	spec, err := pipeline.Parse("p.yaml", []byte(checked), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{path: "p.yaml", spec: spec}
	for _, c := range []struct{ node, dockerfile, want string }{
		{"asr", "FROM a:1 AS Big\n", "p.yaml:6:19: warning: nodes[0].docker.base_image: the Dockerfile of asr: Stage name 'Big' should be lowercase (StageNameCasing)"},
		{"plain", "FROM a:1 AS Big\n", `p.yaml:13:30: warning: nodes[1].docker.python_version: `},
		{"asr", "FROM a:1\nRUN --mount=type=x,target=/y [\"apt\", \"libsox3\"]\n", "p.yaml:8:42: nodes[0].docker.system_dependencies[1]: the Dockerfile of asr: unsupported mount type"},
		{"asr", "FROM a:1\nRUN --mount=type=x,target=/y [\"pip\", \"/w/tool-1.0-py3-none-any.whl\"]\n", "p.yaml:10:16: nodes[0].docker.wheels[0]: "},
		{"asr", "FROM a:1\nCOPY --chmod=x requirements.txt app\n", "p.yaml:9:25: nodes[0].docker.python_packages: "},
		{"asr", "FROM a:1\nCOPY --unknown app/ /app/\n", "p.yaml:7:15: nodes[0].docker.source: "},
		{"plain", "FROM a:1\nWORKDIR x\n", "p.yaml:11:9: warning: nodes[1]: the Dockerfile of plain: Relative workdir"},
		{"plain", "", "p.yaml:11:9: nodes[1]: the Dockerfile of plain: "},
		{"asr", "FROM a:1\nCMD [\"x\"]\n", ""},
	} {
		found, err := findings(t.Context(), s, []generate.Image{{Node: c.node, Dockerfile: []byte(c.dockerfile)}})
		if err != nil {
			t.Fatal(err)
		}
		if got := found.Error(); (c.want == "") != (got == "") || !strings.HasPrefix(got, c.want) || strings.Contains(got, "\n") {
			t.Errorf("%q:\n got %s\nwant %s", c.dockerfile, got, c.want)
		}
	}
}
