package builtin

import (
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// audioEntries are the nodes that read, make, change and write sound.
func audioEntries() []entry {
	return []entry{
		{
			Builtin: pipeline.Builtin{
				Name: "AudioFileSource", Doc: "Sends a WAV file in frames of equal length, in its own sample format",
				Outputs: outputPort(channel.Audio),
				Params: []pipeline.ParamSpec{
					pathParam("WAV file to read, relative to the pipeline file"),
					numberParam("frame_ms", "Length of a frame in milliseconds; the last one may be shorter", 20, 1, 10_000),
					pacedParam(false),
				},
			},
			make: newAudioFileSource, maxFrame: audioMaxFrame,
		},
	}
}

// pacedParam is what every source has that knows the time of its frames.
func pacedParam(value bool) pipeline.ParamSpec {
	return booleanParam("paced", "Send each frame at its presentation time; if false, as fast as the readers take them", value)
}
