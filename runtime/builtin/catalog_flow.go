package builtin

import "github.com/medianode/docker-medianode/schemas/pipeline"

// flowEntries are the nodes that take frames of every kind.
func flowEntries() []entry {
	return []entry{
		{
			Builtin: pipeline.Builtin{
				Name: "StdoutSink", Doc: "Prints text frames as lines, json frames as JSON, and the header of others",
				Inputs: inputPort(""),
			},
			make: newStdoutSink,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "NullSink", Doc: "Takes frames of any kind and forgets them",
				Inputs: inputPort(""),
			},
			make: newNullSink,
		},
	}
}
