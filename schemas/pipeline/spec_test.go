package pipeline_test

import (
	"math"
	"math/big"
	"os"
	"reflect"
	"testing"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func at(line, col int) pipeline.Pos { return pipeline.Pos{Line: line, Col: col} }

func TestSpec(t *testing.T) {
	src, err := os.ReadFile("testdata/ok/bom-crlf.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := parse(t, string(src))
	asr := s.Node("asr")
	for name, c := range map[string]struct{ got, want any }{
		"node":       {asr.Pos, at(8, 5)},
		"id":         {asr.ID, pipeline.Value[string]{V: "asr", Pos: at(8, 9), Set: true}},
		"module":     {asr.Module + "|" + asr.Class, "asr|Recognizer"},
		"streaming":  {asr.IsStreaming, pipeline.Value[bool]{V: true, Pos: at(8, 5)}},
		"frame":      {asr.Outputs["text"].MaxFrame, pipeline.Value[int64]{V: 65536, Pos: at(11, 33), Set: true}},
		"outputs":    {len(asr.Outputs), 1},
		"input":      {asr.Inputs["input"].Kind.V, "any"},
		"python":     {asr.Docker.PythonVersion.V, "3.11"},
		"docker":     {asr.Docker.Pos, at(12, 5)},
		"memory":     {asr.Docker.Limits.MemoryMB.V, 512},
		"cpu":        {asr.Docker.Limits.CPUCores.V, 1.0},
		"network":    {asr.Docker.Network.V, "none"},
		"restart":    {asr.Docker.Restart.Policy.V, "no"},
		"param":      {s.Nodes[0].Params.Values, map[string]any{"path": "speech.wav", "frame_ms": 20.0, "paced": false}},
		"param pos":  {s.Nodes[0].Params.At["frame_ms"], at(7, 42)},
		"built in":   {s.Nodes[0].Outputs["output"].Kind.V, "audio"},
		"no input":   {len(s.Nodes[0].Inputs), 0},
		"buffer":     {s.Connections[0].Buffer, pipeline.Value[int]{V: 16, Pos: at(22, 37), Set: true}},
		"default":    {s.Connections[1].Buffer, pipeline.Value[int]{V: 8, Pos: at(23, 5)}},
		"on_full":    {s.Connections[1].OnFull.V, "block"},
		"port":       {s.Connections[0].FromOutput.V + s.Connections[0].ToInput.V, "outputinput"},
		"start time": {asr.StartTimeoutMS.V, 60000},
		"none":       {s.Node("nobody"), (*pipeline.Node)(nil)},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %+v, not %+v", name, c.got, c.want)
		}
	}
}

func TestParamsIntact(t *testing.T) {
	s := parse(t, `version: v1
x-deep: &deep {a: [1, 2.5, null], b: "1"}
nodes:
  - id: a
    node_type: m:C
    docker: {source: ., env: {A: 010, B: no, C: 1e3}, python_version: 3.10, restart: {policy: no}}
    params:
      big: 9007199254740993
      unsigned: 18446744073709551615
      huge: 36893488147419103232
      inf: -.inf
      nan: .nan
      no: no
      octal: 010
      date: 2001-01-01
      text: "5"
      empty:
      deep: *deep
      merged: {<<: *deep, b: 2}
  - {id: b, node_type: NullSink}
connections: [{from: a, to: b, feedback: true}]
`)
	p := s.Nodes[0].Params.Values
	deep := []any{int64(1), 2.5, nil}
	for key, want := range map[string]any{
		"big": int64(9007199254740993), "unsigned": uint64(math.MaxUint64), "inf": math.Inf(-1), "no": "no", "octal": int64(10),
		"date": "2001-01-01", "text": "5", "empty": nil, "deep": map[string]any{"a": deep, "b": "1"}, "merged": map[string]any{"a": deep, "b": int64(2)},
	} {
		if got := p[key]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %T %v", key, got, got)
		}
	}
	if n, ok := p["huge"].(*big.Int); !ok || n.String() != "36893488147419103232" {
		t.Errorf("huge: %v", p["huge"])
	}
	if f, ok := p["nan"].(float64); !ok || !math.IsNaN(f) {
		t.Errorf("nan: %v", p["nan"])
	}
	d := s.Nodes[0].Docker
	for i, want := range []string{"010", "no", "1e3"} {
		if got := d.Env[i].Value.V; got != want {
			t.Errorf("env %d: %q", i, got)
		}
	}
	if d.PythonVersion.V != "3.10" || d.Restart.Policy.V != "no" || s.Connections[0].OnFull.V != "drop_oldest" {
		t.Errorf("%+v %+v", d, s.Connections[0])
	}
}

// A caller may fill in what it got without changing what another got.
func TestIndependent(t *testing.T) {
	a, b := parse(t, "version: v1\nnodes: [{id: a, node_type: NullSink}]\n"), parse(t, "version: v1\nnodes: [{id: a, node_type: NullSink}]\n")
	a.Nodes[0].Inputs["input"].Kind.V = "text"
	if b.Nodes[0].Inputs["input"].Kind.V != "any" {
		t.Error("two results share a port")
	}
}
