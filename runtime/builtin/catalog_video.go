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
	}
}
