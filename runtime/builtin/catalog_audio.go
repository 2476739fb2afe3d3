package builtin

import (
	"fmt"
	"slices"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// audioEntries are the nodes that read, make, change and write sound.
func audioEntries() []entry { return slices.Concat(audioEnds(), audioFilters()) }

func audioEnds() []entry {
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
		{
			Builtin: pipeline.Builtin{
				Name: "TestToneSource", Doc: "Sends a sine, a square wave, noise or silence, the same in every run",
				Outputs: outputPort(channel.Audio),
				Params: []pipeline.ParamSpec{
					choiceParam("waveform", "What is sent", waveSine, waveSine, waveSquare, waveNoise, waveSilence),
					numberParam("frequency", "Frequency of a sine or square wave in Hz, below half the rate", 440, 0, highestRate/2),
					numberParam("amplitude_db", "Height of the peaks in dB; 0 is full scale", -12, -200, 0),
					integerParam("rate", "Samples a second of a channel", 48_000, lowestRate, highestRate),
					integerParam("channels", "Number of channels; all have the same sound", 1, 1, mostFiltered),
					choiceParam("format", "Sample format", "s16", formatNames()...),
					numberParam("duration_s", "Length in seconds; 0 is endless", 0, 0, 1e9),
					numberParam("frame_ms", "Length of a frame in milliseconds; the last one may be shorter", 20, 1, 10_000),
					pacedParam(true),
				},
			},
			make: newTestToneSource, maxFrame: toneMaxFrame,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "AudioFileSink", Doc: "Writes sound of one format as a WAV file; of more than 4 GiB as RF64",
				Inputs: inputPort(channel.Audio.String()),
				Params: []pipeline.ParamSpec{
					pathParam("WAV file to write, relative to the pipeline file"),
					sampleFormatParam("Sample format of the file"),
				},
			},
			make: newAudioFileSink, inputs: oneInput,
		},
	}
}

func audioFilters() []entry {
	return []entry{
		{
			Builtin: pipeline.Builtin{
				Name: "Resample", Doc: "Changes the rate of sound, and if asked for its sample format",
				Inputs: inputPort(channel.Audio.String()), Outputs: outputPort(channel.Audio),
				Params: []pipeline.ParamSpec{
					{Name: "rate", Doc: "Samples a second of a channel of what is sent", Type: pipeline.ParamInteger, Required: true, Example: 16_000, Min: limit(lowestRate), Max: limit(highestRate)},
					choiceParam("quality", "Band that is kept and damping of what would alias: high 92 % and 120 dB, medium 85 % and 100 dB, low 70 % and 90 dB", "high", qualityNames()...),
					sampleFormatParam("Sample format of what is sent"),
				},
			},
			make: newResample, inputs: oneInput,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "Mix", Doc: "Adds up the sound of its connections, each sample with those of the same time",
				Inputs: inputPort(channel.Audio.String()), Outputs: outputPort(channel.Audio),
				Params: []pipeline.ParamSpec{gainParam("Gain of the sum in dB; what is beyond full scale is clipped")},
			},
			make: newMix, inputs: noFeedback,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "SplitChannels", Doc: "Sends each channel of sound as mono sound of a port of its own",
				Inputs: inputPort(channel.Audio.String()), Outputs: channelPorts(),
			},
			make: newSplitChannels,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "Chunk", Doc: "Sends sound again in frames of one length",
				Inputs: inputPort(channel.Audio.String()), Outputs: outputPort(channel.Audio),
				Params: []pipeline.ParamSpec{
					numberParam("frame_ms", "Length of a frame in milliseconds", 20, 0.01, 3_600_000),
					integerParam("samples", "Length of a frame in samples of a channel; 0 leaves it to frame_ms", 0, 0, 1<<30),
					booleanParam("pad", "Fill up the last frame with silence; if false, it may be shorter", false),
				},
			},
			make: newChunk, inputs: oneInput,
		},
		{
			Builtin: pipeline.Builtin{
				Name: "Gain", Doc: "Makes sound louder or softer",
				Inputs: inputPort(channel.Audio.String()), Outputs: outputPort(channel.Audio),
				Params: []pipeline.ParamSpec{gainParam("Gain in dB; what is beyond full scale is clipped")},
			},
			make: newGain,
		},
	}
}

// pacedParam is what every source has that knows the time of its frames.
func pacedParam(value bool) pipeline.ParamSpec {
	return booleanParam("paced", "Send each frame at its presentation time; if false, as fast as the readers take them", value)
}

func sampleFormatParam(doc string) pipeline.ParamSpec {
	return choiceParam("format", doc+"; keep leaves it as it comes", keepFormat, append([]string{keepFormat}, formatNames()...)...)
}

func gainParam(doc string) pipeline.ParamSpec { return numberParam("gain_db", doc, 0, -200, 200) }

// oneInput is for a node to which two connections are no sense: their frames
// would come mixed.
func oneInput(inputs []channel.Input) error {
	if len(inputs) > 1 {
		return fmt.Errorf("takes one connection, %d enter it: put a Mix before it", len(inputs))
	}
	return nil
}

// noFeedback is for a node that waits for all its inputs: it would wait for
// itself.
func noFeedback(inputs []channel.Input) error {
	for _, in := range inputs {
		if in.Feedback {
			return fmt.Errorf("waits for every connection, so the one from %s cannot be feedback", in.Source)
		}
	}
	return nil
}
