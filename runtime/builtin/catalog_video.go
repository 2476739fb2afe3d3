package builtin

import (
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// videoEntries are the nodes that read, make and write pictures.
func videoEntries() []entry {
	return []entry{
		{
			Builtin: pipeline.Builtin{
				Name: "TestPatternSource", Doc: "Sends moving colour bars with the frame number written into the picture",
				Outputs: outputPort(channel.Video),
				Params: []pipeline.ParamSpec{
					integerParam("width", "Width of a picture in pixels", 1280, counterBits, 16_384),
					integerParam("height", "Height of a picture in pixels", 720, 1, 16_384),
					numberParam("fps", "Frames a second", 30, 0.01, 1000),
					integerParam("frames", "Number of frames to send; 0 is endless", 0, 0, 1<<32-1),
					choiceParam("format", "Pixel format", "rgb24", videoFormatNames()...),
					pacedParam(true),
				},
			},
			make: newTestPatternSource, maxFrame: patternMaxFrame,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "VideoFileSource", Doc: "Sends the pictures of a Y4M file: 420 as i420, mono as gray8, 444 as rgb24",
				Outputs: outputPort(channel.Video),
				Params: []pipeline.ParamSpec{
					pathParam("Y4M file to read, relative to the pipeline file"),
					pacedParam(false),
					booleanParam("loop", "Begin again at the end of the file, until the pipeline is stopped", false),
				},
			},
			make: newVideoFileSource, maxFrame: videoMaxFrame,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "VideoFileSink", Doc: "Writes video frames of one size as a Y4M file: i420 and nv12 as 420, gray8 as mono, colours as 444",
				Inputs: inputPort(channel.Video.String()),
				Params: []pipeline.ParamSpec{
					pathParam("Y4M file to write, relative to the pipeline file"),
					numberParam("fps", "Frames a second that the header says; 0 takes them from the times of the first two frames", 0, 0, 1000),
				},
			},
			make: newVideoFileSink,
		},
	}
}
