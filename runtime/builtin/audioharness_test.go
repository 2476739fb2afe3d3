package builtin_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// stream is what one producer sends to a node under test.
type stream struct {
	frames []taken
	failed bool
}

// filter is a node under test with inputs and outputs.
type filter struct {
	nodeType string
	params   map[string]any
	maxFrame int
	read     []string // output ports; none: the default one
	streams  []stream // one connection each, from s0, s1 …
	stdio    *builtin.Stdio
}

// run sends the streams and collects what comes out of each port.
func (f filter) run(t *testing.T) (map[string][]taken, error) {
	t.Helper()
	mem, n := channel.NewMemory(), f.node()
	for _, spec := range specs(n) {
		if _, err := mem.Create(spec); err != nil {
			t.Fatal(err)
		}
	}
	body, err := builtin.New(n, f.params, t.TempDir(), f.stdio)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := node.Open(mem, n, session)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wait sync.WaitGroup
	got := make(map[string][]taken)
	var mu sync.Mutex
	for _, o := range n.Outputs {
		if len(o.Channels) == 0 {
			continue
		}
		sub, err := channel.NewSubscriber(mem, o.Channels[0], 0)
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			frames := drain(ctx, t, sub)
			mu.Lock()
			defer mu.Unlock()
			got[o.Port] = frames
		})
	}
	sending, stop := context.WithCancel(ctx)
	defer stop()
	for i, in := range n.Inputs {
		pub, err := channel.NewPublisher(mem, in.Channel)
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() { send(sending, t, pub, f.streams[i].frames, f.streams[i].failed) })
	}
	ports.Begin()
	err = body(ctx, ports)
	stop()
	if bad := ports.Close(ctx, err != nil); bad != nil {
		t.Error(bad)
	}
	wait.Wait()
	return got, err
}

// output is run of a node with the default output.
func (f filter) output(t *testing.T) []taken {
	t.Helper()
	got, err := f.run(t)
	if err != nil {
		t.Fatal(err)
	}
	return got[channel.DefaultOutput]
}

func (f filter) node() channel.Node {
	n := channel.Node{Version: channel.WiringVersion, ID: "n", Type: f.nodeType, Streaming: true}
	if f.maxFrame == 0 {
		f.maxFrame = 1 << 20
	}
	if f.read == nil {
		f.read = []string{channel.DefaultOutput}
	}
	for _, port := range f.read {
		spec := channel.Spec{
			Name: "main_n_" + port, MaxFrame: f.maxFrame, Loans: 1,
			Readers: []channel.Reader{{Node: "z", Port: channel.DefaultInput, Buffer: 4, Hold: 1}},
		}
		n.Outputs = append(n.Outputs, channel.Output{Port: port, MaxFrame: f.maxFrame, Channels: []channel.Spec{spec}})
	}
	for i := range f.streams {
		spec := channel.Spec{
			Name: fmt.Sprintf("main_s%d_output", i), MaxFrame: 1 << 20, Loans: 1,
			Readers: []channel.Reader{{Node: "n", Port: channel.DefaultInput, Buffer: 4, Hold: 1}},
		}
		n.Inputs = append(n.Inputs, channel.Input{Port: channel.DefaultInput, Source: fmt.Sprintf("s%d", i), SourcePort: channel.DefaultOutput, Channel: spec})
	}
	return n
}

func specs(n channel.Node) []channel.Spec {
	var list []channel.Spec
	for _, in := range n.Inputs {
		list = append(list, in.Channel)
	}
	for _, o := range n.Outputs {
		list = append(list, o.Channels...)
	}
	return list
}

func drain(ctx context.Context, t *testing.T, sub *channel.Subscriber) []taken {
	var got []taken
	for {
		s, err := sub.Receive(ctx)
		if err != nil {
			t.Error(err)
			return got
		}
		f := taken{header: *s.Header, payload: bytes.Clone(s.Payload)}
		if err := s.Release(); err != nil {
			t.Error(err)
		}
		if f.header.Flags&channel.EndOfStream != 0 {
			return got
		}
		got = append(got, f)
	}
}

// sound is an audio frame.
func sound(format channel.AudioFormat, pts int64, payload []byte) taken {
	h := channel.Header{Kind: channel.Audio, PTS: pts}
	*h.Audio() = format
	return taken{header: h, payload: payload}
}

// cut is a stream of frames of so many samples, with the right times.
func cut(format channel.AudioFormat, start int64, payload []byte, samples int) []taken {
	var frames []taken
	block := format.Format.Bytes() * int(format.Channels)
	for at := 0; at*block < len(payload); at += samples {
		part := payload[at*block : min(len(payload), (at+samples)*block)]
		frames = append(frames, sound(format, start+int64(at)*1e9/int64(format.Rate), part))
	}
	return frames
}

func joined(frames []taken) []byte {
	var all []byte
	for _, f := range frames {
		all = append(all, f.payload...)
	}
	return all
}

func mono(rate uint32, f channel.SampleFormat) channel.AudioFormat {
	return channel.AudioFormat{Rate: rate, Channels: 1, Format: f}
}

// packed are values as a payload.
func packed[T any](values ...T) []byte {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.NativeEndian, values); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// values are a payload's numbers.
func values[T any](payload []byte) []T {
	var zero T
	list := make([]T, len(payload)/binary.Size(zero))
	if err := binary.Read(bytes.NewReader(payload), binary.NativeEndian, list); err != nil {
		panic(err)
	}
	return list
}

// sine is a tone of n samples.
func sine(rate uint32, frequency, amplitude float64, n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = amplitude * math.Sin(2*math.Pi*frequency*float64(i)/float64(rate))
	}
	return x
}

// wantTimes checks that the times of frames count their samples from start.
func wantTimes(t *testing.T, frames []taken, start int64) {
	t.Helper()
	samples := int64(0)
	for i, f := range frames {
		a := f.header.Audio()
		if want := start + samples*1e9/int64(a.Rate); f.header.PTS != want {
			t.Errorf("frame %d is at %d ns, want %d", i, f.header.PTS, want)
		}
		samples += int64(len(f.payload) / a.Format.Bytes() / int(a.Channels))
	}
}

func wantError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte(text)) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want %s", err, text)
	}
}
