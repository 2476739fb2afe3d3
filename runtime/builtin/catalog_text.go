package builtin

import (
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// textEntries are the nodes that read and write lines.
func textEntries() []entry {
	return []entry{
		{
			Builtin: pipeline.Builtin{
				Name: "TextFileSource", Doc: "Sends each line of a UTF-8 file as a text frame",
				Outputs: outputPort(channel.Text),
				Params:  []pipeline.ParamSpec{pathParam("Text file to read, relative to the pipeline file")},
			},
			make: newTextFileSource,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "JSONLinesSource", Doc: "Sends each line of a JSON lines file as a json frame; blank lines are passed over",
				Outputs: outputPort(channel.JSON),
				Params:  []pipeline.ParamSpec{pathParam("JSON lines file to read, relative to the pipeline file")},
			},
			make: newJSONLinesSource,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "TextFileSink", Doc: "Writes each text frame as a line of a file",
				Inputs: inputPort("text"),
				Params: []pipeline.ParamSpec{pathParam("Text file to write, relative to the pipeline file")},
			},
			make: newTextFileSink,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "JSONLinesSink", Doc: "Writes each frame as a line of JSON: the value of a json frame, the string of a text frame, the header of others",
				Inputs: inputPort(""),
				Params: []pipeline.ParamSpec{
					pathParam("JSON lines file to write, relative to the pipeline file"),
					booleanParam("envelope", "Write an object with kind, sequence, pts_ns, source and value for every frame", false),
				},
			},
			make: newJSONLinesSink,
		},
	}
}
