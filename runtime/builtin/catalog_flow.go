package builtin

import (
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// flowEntries are the nodes that take frames of every kind.
func flowEntries() []entry {
	return []entry{
		{
			Builtin: pipeline.Builtin{
				Name: "FileSource", Doc: "Sends the bytes of any file, in one frame or in chunks",
				Outputs: outputPort(channel.Bytes),
				Params: []pipeline.ParamSpec{
					pathParam("File to read, relative to the pipeline file"),
					integerParam("chunk", "Bytes of a frame; the last one may be shorter; 0 is the whole file", 0, 0, 1<<30),
				},
			},
			make: newFileSource, maxFrame: bytesMaxFrame,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "StdinSource", Doc: "Sends the standard input of the command, by lines or in chunks; one a pipeline",
				Outputs: anyOutput(),
				Params: []pipeline.ParamSpec{
					choiceParam("format", "Text or json: a frame a line; bytes: frames of chunk bytes", "text", stdinFormats()...),
					integerParam("chunk", "Bytes of a frame with format bytes; the last one may be shorter", 1<<16, 1, 1<<30),
				},
			},
			make: newStdinSource, maxFrame: stdinMaxFrame,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "Passthrough", Doc: "Sends on what it gets, of any kind",
				Inputs: inputPort(""), Outputs: anyOutput(),
			},
			make: newPassthrough,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "Throttle", Doc: "Sends on at most fps frames a second of each connection",
				Inputs: inputPort(""), Outputs: anyOutput(),
				Params: []pipeline.ParamSpec{
					{Name: "fps", Doc: "Frames a second at most", Type: pipeline.ParamNumber, Required: true, Example: 10, Min: limit(0.001), Max: limit(1e6)},
					choiceParam("mode", "What is done with a frame that comes too early: drop it, or delay it until it is due", throttleDrop, throttleDrop, throttleDelay),
					choiceParam("by", "Which time mode drop goes by: pts, that of presentation, or arrival; delay goes by the clock", byPTS, byPTS, byArrival),
				},
			},
			make: newThrottle,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "FileSink", Doc: "Writes the payload bytes of frames of any kind, one after the other",
				Inputs: inputPort(""),
				Params: []pipeline.ParamSpec{pathParam("File to write, relative to the pipeline file")},
			},
			make: newFileSink,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "StdoutSink", Doc: "Prints text frames as lines, json frames as JSON, and the header of others",
				Inputs: inputPort(""),
				Params: []pipeline.ParamSpec{
					choiceParam("format", "Auto prints a text frame as it is; json prints it as a JSON string, so that every line is JSON", "auto", "auto", "json"),
				},
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

func anyOutput() []pipeline.BuiltinPort {
	return []pipeline.BuiltinPort{{Name: channel.DefaultOutput}}
}

func limit(x float64) *float64 { return &x }
