package builtin_test

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// framesOfEveryKind are what a JSON lines sink has to cope with.
func framesOfEveryKind() []taken {
	frames := []taken{
		jsonFrame(`{"b": 1e400, "a": 12345678901234567890, "t": "<\u00e9é> \n"}`),
		jsonFrame(" [ ] "), jsonFrame("null"), jsonFrame("\"\xff\""),
		text("a \"text\" & <more>\n\u2028"), text(""), text("\xff"),
		{payload: make([]byte, 7)},
	}
	add := func(kind channel.Kind, size int, set func(*channel.Header)) {
		f := taken{header: channel.Header{Kind: kind, PTS: -5}, payload: make([]byte, size)}
		set(&f.header)
		frames = append(frames, f)
	}
	add(channel.Audio, 12, func(h *channel.Header) {
		h.Flags, h.PTS, h.TraceID = channel.Discontinuity, math.MaxInt64, [16]byte{0: 0xab, 15: 1}
		*h.Audio() = channel.AudioFormat{Rate: 16000, Channels: 3, Format: channel.S24}
	})
	add(channel.Video, 12, func(h *channel.Header) {
		*h.Video() = channel.VideoFormat{Width: 2, Height: 2, Stride: 6, FourCC: channel.BGR24}
	})
	for _, t := range []channel.TensorFormat{
		{Code: 2, Bits: 32, Rank: 2, Shape: [8]int64{0, 3}}, {Code: 6, Bits: 8}, {Code: 4, Bits: 16, Rank: 1}, {Code: 9, Bits: 8, Rank: 1},
	} {
		t.Lanes = 1
		size := int(t.Bits / 8)
		if t.Rank > 0 {
			size = 0
		}
		add(channel.Tensor, size, func(h *channel.Header) { *h.Tensor() = t })
	}
	return frames
}

func TestJSONLinesGolden(t *testing.T) {
	for name, params := range map[string]map[string]any{
		"lines.jsonl":    {"path": "out.jsonl"},
		"envelope.jsonl": {"path": "out.jsonl", "envelope": true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if _, err := runSink(t, "JSONLinesSink", params, dir, nil, framesOfEveryKind(), false); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "out.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
			if n := bytes.Count(got, []byte("\n")); n != len(framesOfEveryKind()) {
				t.Errorf("%d lines for %d frames", n, len(framesOfEveryKind()))
			}
		})
	}
}

func TestJSONLinesNotJSON(t *testing.T) {
	for _, bad := range []string{"", "{", "NaN", "1 2"} {
		_, err := runSink(t, "JSONLinesSink", map[string]any{"path": "a"}, t.TempDir(), nil, []taken{jsonFrame("1"), jsonFrame(bad)}, false)
		if err == nil || !strings.HasPrefix(err.Error(), "frame 1 from a is not JSON: ") {
			t.Errorf("%q: error %v", bad, err)
		}
	}
}
