package builtin_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

const session = "main"

// taken is a copy of a received frame.
type taken struct {
	header  channel.Header
	payload []byte
	at      time.Time
}

// wired is a channel with a built-in at one end and the test at the other.
type wired struct {
	body  node.Builtin
	ports *node.Ports
	spec  channel.Spec
	mem   *channel.Memory
}

func wire(t *testing.T, nodeType string, params map[string]any, dir string, stdout io.Writer, size int) wired {
	t.Helper()
	spec := channel.Spec{
		Name: "main_a_output", MaxFrame: size, Loans: 1,
		Readers: []channel.Reader{{Node: "b", Port: channel.DefaultInput, Buffer: 4, Hold: 1}},
	}
	n := channel.Node{Version: channel.WiringVersion, ID: "a", Type: nodeType, Streaming: true}
	if sends(nodeType) {
		n.Outputs = []channel.Output{{Port: channel.DefaultOutput, MaxFrame: size, Channels: []channel.Spec{spec}}}
	} else {
		n.ID = "b"
		n.Inputs = []channel.Input{{Port: channel.DefaultInput, Source: "a", SourcePort: channel.DefaultOutput, Channel: spec}}
	}
	body, err := builtin.New(n, params, dir, &builtin.Stdio{Out: stdout})
	if err != nil {
		t.Fatal(err)
	}
	mem := channel.NewMemory()
	if _, err := mem.Create(spec); err != nil {
		t.Fatal(err)
	}
	ports, err := node.Open(mem, n, session)
	if err != nil {
		t.Fatal(err)
	}
	return wired{body: body, ports: ports, spec: spec, mem: mem}
}

func sends(nodeType string) bool {
	for _, b := range builtin.Catalog() {
		if b.Name == nodeType {
			return len(b.Outputs) > 0
		}
	}
	return false
}

// run runs the body and closes its ports as the runtime does.
func (w wired) run(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		err := w.body(ctx, w.ports)
		done <- errors.Join(err, w.ports.Close(ctx, err != nil && !errors.Is(err, context.Canceled)))
	}()
	return done
}

// runSource collects what a source sends until it ends.
func runSource(t *testing.T, nodeType string, params map[string]any, dir string, size int) ([]taken, error) {
	t.Helper()
	w := wire(t, nodeType, params, dir, nil, size)
	sub, err := channel.NewSubscriber(w.mem, w.spec, 0)
	if err != nil {
		t.Fatal(err)
	}
	done := w.run(t.Context())
	var got []taken
	for {
		s, err := sub.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		header := *s.Header
		got = append(got, taken{header, bytes.Clone(s.Payload), time.Now()})
		if err := s.Release(); err != nil {
			t.Fatal(err)
		}
		if header.Flags&channel.EndOfStream != 0 {
			err := <-done
			if failed := header.Flags&channel.Failed != 0; failed != (err != nil) {
				t.Errorf("end of stream failed: %v, error: %v", failed, err)
			}
			return got[:len(got)-1], err
		}
	}
}

// runSink sends frames to a sink, then the end, failed or not.
func runSink(t *testing.T, nodeType string, params map[string]any, dir string, stdout io.Writer, frames []taken, failed bool) ([]node.File, error) {
	t.Helper()
	w := wire(t, nodeType, params, dir, stdout, 1<<20)
	pub, err := channel.NewPublisher(w.mem, w.spec)
	if err != nil {
		t.Fatal(err)
	}
	done := w.run(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { // a sink that fails takes no more
		err := <-done
		cancel()
		result <- err
	}()
	send(ctx, t, pub, frames, failed)
	err = <-result
	return w.ports.Files(), err
}

func send(ctx context.Context, t *testing.T, pub *channel.Publisher, frames []taken, failed bool) {
	t.Helper()
	for _, f := range frames {
		l, err := pub.Loan(len(f.payload))
		if err != nil {
			t.Fatal(err)
		}
		*l.Header = f.header
		l.Header.Version = channel.HeaderVersion
		copy(l.Payload, f.payload)
		if err := l.Send(ctx); err != nil {
			if ctx.Err() == nil {
				t.Fatal(err)
			}
			return
		}
	}
	if err := pub.End(ctx, failed); err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

func text(s string) taken {
	return taken{header: channel.Header{Kind: channel.Text}, payload: []byte(s)}
}

func jsonFrame(s string) taken {
	return taken{header: channel.Header{Kind: channel.JSON}, payload: []byte(s)}
}
