// Package builtin holds the nodes that the runtime runs itself, without a
// container: sources and sinks at the ends of a pipeline, and what is simple
// between them.
//
// Every path is relative to the directory of the pipeline file and stays
// inside it, through symbolic links too.
package builtin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// entry is one built-in: what the language knows of it, and how it is made.
type entry struct {
	pipeline.Builtin
	make func(setup) (node.Builtin, error)
	// maxFrame is the payload bytes of the largest frame of the output; nil
	// where the frames' size is not known beforehand.
	maxFrame func(setup) (int64, error)
	// inputs says what is wrong with the connections that enter the node; nil
	// where any are right.
	inputs func([]channel.Input) error
}

// setup is what a built-in is made from; its params are checked and complete.
type setup struct {
	params params
	dir    string // of the pipeline file
	id     string // of the node
	stdio  *Stdio
}

// Catalog is every built-in node as the pipeline language knows it.
func Catalog() []pipeline.Builtin {
	all := entries()
	list := make([]pipeline.Builtin, len(all))
	for i, e := range all {
		list[i] = e.Builtin
	}
	return list
}

// New makes the body of a built-in node. It finds what is wrong with the
// params and with files that a source reads, so that nothing starts in vain;
// it creates nothing. What a param is to blame for is a *ParamError.
func New(n channel.Node, params map[string]any, baseDir string, stdio *Stdio) (node.Builtin, error) {
	e, s, err := prepare(n.Type, params, baseDir)
	if err != nil {
		return nil, err
	}
	if e.inputs != nil {
		if err := e.inputs(n.Inputs); err != nil {
			return nil, fmt.Errorf("%s: %w", n.Type, err)
		}
	}
	s.id, s.stdio = n.ID, stdio
	return e.make(s)
}

// MaxFrame is the payload bytes of the largest frame that a built-in source
// sends, to be used where the pipeline gives no max_frame; 0 where it is not
// known beforehand, and the language's default holds. It reads the header of a
// media file.
func MaxFrame(nodeType string, params map[string]any, baseDir string) (int64, error) {
	e, s, err := prepare(nodeType, params, baseDir)
	if err != nil || e.maxFrame == nil {
		return 0, err
	}
	return e.maxFrame(s)
}

func prepare(nodeType string, given map[string]any, dir string) (entry, setup, error) {
	var names []string
	for _, e := range entries() {
		if e.Name == nodeType {
			checked, err := checkParams(e.Builtin, given)
			return e, setup{params: checked, dir: dir}, err
		}
		names = append(names, e.Name)
	}
	return entry{}, setup{}, fmt.Errorf("no built-in node %q: there are %s", nodeType, strings.Join(names, ", "))
}

func entries() []entry {
	return slices.Concat(audioEntries(), videoEntries(), textEntries(), flowEntries())
}

func outputPort(kind channel.Kind) []pipeline.BuiltinPort {
	return []pipeline.BuiltinPort{{Name: channel.DefaultOutput, Kind: kind.String()}}
}

func inputPort(kind string) []pipeline.BuiltinPort {
	return []pipeline.BuiltinPort{{Name: channel.DefaultInput, Kind: kind}}
}
