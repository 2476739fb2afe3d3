package graph_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/schemas/graph"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

var update = flag.Bool("update", false, "write what is drawn into testdata")

func voice(t *testing.T) graph.Graph {
	t.Helper()
	text, err := os.ReadFile("testdata/voice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	audio, anything := []pipeline.BuiltinPort{{Name: "output", Kind: "audio"}}, []pipeline.BuiltinPort{{Name: "input"}}
	path := []pipeline.ParamSpec{{Name: "path", Type: pipeline.ParamPath, Required: true}}
	spec, err := pipeline.Parse("voice.yaml", text, []pipeline.Builtin{
		{Name: "AudioFileSource", Outputs: audio, Params: path},
		{Name: "TextFileSink", Inputs: []pipeline.BuiltinPort{{Name: "input", Kind: "text"}}, Params: path},
		{Name: "NullSink", Inputs: anything},
	})
	if err != nil {
		t.Fatal(err)
	}
	return graph.Of(spec)
}

func TestGolden(t *testing.T) {
	g := voice(t)
	data, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"voice.mmd": g.Mermaid(), "voice.dot": g.DOT(), "voice.json": string(data) + "\n"} {
		if *update {
			if err := os.WriteFile("testdata/"+name, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
}

// hostile has names that the language would refuse, each in every place.
func hostile() graph.Graph {
	names := []string{
		"end", "style", "a\"]; click n0 \"javascript:alert(1)\"", "subgraph x", "%%{init: {\"theme\": \"dark\"}}%%", "`**bold**`",
		"<img src=x onerror=alert(1)>", "a\nb --> c", "\"; } graph x { y", "\\", "\\\"", "#quot;", "&lt;", "style a:#b;c", "---", "1. one", "\x1b[31m", "ünï 日本",
	}
	g := graph.Graph{Name: strings.Join(names, " "), Description: "x"}
	for i, name := range names {
		g.Nodes = append(g.Nodes, graph.Node{ID: name, Type: name, Container: i%2 == 0})
		g.Connections = append(g.Connections, graph.Connection{
			From: name, Output: name, To: names[(i+1)%len(names)], Input: name, Kind: "any", Buffer: 8, Hold: 1, OnFull: "block", Feedback: i%3 == 0,
		})
	}
	return g
}

// shown is how a name comes out of a drawing.
func shown(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, name)
}

// Mermaid's own parser sees the nodes and arrows that there are, and no more.
func TestMermaidParses(t *testing.T) {
	dir := os.Getenv("MEDIANODE_TEST_MERMAID")
	if dir == "" {
		t.Skip("skipped: MEDIANODE_TEST_MERMAID names no directory where npm installed mermaid and jsdom")
	}
	script, err := os.ReadFile("testdata/parse.mjs")
	if err != nil {
		t.Fatal(err)
	}
	for name, g := range map[string]graph.Graph{"voice": voice(t), "hostile": hostile()} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("node", "--input-type=module", "-e", string(script))
			cmd.Dir, cmd.Stdin = dir, strings.NewReader(g.Mermaid())
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s\n%s", err, &stderr, g.Mermaid())
			}
			var got struct {
				Nodes, Edges []struct{ ID, Text, From, To, Stroke string }
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if len(got.Nodes) != len(g.Nodes) || len(got.Edges) != len(g.Connections) {
				t.Fatalf("%d nodes, %d arrows: %s", len(got.Nodes), len(got.Edges), out)
			}
			for i, n := range got.Nodes {
				if want := shown(g.Nodes[i].ID) + "<br>" + shown(g.Nodes[i].Type); n.Text != strings.TrimSpace(want) {
					t.Errorf("node %d: %q, want %q", i, n.Text, want)
				}
			}
			for i, e := range got.Edges {
				c := g.Connections[i]
				if e.Stroke != map[bool]string{true: "dotted", false: "normal"}[c.Feedback] {
					t.Errorf("arrow %d: %s", i, e.Stroke)
				}
				if name == "hostile" && !strings.HasPrefix(e.Text, strings.TrimSpace(shown(c.Output)+" → "+shown(c.Input))) {
					t.Errorf("arrow %d: %q", i, e.Text)
				}
			}
		})
	}
}

// Graphviz sees the nodes and arrows that there are, and no more.
func TestGraphvizParses(t *testing.T) {
	if _, err := exec.LookPath("dot"); err != nil {
		t.Skip("skipped: no Graphviz here")
	}
	for name, g := range map[string]graph.Graph{"voice": voice(t), "hostile": hostile(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("dot", "-Tplain")
			cmd.Stdin = strings.NewReader(g.DOT())
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s\n%s", err, out, g.DOT())
			}
			nodes, edges := 0, 0
			for line := range strings.Lines(string(out)) {
				var id int
				if n, _ := fmt.Sscanf(line, "node n%d ", &id); n == 1 {
					nodes++
				}
				if strings.HasPrefix(line, "edge ") {
					edges++
				}
			}
			if nodes != len(g.Nodes) || edges != len(g.Connections) || strings.Contains(string(out), "Warning") {
				t.Errorf("%d nodes, %d arrows:\n%s", nodes, edges, out)
			}
		})
	}
}
