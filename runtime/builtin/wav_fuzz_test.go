package builtin

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// sparse is a file of which only the beginning is there.
type sparse struct {
	head []byte
	size int64
}

func (s sparse) ReadAt(b []byte, at int64) (int, error) {
	if at >= s.size {
		return 0, io.EOF
	}
	clear(b)
	if at < int64(len(s.head)) {
		copy(b, s.head[at:])
	}
	return len(b), nil
}

// A header says what it was made from, of any length: from 4 GiB on as RF64.
func TestWaveHeader(t *testing.T) {
	for f := channel.U8; f <= channel.F64; f++ {
		for _, channels := range []uint16{1, 2, 3, 8} {
			a := channel.AudioFormat{Rate: 96000, Channels: channels, Format: f}
			block := int64(waveBytes(f)) * int64(channels)
			for _, frames := range []int64{-1, 0, 1, 48000, (1<<32 - 200) / block, 1<<32/block + 1, 1 << 40} {
				head := waveHeader(a, frames)
				kind := "RIFF"
				if frames*block+int64(len(head)) >= 1<<32 {
					kind = "RF64"
				}
				want := wave{AudioFormat: a, packed: waveBytes(f), offset: int64(len(head)), size: max(0, frames) * block}
				got, err := readWave(sparse{head, int64(len(head)) + want.size}, int64(len(head))+want.size)
				if err != nil || got != want || string(head[:4]) != kind || len(head) != len(waveHeader(a, -1)) {
					t.Errorf("%d frames of %d channels of format %d: %s, %+v, %v, want %+v", frames, channels, f, head[:4], got, err, want)
				}
			}
		}
	}
}

// A file whose writer did not come to its end is read as far as it goes.
func TestWaveStreamed(t *testing.T) {
	for _, sizes := range []struct{ riff, data uint32 }{
		{0xFFFFFFFF, 0xFFFFFFFF},         // ffmpeg to a pipe
		{0x7FFFF024, 0x7FFFF000},         // sox to a pipe
		{0, 0}, {36, 0}, {0xFFFFFFFF, 0}, // never patched
	} {
		file := fmt.Appendf(nil, "RIFF%sWAVEfmt \x10\x00\x00\x00\x01\x00\x02\x00\x40\x1f\x00\x00\x00\x7d\x00\x00\x04\x00\x10\x00data%s", le(sizes.riff), le(sizes.data))
		file = append(file, make([]byte, 4*10+3)...)
		w, err := readWave(bytes.NewReader(file), int64(len(file)))
		if err != nil || w.frames() != 10 {
			t.Errorf("%#x: %d samples, %v", sizes, w.frames(), err)
		}
	}
}

func le(n uint32) []byte { return []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)} }

// FuzzWAV reads any bytes: an error, or samples that are all in the file.
func FuzzWAV(f *testing.F) {
	files, err := filepath.Glob("testdata/wav/*.wav")
	if err != nil || len(files) == 0 {
		f.Fatal("no WAV files", err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(waveHeader(channel.AudioFormat{Rate: 48000, Channels: 2, Format: channel.S24}, 1<<40))
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := readWave(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if w.offset < 0 || w.size < 0 || w.offset+w.size > int64(len(b)) || w.size%w.block() != 0 {
			t.Fatalf("%+v of a file of %d bytes", w, len(b))
		}
		r := bytes.NewReader(b[w.offset : w.offset+w.size])
		payload := make([]byte, 100*blockBytes(w.AudioFormat))
		var back []byte
		for left := w.frames(); left > 0; left -= 100 {
			part := payload[:min(left, 100)*int64(blockBytes(w.AudioFormat))]
			if err := w.read(r, part); err != nil {
				t.Fatal(err)
			}
			back = packSamples(back, part, w.Format)
		}
		if err := w.read(r, payload[:blockBytes(w.AudioFormat)]); !errors.Is(err, io.EOF) {
			t.Errorf("after the last sample: %v", err)
		}
		if !bytes.Equal(back, b[w.offset:w.offset+w.size]) {
			t.Error("the samples are not those of the file")
		}
	})
}
