package builtin_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
)

func resampled(t *testing.T, params map[string]any, frames []taken) []taken {
	t.Helper()
	return filter{nodeType: "Resample", params: params, streams: []stream{{frames: frames}}}.output(t)
}

// snr is how far below the wanted signal the difference is, in dB, away from
// the ends.
func snr(got, want []float64) float64 {
	edge := len(want) / 4
	var signal, noise float64
	for i := edge; i < len(want)-edge; i++ {
		signal += want[i] * want[i]
		noise += (got[i] - want[i]) * (got[i] - want[i])
	}
	return 10 * math.Log10(signal/noise)
}

func TestResampleSine(t *testing.T) {
	for _, c := range []struct {
		from, to uint32
		quality  string
		tone     float64
		least    float64 // dB
	}{
		{44100, 16000, "high", 997, 115},
		{44100, 16000, "high", 7300, 115}, // the upper edge of what is kept
		{8000, 48000, "high", 997, 115},
		{48000, 44100, "high", 18000, 115},
		{44100, 48000, "high", 18000, 115},
		{48000, 16000, "high", 997, 115},
		{44101, 48000, "high", 997, 105}, // more phases than the table has
		{48000, 44101, "high", 15000, 105},
		{44100, 16000, "medium", 6700, 95},
		{44100, 16000, "low", 5500, 85},
	} {
		t.Run(fmt.Sprintf("%d to %d, %s, %g Hz", c.from, c.to, c.quality, c.tone), func(t *testing.T) {
			n := int(c.from)
			in := packed(sine(c.from, c.tone, 0.5, n)...)
			got := resampled(t, map[string]any{"rate": int(c.to), "quality": c.quality}, cut(mono(c.from, channel.F64), 0, in, n/50))
			out, want := values[float64](joined(got)), sine(c.to, c.tone, 0.5, int(c.to))
			if len(out) != len(want) {
				t.Fatalf("%d samples, want %d", len(out), len(want))
			}
			if have := snr(out, want); have < c.least {
				t.Errorf("%.1f dB, want %g", have, c.least)
			}
			wantTimes(t, got, 0)
		})
	}
}

// What the lower rate cannot carry is silent, not mirrored.
func TestResampleAlias(t *testing.T) {
	for quality, most := range map[string]float64{"high": -120, "medium": -100, "low": -90} {
		for _, tone := range []float64{8001, 8200, 10000, 15900, 20000} {
			in := packed(sine(44100, tone, 1, 44100)...)
			got := resampled(t, map[string]any{"rate": 16000, "quality": quality}, cut(mono(44100, channel.F64), 0, in, 882))
			loudest := 0.0
			for _, v := range values[float64](joined(got))[4000:12000] {
				loudest = max(loudest, math.Abs(v))
			}
			if db := 20 * math.Log10(loudest); db > most {
				t.Errorf("%s: %g Hz comes through at %.1f dB, want less than %g", quality, tone, db, most)
			}
		}
	}
}

func TestResampleConstant(t *testing.T) {
	in := make([]int16, 8820)
	for i := range in {
		in[i] = 12345
	}
	got := resampled(t, map[string]any{"rate": 48000}, cut(mono(44100, channel.S16), 0, packed(in...), 441))
	out := values[int16](joined(got))
	for i, v := range out[500 : len(out)-500] {
		if v != 12345 {
			t.Fatalf("sample %d is %d", i, v)
		}
	}
}

// However the input is cut, the same comes out, at the same time, of exactly
// the length of the input.
func TestResampleCuts(t *testing.T) {
	for _, c := range []struct {
		from, to uint32
		n        int
	}{
		{44100, 16000, 1321}, {8000, 48000, 301}, {48000, 44101, 600}, {96000, 8000, 1}, {44100, 48000, 7},
		{48000, 16000, 0}, {1000, 1_000_000, 3},
	} {
		in := packed(sine(c.from, 300, 0.9, c.n)...)
		params := map[string]any{"rate": int(c.to), "format": "s24"}
		want := resampled(t, params, cut(mono(c.from, channel.F64), 5e9, in, max(1, c.n)))
		exact := int64(math.Floor(float64(c.n)*float64(c.to)/float64(c.from) + 0.5))
		if have := int64(len(joined(want)) / 4); have != exact {
			t.Errorf("%d samples at %d Hz became %d at %d Hz, want %d", c.n, c.from, have, c.to, exact)
		}
		for _, samples := range []int{1, 7, 160, 441, 1000} {
			got := resampled(t, params, cut(mono(c.from, channel.F64), 5e9, in, samples))
			if !bytes.Equal(joined(got), joined(want)) {
				t.Errorf("%d to %d Hz: frames of %d samples give something else", c.from, c.to, samples)
			}
			wantTimes(t, got, 5e9)
		}
	}
}

func TestResampleChannels(t *testing.T) {
	left, right := sine(48000, 440, 0.5, 9600), sine(48000, 3000, 0.25, 9600)
	both := make([]float64, 0, 2*len(left))
	for i := range left {
		both = append(both, left[i], right[i])
	}
	params := map[string]any{"rate": 16000}
	stereo := channel.AudioFormat{Rate: 48000, Channels: 2, Format: channel.F64}
	out := values[float64](joined(resampled(t, params, cut(stereo, 0, packed(both...), 480))))
	for c, one := range [][]float64{left, right} {
		alone := values[float64](joined(resampled(t, params, cut(mono(48000, channel.F64), 0, packed(one...), 480))))
		for i, v := range alone {
			if out[2*i+c] != v {
				t.Fatalf("channel %d, sample %d: %g, alone %g", c, i, out[2*i+c], v)
			}
		}
	}
}

// Sound of the right rate goes through as it is; its format may change.
func TestResampleSameRate(t *testing.T) {
	frames := cut(mono(48000, channel.S16), 7, packed[int16](-32768, -1, 0, 1, 16384, 32767), 4)
	got := resampled(t, map[string]any{"rate": 48000}, frames)
	if len(got) != 2 || !bytes.Equal(joined(got), joined(frames)) || got[1].header.PTS != frames[1].header.PTS {
		t.Errorf("%d frames, % x", len(got), joined(got))
	}
	got = resampled(t, map[string]any{"rate": 48000, "format": "f32"}, frames)
	want := packed[float32](-1, -1.0/32768, 0, 1.0/32768, 0.5, 32767.0/32768)
	if !bytes.Equal(joined(got), want) || *got[0].header.Audio() != mono(48000, channel.F32) {
		t.Errorf("got %v", values[float32](joined(got)))
	}
}

// Where something is missing, one stream ends and another begins.
func TestResampleBreak(t *testing.T) {
	params := map[string]any{"rate": 16000}
	format := mono(44100, channel.F64)
	a, b := cut(format, 0, packed(sine(44100, 440, 0.5, 4410)...), 441), cut(format, 3e9, packed(sine(44100, 880, 0.5, 2205)...), 441)
	wantA, wantB := resampled(t, params, a), resampled(t, params, b)
	for name, flags := range map[string]uint8{"a jump in time": 0, "a flag": channel.Discontinuity} {
		b[0].header.Flags = flags
		got := resampled(t, params, append(append([]taken(nil), a...), b...))
		if !bytes.Equal(joined(got), append(joined(wantA), joined(wantB)...)) {
			t.Errorf("%s: not what the two parts give", name)
		}
		flagged := 0
		for i, f := range got {
			if f.header.Flags&channel.Discontinuity != 0 {
				flagged++
				wantTimes(t, got[:i], 0)
				wantTimes(t, got[i:], 3e9)
			}
		}
		if flagged != 1 {
			t.Errorf("%s: %d frames are flagged", name, flagged)
		}
	}
}

// A change of the rate, as when a file follows another, is a break too.
func TestResampleChange(t *testing.T) {
	params := map[string]any{"rate": 16000}
	a := cut(mono(44100, channel.F64), 0, packed(sine(44100, 440, 0.5, 4410)...), 441)
	b := cut(mono(16000, channel.F64), 1e8, packed(sine(16000, 440, 0.5, 1600)...), 160)
	c := cut(mono(8000, channel.F64), 2e8, packed(sine(8000, 440, 0.5, 800)...), 80)
	got := resampled(t, params, append(append(append([]taken(nil), a...), b...), c...))
	wantTimes(t, got, 0)
	if n := len(joined(got)) / 8; n != 4800 {
		t.Errorf("%d samples, want 4800", n)
	}
}

func TestResampleSplits(t *testing.T) {
	frames := cut(mono(8000, channel.S16), 0, make([]byte, 16000), 8000)
	got := filter{nodeType: "Resample", params: map[string]any{"rate": 48000}, maxFrame: 1000, streams: []stream{{frames: frames}}}.output(t)
	if n := len(joined(got)); n != 96000 {
		t.Errorf("%d bytes", n)
	}
	wantTimes(t, got, 0)
}

func TestResampleErrors(t *testing.T) {
	for want, format := range map[string]channel.AudioFormat{
		"frame 0 from s0 is at 999 Hz: want 1000 to 1000000":             mono(999, channel.U8),
		"frame 0 from s0 has 65 channels: want at most 64":               {Rate: 8000, Channels: 65, Format: channel.U8},
		"one sample of 64 channels needs 64 bytes, max_frame of the out": {Rate: 8000, Channels: 64, Format: channel.U8},
	} {
		_, err := filter{nodeType: "Resample", params: map[string]any{"rate": 48000}, maxFrame: 63, streams: []stream{{frames: []taken{sound(format, 0, make([]byte, 65*64*100))}}}}.run(t)
		wantError(t, err, want)
	}
	two := filter{nodeType: "Resample", streams: make([]stream, 2)}.node()
	_, err := builtin.New(two, map[string]any{"rate": 48000}, t.TempDir(), nil)
	wantError(t, err, "Resample: takes one connection, 2 enter it: put a Mix before it")
	_, err = builtin.New(channel.Node{Type: "Resample"}, map[string]any{"rate": 10}, "", nil)
	wantError(t, err, "param rate: 10 is less than 1000")
}

// A producer that fails leaves what it sent.
func TestResampleIncomplete(t *testing.T) {
	frames := cut(mono(44100, channel.S16), 0, make([]byte, 8820), 441)
	got, err := filter{nodeType: "Resample", params: map[string]any{"rate": 16000}, streams: []stream{{frames, true}}}.run(t)
	wantError(t, err, "input ended early")
	if n := len(joined(got[channel.DefaultOutput])); n != 3200 {
		t.Errorf("%d bytes, want 3200", n)
	}
}
