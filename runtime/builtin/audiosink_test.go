package builtin_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// What other programs write is read.
func TestAudioOfOthers(t *testing.T) {
	for _, c := range []struct {
		file     string
		format   channel.SampleFormat
		channels uint16
		samples  int
		peak     float64
		near     float64
	}{
		{"sox-8", channel.U8, 1, 80, 0.5, 1.0 / 64},
		{"sox-odd", channel.U8, 1, 81, 0.5, 1.0 / 64},
		{"sox-16", channel.S16, 1, 80, 0.5, 1.0 / (1 << 13)},
		{"sox-24", channel.S24, 1, 80, 0.5, 1.0 / (1 << 22)},
		{"sox-32", channel.S32, 1, 80, 0.5, 1.0 / (1 << 22)},
		{"sox-f32", channel.F32, 1, 80, 0.5, 1.0 / (1 << 22)},
		{"sox-f64", channel.F64, 1, 80, 0.5, 1.0 / (1 << 22)},
		{"sox-6ch", channel.S16, 6, 40, 0.5, 1.0 / (1 << 13)},
		{"sox-pipe", channel.S16, 1, 80, 0.5, 1.0 / (1 << 13)},
		{"ffmpeg-24", channel.S24, 1, 80, 0.125, 1.0 / (1 << 13)},
		{"ffmpeg-f32", channel.F32, 1, 80, 0.125, 1.0 / (1 << 13)},
		{"ffmpeg-pipe", channel.S16, 1, 80, 0.125, 1.0 / (1 << 13)},
		{"ffmpeg-rf64", channel.S16, 1, 80, 0.125, 1.0 / (1 << 13)},
	} {
		t.Run(c.file, func(t *testing.T) {
			got, err := runSource(t, "AudioFileSource", map[string]any{"path": "wav/" + c.file + ".wav"}, "testdata", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			want := channel.AudioFormat{Rate: 8000, Channels: c.channels, Format: c.format}
			if len(got) != 1 || *got[0].header.Audio() != want {
				t.Fatalf("%d frames, the first is %+v", len(got), *got[0].header.Audio())
			}
			x := numbers(got[0])
			if len(x) != c.samples*int(c.channels) {
				t.Fatalf("%d numbers", len(x))
			}
			for i, v := range x {
				n := i / int(c.channels)
				if want := c.peak * math.Sin(2*math.Pi*float64(n)/8); math.Abs(v-want) > c.near {
					t.Errorf("sample %d is %g, want %g", n, v, want)
				}
			}
		})
	}
}

// numbers are the samples of a frame, from -1 to 1.
func numbers(f taken) []float64 {
	var x []float64
	scaled := func(v, unit float64) { x = append(x, v/unit) }
	switch f.header.Audio().Format {
	case channel.U8:
		for _, v := range f.payload {
			scaled(float64(v)-128, 128)
		}
	case channel.S16:
		for _, v := range values[int16](f.payload) {
			scaled(float64(v), 1<<15)
		}
	case channel.S24:
		for _, v := range values[int32](f.payload) {
			scaled(float64(v), 1<<23)
		}
	case channel.S32:
		for _, v := range values[int32](f.payload) {
			scaled(float64(v), 1<<31)
		}
	case channel.F32:
		for _, v := range values[float32](f.payload) {
			scaled(float64(v), 1)
		}
	case channel.F64:
		return values[float64](f.payload)
	}
	return x
}

// pattern is a payload in which every sample is another one.
func pattern(a channel.AudioFormat, samples int) []byte {
	b := make([]byte, samples*int(a.Channels)*a.Format.Bytes())
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	if a.Format == channel.S24 { // in its range
		for i := 3; i < len(b); i += 4 {
			b[i] = byte(int8(b[i-1]) >> 7)
		}
	}
	return b
}

// A file that is read gives the frames that were written.
func TestAudioFileSink(t *testing.T) {
	for f := channel.U8; f <= channel.F64; f++ {
		for _, channels := range []uint16{1, 2, 6} {
			t.Run(fmt.Sprintf("format %d, %d channels", f, channels), func(t *testing.T) {
				dir, format := t.TempDir(), channel.AudioFormat{Rate: 1000, Channels: channels, Format: f}
				payload := pattern(format, 101)
				files, err := runSink(t, "AudioFileSink", map[string]any{"path": "sub/a.wav"}, dir, nil, cut(format, 0, payload, 20), false)
				if err != nil {
					t.Fatal(err)
				}
				info, err := os.Stat(filepath.Join(dir, "sub/a.wav"))
				if err != nil {
					t.Fatal(err)
				}
				want := node.File{Path: filepath.Join(dir, "sub/a.wav"), Bytes: info.Size(), Frames: 6, Complete: true}
				if len(files) != 1 || files[0] != want || info.Size()%2 == 1 {
					t.Errorf("files %+v, want %+v", files, want)
				}
				back, err := runSource(t, "AudioFileSource", map[string]any{"path": "sub/a.wav"}, dir, 1<<20)
				if err != nil || !bytes.Equal(joined(back), payload) || *back[0].header.Audio() != format {
					t.Errorf("%v, got another sound back", err)
				}
			})
		}
	}
}

func TestAudioFileSinkFormat(t *testing.T) {
	dir := t.TempDir()
	frames := cut(mono(8000, channel.F32), 0, packed[float32](0, 0.5, -0.25, 1, -1, 7, -7, float32(math.NaN())), 3)
	if _, err := runSink(t, "AudioFileSink", map[string]any{"path": "a.wav", "format": "s24"}, dir, nil, frames, false); err != nil {
		t.Fatal(err)
	}
	got, err := runSource(t, "AudioFileSource", map[string]any{"path": "a.wav"}, dir, 1<<20)
	want := packed[int32](0, 1<<22, -1<<21, 1<<23-1, -1<<23, 1<<23-1, -1<<23, 0)
	if err != nil || !bytes.Equal(joined(got), want) {
		t.Errorf("%v, got %v", err, values[int32](joined(got)))
	}
}

// A file of no sound is one; a file that is not complete can be read.
func TestAudioFileSinkEnds(t *testing.T) {
	dir, params := t.TempDir(), map[string]any{"path": "a.wav"}
	if _, err := runSink(t, "AudioFileSink", params, dir, nil, nil, false); err != nil {
		t.Fatal(err)
	}
	if got, err := runSource(t, "AudioFileSource", params, dir, 1<<20); err != nil || len(got) != 0 {
		t.Errorf("%d frames, %v", len(got), err)
	}

	params["path"] = "b.wav"
	files, err := runSink(t, "AudioFileSink", params, dir, nil, cut(mono(8000, channel.S16), 0, make([]byte, 200), 50), true)
	wantError(t, err, "input ended early")
	if len(files) != 1 || files[0].Complete || files[0].Frames != 2 {
		t.Errorf("files %+v", files)
	}
	got, err := runSource(t, "AudioFileSource", map[string]any{"path": "b.wav.partial"}, dir, 1<<20)
	if err != nil || len(joined(got)) != 200 {
		t.Errorf("%d bytes, %v", len(joined(got)), err)
	}
}

func TestAudioFileSinkErrors(t *testing.T) {
	first := sound(mono(8000, channel.S16), 0, make([]byte, 20))
	for want, second := range map[string]taken{
		"a.wav: frame 1 from a is f32 of 1 channels at 8000 Hz, the file began with s16 of 1 channels at 8000 Hz: a WAV file has one format": sound(mono(8000, channel.F32), 0, make([]byte, 20)),
		"frame 1 from a is s16 of 1 channels at 16000 Hz": sound(mono(16000, channel.S16), 0, make([]byte, 20)),
		"frame 1 from a is s16 of 2 channels at 8000 Hz":  sound(channel.AudioFormat{Rate: 8000, Channels: 2, Format: channel.S16}, 0, make([]byte, 20)),
		"frame 1 from a is text, want audio":              text("no sound"),
	} {
		_, err := runSink(t, "AudioFileSink", map[string]any{"path": "a.wav"}, t.TempDir(), nil, []taken{first, second}, false)
		wantError(t, err, want)
	}
	wide := sound(channel.AudioFormat{Rate: 8000, Channels: 9000, Format: channel.F64}, 0, make([]byte, 72000))
	_, err := runSink(t, "AudioFileSink", map[string]any{"path": "a.wav"}, t.TempDir(), nil, []taken{wide}, false)
	wantError(t, err, "has 9000 channels: more than a WAV file can have")
}
