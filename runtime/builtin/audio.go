package builtin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// audioFileSource sends a WAV file in frames of equal length; the last one is
// shorter. The presentation time is exact: it is counted in samples.
type audioFileSource struct {
	file    source
	frameMS float64
	paced   bool
}

func newAudioFileSource(s setup) (node.Builtin, error) {
	a := audioSource(s)
	f, _, err := a.open()
	if err != nil {
		return nil, badPath(err)
	}
	return a.run, f.Close()
}

func audioSource(s setup) audioFileSource {
	return audioFileSource{
		file:    source{dir: s.dir, path: s.params.text("path")},
		frameMS: s.params.number("frame_ms"),
		paced:   s.params.boolean("paced"),
	}
}

func audioMaxFrame(s setup) (int64, error) {
	a := audioSource(s)
	f, w, err := a.open()
	if err != nil {
		return 0, err
	}
	frame := min(a.samples(w), max(1, w.frames())) // of a short file there is no more
	return frame * int64(blockBytes(w.AudioFormat)), f.Close()
}

func (a audioFileSource) open() (*os.File, wave, error) {
	f, size, err := a.file.open()
	if err != nil {
		return nil, wave{}, err
	}
	w, err := readWave(f, size)
	if err == nil {
		_, err = f.Seek(w.offset, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, wave{}, fmt.Errorf("%s: %w", a.file.path, err)
	}
	return f, w, nil
}

// samples is how many a frame has of each channel, at least one.
func (a audioFileSource) samples(w wave) int64 {
	return max(1, int64(math.Round(float64(w.Rate)*a.frameMS/1000)))
}

func (a audioFileSource) run(ctx context.Context, ports *node.Ports) error {
	f, w, err := a.open()
	if err != nil {
		return err
	}
	defer f.Close()
	samples, block := a.samples(w), int64(blockBytes(w.AudioFormat))
	need := min(samples, w.frames()) * block
	if have := maxFrame(ports); need > have {
		return fmt.Errorf("%s: a frame needs %d bytes (%g ms at %d Hz, %d channels of %d bytes), max_frame of the output is %d: raise max_frame or lower frame_ms: %w",
			a.file.path, need, a.frameMS, w.Rate, w.Channels, w.Format.Bytes(), have, channel.ErrTooLarge)
	}
	r := bufio.NewReaderSize(f, 1<<16)
	pace := newPace(a.paced)
	for at := int64(0); at < w.frames(); at += samples {
		pts := sampleTime(at, w.Rate)
		if err := pace.wait(ctx, pts); err != nil {
			return err
		}
		l, err := ports.Loan(channel.DefaultOutput, int(min(samples, w.frames()-at)*block))
		if err != nil {
			return err
		}
		l.Header.Kind, l.Header.PTS = channel.Audio, pts
		*l.Header.Audio() = w.AudioFormat
		if err := w.read(r, l.Payload); err != nil {
			_ = l.Release()
			return fmt.Errorf("%s: sample %d: %w", a.file.path, at, err)
		}
		if err := l.Send(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sampleTime is the time of a sample in ns, rounded down. Whole seconds apart,
// so that no product overflows.
func sampleTime(sample int64, rate uint32) int64 {
	r := int64(rate)
	return sample/r*1e9 + sample%r*1e9/r
}

// maxFrame is what a frame of the output may have at most.
func maxFrame(ports *node.Ports) int64 { return maxFrameOf(ports, channel.DefaultOutput) }

// maxFrameOf is what a frame of a port may have at most.
func maxFrameOf(ports *node.Ports, port string) int64 {
	for _, o := range ports.Node().Outputs {
		if o.Port == port {
			return int64(o.MaxFrame)
		}
	}
	return math.MaxInt64 // no such output in this graph: nothing is bounded
}
