package builtin

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// audioFileSink writes sound as a WAV file. Its header says what the first
// frame is; until the end it says that the length is not known, so that what is
// there of a file can be read while it grows and after a crash.
type audioFileSink struct {
	*sink
	word   string              // param format
	format channel.AudioFormat // of the frames
	stored channel.AudioFormat // in the file
	count  int64               // samples of a channel
	x      []float64
	buffer []byte
}

func newAudioFileSink(s setup) (node.Builtin, error) {
	dir, path, word := s.dir, s.params.text("path"), s.params.text("format")
	return func(ctx context.Context, ports *node.Ports) error {
		file, err := createSink(dir, path)
		if err != nil {
			return err
		}
		a := audioFileSink{sink: file, word: word}
		err = each(ctx, ports, a.take)
		return file.close(ports, errors.Join(err, a.finish()))
	}, nil
}

// take writes a frame.
func (a *audioFileSink) take(f node.Frame) error {
	if err := wantAudio(f); err != nil {
		return err
	}
	format := *f.Header.Audio()
	switch {
	case a.format.Rate == 0:
		if block := blockBytes(format); block > math.MaxUint16 {
			return fmt.Errorf("%s: frame %d from %s has %d channels: more than a WAV file can have", a.path, f.Header.Sequence, f.Source, format.Channels)
		}
		if err := a.begin(format); err != nil {
			return err
		}
	case format != a.format:
		return fmt.Errorf("%s: frame %d from %s is %s, the file began with %s: a WAV file has one format, put a Resample before it",
			a.path, f.Header.Sequence, f.Source, soundName(format), soundName(a.format))
	}
	a.buffer = a.buffer[:0]
	if a.stored.Format == format.Format {
		a.buffer = packSamples(a.buffer, f.Payload, format.Format)
	} else {
		a.buffer = a.convert(a.buffer, f.Payload)
	}
	if err := a.put(a.buffer); err != nil {
		return err
	}
	a.count += int64(len(f.Payload) / blockBytes(format))
	return nil
}

func (a *audioFileSink) begin(format channel.AudioFormat) error {
	a.format, a.stored = format, format
	a.stored.Format = formatNamed(a.word, format.Format)
	if _, err := a.file.Write(waveHeader(a.stored, -1)); err != nil {
		return fmt.Errorf("%s: header: %w", a.path, err)
	}
	return nil
}

// convert appends a payload in the format of the file.
func (a *audioFileSink) convert(b, payload []byte) []byte {
	a.x = decodeSamples(a.x[:0], payload, a.format.Format)
	size := a.stored.Format.Bytes()
	wide := make([]byte, len(a.x)*size)
	encodeSamples(wide, a.x, a.stored.Format)
	return packSamples(b, wide, a.stored.Format)
}

// finish writes the length into the header, also of a file that is not
// complete. A file without any frame is one of silence without length.
func (a *audioFileSink) finish() error {
	if a.format.Rate == 0 {
		if err := a.begin(channel.AudioFormat{Rate: 48000, Channels: 1, Format: channel.S16}); err != nil {
			return err
		}
	}
	if a.count*int64(waveBytes(a.stored.Format))*int64(a.stored.Channels)%2 == 1 {
		if _, err := a.file.Write([]byte{0}); err != nil { // chunks are of even length
			return fmt.Errorf("%s: %w", a.path, err)
		}
	}
	if _, err := a.file.WriteAt(waveHeader(a.stored, a.count), 0); err != nil {
		return fmt.Errorf("%s: header: %w", a.path, err)
	}
	return nil
}
