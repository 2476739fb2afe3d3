// Package graph draws a pipeline: as Mermaid for a README, as DOT for Graphviz,
// as plain data for everything else. It is pure, and whatever a pipeline is
// called, the text stays a drawing.
package graph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// Graph is a pipeline as data.
type Graph struct {
	Name        string       `json:"name,omitempty"`
	Description string       `json:"description,omitempty"`
	Nodes       []Node       `json:"nodes"`
	Connections []Connection `json:"connections"`
}

// Node is one box.
type Node struct {
	ID        string `json:"id"`
	Type      string `json:"node_type"`
	Container bool   `json:"container"` // else built in
	Inputs    []Port `json:"inputs"`
	Outputs   []Port `json:"outputs"`
}

// Port is a port and the kind of its frames.
type Port struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

// Connection is one arrow. Kind is what either end says of it, else any.
type Connection struct {
	From     string `json:"from"`
	Output   string `json:"from_output"`
	To       string `json:"to"`
	Input    string `json:"to_input"`
	Kind     string `json:"kind"`
	Buffer   int    `json:"buffer"` // frames
	Hold     int    `json:"hold"`   // frames
	OnFull   string `json:"on_full"`
	Wait     string `json:"wait"`
	Feedback bool   `json:"feedback"`
}

// Of is the graph of a pipeline, in the order of its file.
func Of(s *pipeline.Spec) Graph {
	g := Graph{
		Name: s.Metadata.Name.V, Description: s.Metadata.Description.V,
		Nodes: []Node{}, Connections: []Connection{}, // not null
	}
	for _, n := range s.Nodes {
		g.Nodes = append(g.Nodes, Node{
			ID: n.ID.V, Type: n.Type.V, Container: n.Docker != nil, Inputs: ports(n.Inputs), Outputs: ports(n.Outputs),
		})
	}
	for _, c := range s.Connections {
		g.Connections = append(g.Connections, Connection{
			From: c.From.V, Output: c.FromOutput.V, To: c.To.V, Input: c.ToInput.V, Kind: kind(s, c),
			Buffer: c.Buffer.V, Hold: c.Hold.V, OnFull: c.OnFull.V, Wait: c.Wait.V, Feedback: c.Feedback.V,
		})
	}
	return g
}

func ports(of map[string]*pipeline.Port) []Port {
	list := []Port{}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		list = append(list, Port{Name: name, Kind: of[name].Kind.V})
	}
	return list
}

// kind is what the output says, or else the input.
func kind(s *pipeline.Spec, c *pipeline.Connection) string {
	ends := [2]*pipeline.Port{}
	if n := s.Node(c.From.V); n != nil {
		ends[0] = n.Outputs[c.FromOutput.V]
	}
	if n := s.Node(c.To.V); n != nil {
		ends[1] = n.Inputs[c.ToInput.V]
	}
	for _, p := range ends {
		if p != nil && p.Kind.V != pipeline.KindAny {
			return p.Kind.V
		}
	}
	return pipeline.KindAny
}

// label is what stands at an arrow: all that is not as usual.
func (c Connection) label() string {
	var parts []string
	if c.Output != pipeline.DefaultOutput || c.Input != pipeline.DefaultInput {
		parts = append(parts, c.Output+" → "+c.Input)
	}
	if c.Kind != pipeline.KindAny {
		parts = append(parts, c.Kind)
	}
	if c.Buffer != pipeline.DefaultBuffer {
		parts = append(parts, fmt.Sprintf("buffer %d", c.Buffer))
	}
	if c.Hold != pipeline.DefaultHold {
		parts = append(parts, fmt.Sprintf("hold %d", c.Hold))
	}
	usual := "block"
	if c.Feedback {
		usual = "drop_oldest"
		parts = append(parts, "feedback")
	}
	if c.OnFull != usual {
		parts = append(parts, c.OnFull)
	}
	if w := cmp.Or(c.Wait, "adaptive"); w != "adaptive" {
		parts = append(parts, "wait "+w)
	}
	return strings.Join(parts, ", ")
}

// index gives each node's place, for names that no language can mistake for a
// word of its own.
func (g Graph) index() map[string]int {
	at := make(map[string]int, len(g.Nodes))
	for i, n := range g.Nodes {
		at[n.ID] = i
	}
	return at
}
