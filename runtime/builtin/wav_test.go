package builtin_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// wavFile is a WAV file in the making.
type wavFile struct {
	tag, bits, channels uint16
	rate                uint32
	extensible          bool
	before              string // a chunk before the data
	data                []byte
	claim               uint32 // data size in the header; 0: the real one
}

func (w wavFile) bytes() []byte {
	little := binary.LittleEndian
	block := w.channels * w.bits / 8
	tag := w.tag
	if w.extensible {
		tag = 0xFFFE
	}
	format := little.AppendUint16(nil, tag)
	format = little.AppendUint16(format, w.channels)
	format = little.AppendUint32(format, w.rate)
	format = little.AppendUint32(format, w.rate*uint32(block))
	format = little.AppendUint16(format, block)
	format = little.AppendUint16(format, w.bits)
	if w.extensible {
		format = little.AppendUint16(format, 22)
		format = little.AppendUint16(format, w.bits)
		format = little.AppendUint32(format, 0)
		format = little.AppendUint16(format, w.tag)
		format = append(format, "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"...)
	}
	claim := w.claim
	if claim == 0 {
		claim = uint32(len(w.data))
	}
	body := append([]byte("WAVE"), chunk("fmt ", format, uint32(len(format)))...)
	if w.before != "" {
		body = append(body, chunk("LIST", []byte(w.before), uint32(len(w.before)))...)
	}
	body = append(body, chunk("data", w.data, claim)...)
	return chunk("RIFF", body, uint32(len(body)))
}

func chunk(id string, b []byte, size uint32) []byte {
	out := binary.LittleEndian.AppendUint32([]byte(id), size)
	out = append(out, b...)
	if len(b)%2 == 1 {
		out = append(out, 0)
	}
	return out
}

func writeFile(t *testing.T, name string, b []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAudioFormats(t *testing.T) {
	for _, c := range []struct {
		tag, bits uint16
		format    channel.SampleFormat
		packed    string // three samples
		want      []any
	}{
		{1, 8, channel.U8, "\x00\x80\xff", []any{uint8(0), uint8(128), uint8(255)}},
		{1, 16, channel.S16, "\x00\x80\xff\xff\xff\x7f", []any{int16(-32768), int16(-1), int16(32767)}},
		{1, 24, channel.S24, "\x00\x00\x80\xff\xff\xff\x01\x02\x03", []any{int32(-8388608), int32(-1), int32(0x030201)}},
		{1, 32, channel.S32, "\x00\x00\x00\x80\xff\xff\xff\xff\x01\x02\x03\x04", []any{int32(math.MinInt32), int32(-1), int32(0x04030201)}},
		{3, 32, channel.F32, "\x00\x00\x80\x3f\x00\x00\x00\xbf\x00\x00\x00\x00", []any{float32(1), float32(-0.5), float32(0)}},
		{3, 64, channel.F64, "\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\xe0\xbf\x00\x00\x00\x00\x00\x00\x00\x00", []any{1.0, -0.5, 0.0}},
	} {
		for _, extensible := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bits, tag %d, extensible %v", c.bits, c.tag, extensible), func(t *testing.T) {
				file := wavFile{tag: c.tag, bits: c.bits, channels: 1, rate: 1000, extensible: extensible, before: "odd", data: []byte(c.packed)}
				dir := writeFile(t, "a.wav", file.bytes())
				got, err := runSource(t, "AudioFileSource", map[string]any{"path": "a.wav", "frame_ms": 2}, dir, 64)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != 2 || got[1].header.PTS != 2e6 {
					t.Fatalf("%d frames, want 2", len(got))
				}
				var want []byte
				for _, v := range c.want {
					want, _ = binary.Append(want, binary.NativeEndian, v)
				}
				if all := append(got[0].payload, got[1].payload...); !bytes.Equal(all, want) {
					t.Errorf("samples % x, want % x", all, want)
				}
				if a := *got[1].header.Audio(); a != (channel.AudioFormat{Rate: 1000, Channels: 1, Format: c.format}) {
					t.Errorf("format %+v", a)
				}
			})
		}
	}
}

func TestAudioFrames(t *testing.T) {
	// 0.1 s of 44.1 kHz stereo: frames of 20 ms are 882 samples, 4410 samples in all.
	data := make([]byte, 4410*4)
	for i := range data {
		data[i] = byte(i * 7)
	}
	dir := writeFile(t, "a.wav", wavFile{tag: 1, bits: 16, channels: 2, rate: 44100, data: data}.bytes())
	params := map[string]any{"path": "a.wav", "frame_ms": 30.0}
	need, err := builtin.MaxFrame("AudioFileSource", params, dir)
	if err != nil || need != 1323*4 {
		t.Fatalf("max frame %d, %v; want %d", need, err, 1323*4)
	}
	got, err := runSource(t, "AudioFileSource", params, dir, int(need))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for i, f := range got {
		if want := int64(i) * 30e6; f.header.PTS != want || f.header.Sequence != uint64(i) {
			t.Errorf("frame %d: pts %d, sequence %d", i, f.header.PTS, f.header.Sequence)
		}
		all = append(all, f.payload...)
	}
	if len(got) != 4 || !bytes.Equal(all, data) {
		t.Errorf("%d frames, %d bytes, want 4 and all of %d", len(got), len(all), len(data))
	}

	_, err = runSource(t, "AudioFileSource", params, dir, int(need)-1)
	want := "a.wav: a frame needs 5292 bytes (30 ms at 44100 Hz, 2 channels of 2 bytes), max_frame of the output is 5291"
	if !errors.Is(err, channel.ErrTooLarge) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %s", err, want)
	}
}

// A file that a program wrote to a pipe does not know its own length.
func TestAudioUnknownLength(t *testing.T) {
	file := wavFile{tag: 1, bits: 16, channels: 2, rate: 8000, data: make([]byte, 4*100+2), claim: 0xFFFFFFFF}
	got, err := runSource(t, "AudioFileSource", map[string]any{"path": "a.wav", "frame_ms": 1000}, writeFile(t, "a.wav", file.bytes()), 1<<20)
	if err != nil || len(got) != 1 || len(got[0].payload) != 400 {
		t.Errorf("%d frames, %v", len(got), err)
	}
}

func TestAudioEmpty(t *testing.T) {
	file := wavFile{tag: 1, bits: 16, channels: 1, rate: 8000}
	got, err := runSource(t, "AudioFileSource", map[string]any{"path": "a.wav"}, writeFile(t, "a.wav", file.bytes()), 64)
	if err != nil || len(got) != 0 {
		t.Errorf("%d frames, %v", len(got), err)
	}
}

func TestAudioBadFiles(t *testing.T) {
	good := wavFile{tag: 1, bits: 16, channels: 1, rate: 8000, data: make([]byte, 100)}
	edit := func(change func(*wavFile)) []byte {
		w := good
		change(&w)
		return w.bytes()
	}
	for _, c := range []struct {
		name, want string
		file       []byte
	}{
		{"empty", "not a WAV file: 0 bytes", nil},
		{"other", `not a WAV file: begins with "ID3\x04"`, []byte("ID3\x04 and so on, for a while")},
		{"big-endian", "of the kind RIFX", append([]byte("RIFX"), good.bytes()[4:]...)},
		{"truncated", "truncated: 60 bytes of samples, the header says 100", good.bytes()[:44+60]},
		{"no samples", "ends after 38 bytes without a data chunk", good.bytes()[:38]},
		{"inside the format", "ends inside its format", good.bytes()[:30]},
		{"half a sample", "99 bytes of samples are no whole number of frames of 2 bytes", edit(func(w *wavFile) { w.claim = 99 })},
		{"compressed", "format tag 0x0006 with 8 bits: want PCM", edit(func(w *wavFile) { w.tag, w.bits = 6, 8 })},
		{"12 bits", "with 12 bits", edit(func(w *wavFile) { w.bits = 12 })},
		{"no channels", "0 channels", edit(func(w *wavFile) { w.channels = 0 })},
		{"no rate", "0 Hz", edit(func(w *wavFile) { w.rate = 0 })},
		{"data first", "data before its format", append([]byte("RIFF\x00\x00\x00\x00WAVE"), chunk("data", make([]byte, 8), 8)...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := writeFile(t, "a.wav", c.file)
			_, err := builtin.New(channel.Node{ID: "a", Type: "AudioFileSource"}, map[string]any{"path": "a.wav"}, dir, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "a.wav: ") {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestAudioPaced(t *testing.T) {
	file := wavFile{tag: 1, bits: 16, channels: 1, rate: 8000, data: make([]byte, 8000/5*2)} // 0.2 s
	dir := writeFile(t, "a.wav", file.bytes())
	before := time.Now()
	got, err := runSource(t, "AudioFileSource", map[string]any{"path": "a.wav", "frame_ms": 20.0, "paced": true}, dir, 1<<10)
	if err != nil || len(got) != 10 {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i, f := range got { // never early; how late is the machine's affair
		if since := f.at.Sub(before); since < time.Duration(f.header.PTS) {
			t.Errorf("frame %d came after %s, is due at %s", i, since, time.Duration(f.header.PTS))
		}
	}
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("0.2 s of sound took %s", took)
	}
}
