package builtin_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
)

func constant(value int16, n int) []byte { return packed(slices.Repeat([]int16{value}, n)...) }

// Samples of one time are added, however they are cut.
func TestMix(t *testing.T) {
	format := mono(8000, channel.S16)
	for _, samples := range []int{160, 100, 7} {
		got := filter{nodeType: "Mix", streams: []stream{
			{frames: cut(format, 0, constant(1000, 800), 160)},
			{frames: cut(format, 0, constant(200, 800), samples)},
			{frames: cut(format, 0, constant(30, 800), 400)},
		}}.output(t)
		if !bytes.Equal(joined(got), constant(1230, 800)) {
			t.Errorf("frames of %d samples: got %v", samples, values[int16](joined(got)))
		}
		wantTimes(t, got, 0)
	}
}

// One that begins late or ends early is silent before and after.
func TestMixEnds(t *testing.T) {
	format := mono(8000, channel.S16)
	got := filter{nodeType: "Mix", streams: []stream{
		{frames: cut(format, 1e9, constant(1000, 800), 160)},
		{frames: cut(format, 1e9+20e6, constant(200, 80), 40)},
		{},
	}}.output(t)
	want := append(constant(1000, 160), constant(1200, 80)...)
	want = append(want, constant(1000, 560)...)
	if !bytes.Equal(joined(got), want) {
		t.Errorf("got %v", values[int16](joined(got)))
	}
	wantTimes(t, got, 1e9)
}

// A gap of one is silence; where none has sound nothing is sent.
func TestMixGaps(t *testing.T) {
	format := mono(8000, channel.S16)
	a := append(cut(format, 0, constant(1000, 160), 160), cut(format, 2e9, constant(1000, 160), 160)...)
	b := append(cut(format, 0, constant(200, 80), 80), cut(format, 15e6, constant(30, 40), 40)...)
	b[1].header.Flags = channel.Discontinuity // so short a gap would be taken for a clock that is not exact
	b = append(b, cut(format, 2e9+10e6, constant(200, 80), 80)...)
	got := filter{nodeType: "Mix", streams: []stream{{frames: a}, {frames: b}}}.output(t)
	want := append(constant(1200, 80), constant(1000, 40)...)
	want = append(want, constant(1030, 40)...)
	want = append(want, constant(1000, 80)...)
	want = append(want, constant(1200, 80)...)
	if !bytes.Equal(joined(got), want) {
		t.Errorf("got %v", values[int16](joined(got)))
	}
	i := slices.IndexFunc(got, func(f taken) bool { return f.header.Flags == channel.Discontinuity })
	if i < 0 {
		t.Fatal("no frame tells of the gap")
	}
	wantTimes(t, got[:i], 0)
	wantTimes(t, got[i:], 2e9)
}

// A time that has been sent does not come again.
func TestMixBackInTime(t *testing.T) {
	format := mono(8000, channel.S16)
	a := append(cut(format, 1e9, constant(1, 160), 80), cut(format, 5e8, constant(2, 160), 80)...)
	a = append(a, cut(format, 1e9+15e6, constant(4, 80), 80)...)
	got := filter{nodeType: "Mix", streams: []stream{{frames: a}}}.output(t)
	if want := append(constant(1, 160), constant(4, 40)...); !bytes.Equal(joined(got), want) {
		t.Errorf("got %v", values[int16](joined(got)))
	}
	wantTimes(t, got, 1e9)
}

// Whatever the frames and the gaps of the sources are, every sample is the sum
// of those of its time.
func TestMixRandom(t *testing.T) {
	const rate, length = 16000, 4000
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 0))
		want, some := make([]int16, length), make([]bool, length)
		streams := make([]stream, 1+random.IntN(4))
		for i := range streams {
			for at := random.IntN(500); at < length-1000; at += 100 + random.IntN(400) {
				piece := make([]int16, 1+random.IntN(900))
				for k := range piece {
					piece[k] = int16(random.IntN(2000) - 1000)
					want[at+k] += piece[k]
					some[at+k] = true
				}
				frames := cut(mono(rate, channel.S16), int64(at)*1e9/rate, packed(piece...), 1+random.IntN(300))
				frames[0].header.Flags = channel.Discontinuity
				streams[i].frames = append(streams[i].frames, frames...)
				at += len(piece)
			}
		}
		have, sent := make([]int16, length), make([]bool, length)
		for _, f := range (filter{nodeType: "Mix", streams: streams}).output(t) {
			at := int((f.header.PTS*rate + 5e8) / 1e9)
			for k, v := range values[int16](f.payload) {
				have[at+k] += v
				sent[at+k] = true
			}
		}
		if !slices.Equal(have, want) || !slices.Equal(sent, some) {
			t.Errorf("seed %d: %d sources give something else", seed, len(streams))
		}
	}
}

func TestMixClips(t *testing.T) {
	stereo := channel.AudioFormat{Rate: 8000, Channels: 2, Format: channel.S16}
	two := []stream{
		{frames: cut(stereo, 0, packed[int16](30000, -30000, 100, 0), 2)},
		{frames: cut(stereo, 0, packed[int16](30000, -30000, 0, 100), 2)},
	}
	got := filter{nodeType: "Mix", streams: two}.output(t)
	if want := packed[int16](32767, -32768, 100, 100); !bytes.Equal(joined(got), want) {
		t.Errorf("got %v", values[int16](joined(got)))
	}
	got = filter{nodeType: "Mix", params: map[string]any{"gain_db": -6.020599913279624}, maxFrame: 4, streams: two}.output(t)
	if want := packed[int16](30000, -30000, 50, 50); len(got) != 2 || !bytes.Equal(joined(got), want) {
		t.Errorf("%d frames, %v", len(got), values[int16](joined(got)))
	}
}

func TestMixErrors(t *testing.T) {
	_, err := filter{nodeType: "Mix", streams: []stream{
		{frames: cut(mono(8000, channel.S16), 0, constant(0, 80), 80)},
		{frames: cut(mono(16000, channel.S16), 0, constant(0, 80), 80)},
	}}.run(t)
	wantError(t, err, ": put a Resample between, or SplitChannels")
	got, err := filter{nodeType: "Mix", streams: []stream{
		{frames: cut(mono(8000, channel.S16), 0, constant(1, 80), 80)},
		{frames: cut(mono(8000, channel.S16), 0, constant(1, 160), 80), failed: true},
	}}.run(t)
	wantError(t, err, "input ended early")
	if want := append(constant(2, 80), constant(1, 80)...); !bytes.Equal(joined(got[channel.DefaultOutput]), want) {
		t.Errorf("got %v", values[int16](joined(got[channel.DefaultOutput])))
	}
	n := filter{nodeType: "Mix", streams: make([]stream, 2)}.node()
	n.Inputs[1].Feedback = true
	_, err = builtin.New(n, nil, "", nil)
	wantError(t, err, "Mix: waits for every connection, so the one from s1 cannot be feedback")
}
