package builtin

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// The waveforms of TestToneSource.
const (
	waveSine    = "sine"
	waveSquare  = "square"
	waveNoise   = "noise"
	waveSilence = "silence"
)

// testToneSource sends a sound that is the same in every run, on all channels.
type testToneSource struct {
	waveform  string
	frequency float64
	amplitude float64 // of the peaks, 1 is full scale
	format    channel.AudioFormat
	samples   int64 // of a channel in a frame
	total     int64 // in all; 0: endless
	paced     bool
}

func newTestToneSource(s setup) (node.Builtin, error) {
	t := toneSource(s)
	if wave := t.waveform; (wave == waveSine || wave == waveSquare) && t.frequency >= float64(t.format.Rate)/2 {
		return nil, &ParamError{"frequency", fmt.Errorf("TestToneSource: param frequency: %g Hz is not below half the rate of %d Hz", t.frequency, t.format.Rate)}
	}
	return t.run, nil
}

func toneSource(s setup) testToneSource {
	rate := s.params.integer("rate")
	t := testToneSource{
		waveform:  s.params.text("waveform"),
		frequency: s.params.number("frequency"),
		amplitude: decibel(s.params.number("amplitude_db")),
		format: channel.AudioFormat{
			Rate: uint32(rate), Channels: uint16(s.params.integer("channels")),
			Format: formatNamed(s.params.text("format"), 0),
		},
		samples: max(1, int64(math.Round(float64(rate)*s.params.number("frame_ms")/1000))),
		paced:   s.params.boolean("paced"),
	}
	if duration := s.params.number("duration_s"); duration > 0 {
		t.total = max(1, int64(math.Round(float64(rate)*duration)))
	}
	return t
}

func toneMaxFrame(s setup) (int64, error) {
	t := toneSource(s)
	samples := t.samples
	if t.total > 0 {
		samples = min(samples, t.total)
	}
	return samples * int64(blockBytes(t.format)), nil
}

func (t testToneSource) run(ctx context.Context, ports *node.Ports) error {
	out := newAudioOut(ports, channel.DefaultOutput)
	out.at(t.format, 0)
	pace := newPace(t.paced)
	noise := rand.New(rand.NewPCG(1, 2)) // the same in every run
	x := make([]float64, t.samples*int64(t.format.Channels))
	for at := int64(0); t.total == 0 || at < t.total; at += t.samples {
		if err := pace.wait(ctx, sampleTime(at, t.format.Rate)); err != nil {
			return err
		}
		n := t.samples
		if t.total > 0 {
			n = min(n, t.total-at)
		}
		frame := x[:n*int64(t.format.Channels)]
		t.fill(frame, at, noise)
		if err := out.floats(ctx, frame); err != nil {
			return err
		}
	}
	return nil
}

// fill makes the samples from at on.
func (t testToneSource) fill(x []float64, at int64, noise *rand.Rand) {
	channels := int(t.format.Channels)
	for i := 0; i < len(x); i += channels {
		v := t.amplitude * t.value(at+int64(i/channels), noise)
		for c := range channels {
			x[i+c] = v
		}
	}
}

func (t testToneSource) value(sample int64, noise *rand.Rand) float64 {
	switch t.waveform {
	case waveNoise:
		return 2*noise.Float64() - 1
	case waveSilence:
		return 0
	}
	// Whole seconds apart, so that the phase is as exact after a day as at the
	// start.
	rate := int64(t.format.Rate)
	_, whole := math.Modf(t.frequency * float64(sample/rate))
	_, phase := math.Modf(whole + t.frequency*float64(sample%rate)/float64(rate))
	if t.waveform == waveSine {
		return math.Sin(2 * math.Pi * phase)
	}
	if phase < 0.5 {
		return 1
	}
	return -1
}
