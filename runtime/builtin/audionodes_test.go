package builtin_test

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
)

func TestGain(t *testing.T) {
	frames := cut(mono(8000, channel.S16), 3e9, packed[int16](0, 1000, -1000, 20000, -20000, 32767), 4)
	frames[1].header.Flags, frames[1].header.TraceID = channel.Discontinuity, [16]byte{7}
	double := 20 * math.Log10(2)
	got := filter{nodeType: "Gain", params: map[string]any{"gain_db": double}, streams: []stream{{frames: frames}}}.output(t)
	if want := packed[int16](0, 2000, -2000, 32767, -32768, 32767); !bytes.Equal(joined(got), want) {
		t.Errorf("got %v", values[int16](joined(got)))
	}
	if len(got) != 2 || got[1].header.PTS != frames[1].header.PTS || got[1].header.Flags != channel.Discontinuity || got[1].header.TraceID != [16]byte{7} {
		t.Errorf("%d frames, the last is %+v", len(got), got[len(got)-1].header)
	}
	// Several producers are all made louder, each with its own format.
	got = filter{nodeType: "Gain", params: map[string]any{"gain_db": double}, streams: []stream{
		{frames: cut(mono(8000, channel.U8), 0, []byte{0, 96, 128, 160, 255}, 5)}, {frames: cut(mono(8000, channel.F32), 0, packed[float32](0.75), 1)},
	}}.output(t)
	for _, f := range got {
		want := []byte{0, 64, 128, 192, 255}
		if f.header.Audio().Format == channel.F32 { // is not clipped
			want = packed[float32](1.5)
		}
		if !bytes.Equal(f.payload, want) {
			t.Errorf("got % x, want % x", f.payload, want)
		}
	}
	got = filter{nodeType: "Gain", maxFrame: 4, streams: []stream{{frames: frames}}}.output(t)
	if len(got) != 3 || !bytes.Equal(joined(got), joined(frames)) {
		t.Errorf("%d frames of at most 4 bytes, % x", len(got), joined(got))
	}
	wantTimes(t, got, 3e9)
	_, err := filter{nodeType: "Gain", streams: []stream{{frames: []taken{text("no sound")}}}}.run(t)
	wantError(t, err, "frame 0 from s0 is text, want audio")
}

func TestChunk(t *testing.T) {
	format := channel.AudioFormat{Rate: 8000, Channels: 2, Format: channel.S16}
	payload := pattern(format, 1000)
	for _, samples := range []int{1, 7, 160, 333, 1000} {
		got := filter{nodeType: "Chunk", params: map[string]any{"samples": 160}, streams: []stream{{frames: cut(format, 5, payload, samples)}}}.output(t)
		if len(got) != 7 || !bytes.Equal(joined(got), payload) || len(got[0].payload) != 640 || len(got[6].payload) != 160 {
			t.Errorf("frames of %d samples became %d, the last of %d bytes", samples, len(got), len(got[len(got)-1].payload))
		}
		wantTimes(t, got, 5)
	}
	got := filter{nodeType: "Chunk", params: map[string]any{"frame_ms": 100, "pad": true}, streams: []stream{{frames: cut(mono(8000, channel.U8), 0, pattern(mono(8000, channel.U8), 1000), 300)}}}.output(t)
	if len(got) != 2 || len(got[1].payload) != 800 || bytes.Count(got[1].payload[200:], []byte{128}) != 600 {
		t.Errorf("%d frames", len(got))
	}
}

// What is left before a gap is sent, and the sound after it begins a frame.
func TestChunkBreak(t *testing.T) {
	format := mono(8000, channel.S16)
	a, b := cut(format, 0, pattern(format, 100), 50), cut(format, 1e9, pattern(format, 200), 50)
	for _, pad := range []bool{false, true} {
		got := filter{nodeType: "Chunk", params: map[string]any{"samples": 80, "pad": pad}, streams: []stream{{frames: append(a[:2:2], b...)}}}.output(t)
		rest := 20
		if pad {
			rest = 80
		}
		if len(got) != 5 || len(got[1].payload) != 2*rest || got[2].header.PTS != 1e9 || got[2].header.Flags != channel.Discontinuity || got[1].header.Flags|got[3].header.Flags != 0 {
			t.Fatalf("%d frames: %+v", len(got), got)
		}
		if !bytes.Equal(got[1].payload[:40], a[1].payload[60:]) {
			t.Error("what was left is not what was sent")
		}
		wantTimes(t, got[:2], 0)
		wantTimes(t, got[2:], 1e9)
	}
}

func TestChunkErrors(t *testing.T) {
	frames := cut(mono(8000, channel.S16), 0, make([]byte, 100), 10)
	_, err := filter{nodeType: "Chunk", params: map[string]any{"samples": 513}, maxFrame: 1024, streams: []stream{{frames: frames}}}.run(t)
	wantError(t, err, "a frame of 513 samples of 1 channels needs 1026 bytes, max_frame of the output is 1024: raise max_frame")
	_, err = builtin.New(filter{nodeType: "Chunk", streams: make([]stream, 2)}.node(), nil, "", nil)
	wantError(t, err, "Chunk: takes one connection, 2 enter it")
}

func TestSplitChannels(t *testing.T) {
	format := channel.AudioFormat{Rate: 8000, Channels: 3, Format: channel.S24}
	payload := packed[int32](1, 2, 3, 11, 12, 13, 21, 22, 23, 31, 32, 33)
	f := filter{nodeType: "SplitChannels", read: []string{"channel_0", "channel_2"}, streams: []stream{{frames: cut(format, 9, payload, 3)}}}
	for _, f.maxFrame = range []int{12, 4} { // whole frames; one sample each
		got, err := f.run(t)
		if err != nil {
			t.Fatal(err)
		}
		for port, want := range map[string][]byte{"channel_0": packed[int32](1, 11, 21, 31), "channel_2": packed[int32](3, 13, 23, 33)} {
			if !bytes.Equal(joined(got[port]), want) || *got[port][0].header.Audio() != mono(8000, channel.S24) {
				t.Errorf("%s: % x", port, joined(got[port]))
			}
			wantTimes(t, got[port], 9)
		}
	}
	f.read = []string{"channel_1", "channel_3"}
	_, err := f.run(t)
	wantError(t, err, "frame 0 from s0 has 3 channels, there is none for port channel_3")
	f.streams[0].frames = []taken{sound(channel.AudioFormat{Rate: 8000, Channels: 9, Format: channel.U8}, 0, make([]byte, 9))}
	_, err = f.run(t)
	wantError(t, err, "frame 0 from s0 has 9 channels, there are ports for 8")
}

func TestToneSource(t *testing.T) {
	params := map[string]any{"rate": 8000, "frequency": 1000, "amplitude_db": 0, "duration_s": 0.1, "frame_ms": 30, "format": "f64", "channels": 2, "paced": false}
	need, err := builtin.MaxFrame("TestToneSource", params, "")
	if err != nil || need != 240*16 {
		t.Fatalf("max frame %d, %v", need, err)
	}
	for wave, want := range map[string]func(i int) float64{
		"sine":    func(i int) float64 { return math.Sin(2 * math.Pi * float64(i) / 8) },
		"square":  func(i int) float64 { return float64(1 - i/4%2*2) },
		"silence": func(int) float64 { return 0 },
	} {
		params["waveform"] = wave
		got, err := runSource(t, "TestToneSource", params, "", int(need))
		if err != nil || len(got) != 4 || len(got[3].payload) != 80*16 {
			t.Fatalf("%s: %d frames, %v", wave, len(got), err)
		}
		wantTimes(t, got, 0)
		for i, v := range values[float64](joined(got)) {
			if math.Abs(v-want(i/2)) > 1e-9 {
				t.Fatalf("%s: sample %d is %g, want %g", wave, i/2, v, want(i/2))
			}
		}
	}
	params["waveform"], params["amplitude_db"] = "noise", -20
	first, err := runSource(t, "TestToneSource", params, "", int(need))
	if err != nil {
		t.Fatal(err)
	}
	second, err := runSource(t, "TestToneSource", params, "", int(need)/5) // in more frames
	if err != nil || !bytes.Equal(joined(first), joined(second)) {
		t.Errorf("noise differs from run to run, %v", err)
	}
	power := 0.0
	for _, v := range values[float64](joined(first)) {
		power += v * v / 1600
		if math.Abs(v) > 0.1 {
			t.Errorf("noise of %g", v)
		}
	}
	if want := 0.01 / 3; power < want*0.8 || power > want*1.2 {
		t.Errorf("power of the noise %g, want about %g", power, want)
	}
}

func TestToneSourcePaced(t *testing.T) {
	before := time.Now()
	got, err := runSource(t, "TestToneSource", map[string]any{"duration_s": 0.1, "channels": 8, "format": "s32"}, "", 1<<20)
	if err != nil || len(got) != 5 {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i, f := range got {
		if since := f.at.Sub(before); since < time.Duration(f.header.PTS) {
			t.Errorf("frame %d came after %s", i, since)
		}
	}
	_, err = builtin.New(channel.Node{Type: "TestToneSource"}, map[string]any{"frequency": 4000, "rate": 8000}, "", nil)
	wantError(t, err, "param frequency: 4000 Hz is not below half the rate of 8000 Hz")
}
