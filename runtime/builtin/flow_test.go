package builtin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

func TestPassthrough(t *testing.T) {
	frames := framesOfEveryKind()
	for i := range frames {
		frames[i].header.PTS = int64(i) - 3
		frames[i].header.TraceID = [16]byte{byte(i)}
	}
	got := filter{nodeType: "Passthrough", streams: []stream{{frames: frames}}}.output(t)
	if len(got) != len(frames) {
		t.Fatalf("%d frames of %d", len(got), len(frames))
	}
	for i, f := range got {
		h, want := f.header, frames[i].header
		if h.Kind != want.Kind || h.PTS != want.PTS || h.Flags != want.Flags || h.TraceID != want.TraceID || h.Media != want.Media ||
			h.Sequence != uint64(i) || !slices.Equal(f.payload, frames[i].payload) {
			t.Errorf("frame %d: %+v, want %+v", i, h, want)
		}
	}
}

func TestPassthroughErrors(t *testing.T) {
	for _, nodeType := range []string{"Passthrough", "Throttle"} {
		params := map[string]any{}
		if nodeType == "Throttle" {
			params["fps"] = 10
		}
		_, err := filter{nodeType: nodeType, params: params, streams: []stream{{frames: []taken{text("x")}, failed: true}}}.run(t)
		if !errors.Is(err, node.ErrIncomplete) {
			t.Errorf("%s: error %v", nodeType, err)
		}
		_, err = filter{nodeType: nodeType, params: params, maxFrame: 3, streams: []stream{{frames: []taken{text("long")}}}}.run(t)
		if !errors.Is(err, channel.ErrTooLarge) || !strings.HasPrefix(err.Error(), "frame 0 from s0: output output: ") {
			t.Errorf("%s: error %v", nodeType, err)
		}
	}
}

// timed are frames of a source with a rate, from a time on, rounded as sources
// do; the payload is the number.
func timed(n int, fps float64, start int64) []taken {
	var frames []taken
	for i := range n {
		f := text(fmt.Sprint(i))
		f.header.PTS = start + int64(float64(i)*1e9/fps)
		frames = append(frames, f)
	}
	return frames
}

func TestThrottleDrops(t *testing.T) {
	back := slices.Concat(timed(4, 10, 1e9), timed(4, 10, 0))
	for _, c := range []struct {
		name   string
		frames []taken
		fps    float64
		want   string
	}{
		{"a third", timed(10, 30, 7), 10, "0 3 6 9"},
		{"no whole part", timed(10, 30, 0), 20, "0 2 3 5 6 8 9"},
		{"a rate of television", timed(8, 30000./1001, 0), 15000. / 1001, "0 2 4 6"},
		{"slower than the rate", timed(3, 5, 0), 30, "0 1 2"},
		{"the same rate", timed(7, 30000./1001, 123), 30000. / 1001, "0 1 2 3 4 5 6"},
		{"one in ten seconds", timed(25, 1, 0), 0.1, "0 10 20"},
		{"a time that goes back", back, 5, "0 2 0 2"},
		{"a gap", slices.Concat(timed(3, 10, 0), timed(3, 10, 1e12)), 5, "0 2 0 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := filter{nodeType: "Throttle", params: map[string]any{"fps": c.fps}, streams: []stream{{frames: c.frames}}}.output(t)
			if s := strings.Join(payloads(got), " "); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

// Each connection has its own rate.
func TestThrottleOfTwo(t *testing.T) {
	got := filter{nodeType: "Throttle", params: map[string]any{"fps": 10}, streams: []stream{{frames: timed(9, 30, 0)}, {frames: timed(9, 30, 0)}}}.output(t)
	all := payloads(got)
	slices.Sort(all)
	if want := []string{"0", "0", "3", "3", "6", "6"}; !slices.Equal(all, want) {
		t.Errorf("got %v", all)
	}
}

func TestThrottleWithoutTime(t *testing.T) {
	lines := []taken{text("0"), text("1"), text("2")}
	_, err := filter{nodeType: "Throttle", params: map[string]any{"fps": 1}, streams: []stream{{frames: lines}}}.run(t)
	if err == nil || err.Error() != "frames from s0 have no presentation time: set by: arrival" {
		t.Errorf("error %v", err)
	}
	got := filter{nodeType: "Throttle", params: map[string]any{"fps": 0.001, "by": "arrival"}, streams: []stream{{frames: lines}}}.output(t)
	if len(got) != 1 || string(got[0].payload) != "0" {
		t.Errorf("got %q", payloads(got))
	}
}

func TestThrottleDelays(t *testing.T) {
	begin := time.Now()
	got := filter{nodeType: "Throttle", params: map[string]any{"fps": 100, "mode": "delay"}, streams: []stream{{frames: timed(5, 1e6, 0)}}}.output(t)
	if s := strings.Join(payloads(got), ""); s != "01234" {
		t.Errorf("got %s", s)
	}
	if took := time.Since(begin); took < 40*time.Millisecond {
		t.Errorf("5 frames at 100 a second took %v", took)
	}
}

// A frame that is held back does not hold up the end.
func TestThrottleStops(t *testing.T) {
	f := filter{nodeType: "Throttle", streams: []stream{{}}}
	n, mem := f.node(), channel.NewMemory()
	n.Outputs[0].Channels = nil // nothing reads it
	in := n.Inputs[0].Channel
	if _, err := mem.Create(in); err != nil {
		t.Fatal(err)
	}
	body, err := builtin.New(n, map[string]any{"fps": 0.001, "mode": "delay"}, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := node.Open(mem, n, session)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := channel.NewPublisher(mem, in)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- body(ctx, ports) }()
	send(t.Context(), t, pub, timed(3, 1, 0), false)
	for ports.Unread()[channel.DefaultOutput] == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestThrottleParams(t *testing.T) {
	for want, params := range map[string]map[string]any{
		"param fps is missing":                      nil,
		"param fps: 0 is less than 0.001":           {"fps": 0},
		`param mode: "skip" is none of drop, delay`: {"fps": 1, "mode": "skip"},
		`param by: "time" is none of pts, arrival`:  {"fps": 1, "by": "time"},
	} {
		if _, err := builtin.New(channel.Node{ID: "n", Type: "Throttle"}, params, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v, want %s", params, err, want)
		}
	}
}
