package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

func spec(name string, policy channel.Policy, hold int) channel.Spec {
	return channel.Spec{Name: "{session}_" + name, MaxFrame: 16, Policy: policy, Loans: 1,
		Readers: []channel.Reader{{Node: "n", Port: "input", Buffer: 4, Hold: hold}}}
}

func in(s channel.Spec, source string) channel.Input {
	return channel.Input{Port: "input", Source: source, SourcePort: "output", Channel: s}
}

func transport(t *testing.T, specs ...channel.Spec) *channel.Memory {
	t.Helper()
	m := channel.NewMemory()
	for _, s := range specs {
		if _, err := m.Create(s.For("s")); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func open(t *testing.T, m *channel.Memory, n channel.Node) *Ports {
	t.Helper()
	p, err := Open(m, n, "s")
	if err != nil {
		t.Fatal(err)
	}
	p.Begin()
	return p
}

func producer(s channel.Spec) channel.Node {
	return channel.Node{ID: "p", Outputs: []channel.Output{{Port: "output", Channels: []channel.Spec{s}}}}
}

func produce(t *testing.T, p *Ports, name string, n int) {
	t.Helper()
	for i := range n {
		if err := p.Send(t.Context(), "output", channel.Header{Kind: channel.Text}, fmt.Appendf(nil, "%s%d", name, i)); err != nil {
			t.Error(err)
		}
	}
}

// TestMerge takes frames of two inputs: each in its own order, all of them.
func TestMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := spec("a", channel.Block, 1), spec("b", channel.Block, 2)
		m := transport(t, a, b)
		reader := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(a, "a"), in(b, "b")}})
		for name, s := range map[string]channel.Spec{"a": a, "b": b} {
			p := open(t, m, producer(s))
			go func() {
				produce(t, p, name, 50)
				if err := p.Close(t.Context(), false); err != nil {
					t.Error(err)
				}
			}()
		}
		next := map[string]int{}
		for {
			f, err := reader.Receive(t.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%s%d", f.Source, next[f.Source]); string(f.Payload) != want {
				t.Errorf("got %s, want %s", f.Payload, want)
			}
			next[f.Source]++
			f.Release()
		}
		if next["a"] != 50 || next["b"] != 50 {
			t.Errorf("got %v", next)
		}
		if err := reader.Close(t.Context(), false); err != nil {
			t.Error(err)
		}
	})
}

// TestHold keeps a frame: the connection waits, the others go on.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := spec("a", channel.Block, 1), spec("b", channel.Block, 1)
		m := transport(t, a, b)
		reader := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(a, "a"), in(b, "b")}})
		pa, pb := open(t, m, producer(a)), open(t, m, producer(b))
		produce(t, pa, "a", 2)
		held, err := reader.Receive(t.Context())
		if err != nil || string(held.Payload) != "a0" {
			t.Fatalf("%s %v", held.Payload, err)
		}
		produce(t, pb, "b", 1)
		f, err := reader.Receive(t.Context())
		if err != nil || f.Source != "b" {
			t.Fatalf("%s %v", f.Payload, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		if f, err := reader.Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("more than hold: %s %v", f.Payload, err)
		}
		cancel()
		held.Release()
		if f, err = reader.Receive(t.Context()); err != nil || string(f.Payload) != "a1" {
			t.Errorf("%s %v", f.Payload, err)
		}
		for _, p := range []*Ports{reader, pa, pb} {
			if err := p.Close(t.Context(), false); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestEnds(t *testing.T) {
	tests := map[string]struct {
		end  func(context.Context, *Ports) error
		want error
	}{
		"well":   {func(ctx context.Context, p *Ports) error { return p.Close(ctx, false) }, io.EOF},
		"failed": {func(ctx context.Context, p *Ports) error { return p.Close(ctx, true) }, ErrIncomplete},
		"died":   {func(_ context.Context, p *Ports) error { return p.Abandon() }, ErrIncomplete},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := spec("a", channel.Block, 1)
				m := transport(t, s)
				reader := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(s, "p")}})
				p := open(t, m, producer(s))
				produce(t, p, "a", 3)
				go func() {
					if err := test.end(t.Context(), p); err != nil {
						t.Error(err)
					}
				}()
				for range 3 {
					f, err := reader.Receive(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					f.Release()
				}
				for range 2 {
					if _, err := reader.Receive(t.Context()); !errors.Is(err, test.want) {
						t.Errorf("got %v, want %v", err, test.want)
					}
				}
				if err := errors.Join(reader.Close(t.Context(), false), reader.Close(t.Context(), false)); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestFeedback ends although its feedback does not.
func TestFeedback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := spec("a", channel.Block, 1), spec("b", channel.DropOldest, 1)
		m := transport(t, a, b)
		back := in(b, "later")
		back.Feedback = true
		reader := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(a, "a"), back}})
		p, later := open(t, m, producer(a)), open(t, m, producer(b))
		go func() {
			if err := p.Close(t.Context(), false); err != nil {
				t.Error(err)
			}
		}()
		if _, err := reader.Receive(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
		if err := errors.Join(reader.Close(t.Context(), false), later.Close(t.Context(), false)); err != nil {
			t.Error(err)
		}
	})
}

// TestOneEnds tells the end of one connection while the other goes on.
func TestOneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := spec("a", channel.Block, 1), spec("b", channel.Block, 1)
		m := transport(t, a, b)
		reader := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(a, "a"), in(b, "b")}})
		first, second := open(t, m, producer(a)), open(t, m, producer(b))
		end := func(p *Ports) {
			if err := p.Close(t.Context(), false); err != nil {
				t.Error(err)
			}
		}
		go end(first)
		f, ended, err := reader.ReceiveOrEnd(t.Context())
		if err != nil || !ended || f.Source != "a" || f.Port != "input" || f.SourcePort != "output" || f.Header != nil {
			t.Errorf("got %+v, %v, %v, want the end of a", f, ended, err)
		}
		produce(t, second, "b", 1)
		f, ended, err = reader.ReceiveOrEnd(t.Context())
		if err != nil || ended || f.Source != "b" || string(f.Payload) != "b0" {
			t.Errorf("got %+v, %v, %v, want a frame of b", f, ended, err)
		}
		f.Release()
		go end(second)
		if f, ended, err := reader.ReceiveOrEnd(t.Context()); err != nil || !ended || f.Source != "b" {
			t.Errorf("got %+v, %v, %v, want the end of b", f, ended, err)
		}
		if _, _, err := reader.ReceiveOrEnd(t.Context()); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
		if err := reader.Close(t.Context(), false); err != nil {
			t.Error(err)
		}
	})
}

// TestTwoChannels sends to a reader that blocks and to one that drops.
func TestTwoChannels(t *testing.T) {
	a, b := spec("a", channel.Block, 1), spec("b", channel.DropOldest, 1)
	m := transport(t, a, b)
	one := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(a, "p")}})
	two := open(t, m, channel.Node{ID: "o", Inputs: []channel.Input{in(b, "p")}})
	p := open(t, m, channel.Node{ID: "p", Outputs: []channel.Output{
		{Port: "output", Kind: "text", Channels: []channel.Spec{a, b}}, {Port: "spare"},
	}})
	l, err := p.Loan("output", 3)
	if err != nil {
		t.Fatal(err)
	}
	l.Header.Kind, l.Header.PTS = channel.Text, 42
	copy(l.Payload, "abc")
	if err := l.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*Ports{one, two} {
		f, err := r.Receive(t.Context())
		if err != nil || string(f.Payload) != "abc" || f.Header.PTS != 42 || f.Header.Sequence != 0 {
			t.Errorf("%+v %v", f, err)
		}
		f.Release()
	}
	if err := p.Send(t.Context(), "output", channel.Header{Kind: channel.Bytes}, nil); err == nil {
		t.Error("a frame of another kind was sent")
	}
	if err := p.Send(t.Context(), "output", channel.Header{Kind: channel.Text}, make([]byte, 17)); !errors.Is(err, channel.ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	if err := p.Send(t.Context(), "none", channel.Header{}, nil); !errors.Is(err, ErrNoPort) {
		t.Errorf("no port: %v", err)
	}
	for range 3 {
		if err := p.Send(t.Context(), "spare", channel.Header{}, []byte("x")); err != nil {
			t.Error(err)
		}
	}
	if got := p.Unread(); len(got) != 1 || got["spare"] != 3 {
		t.Errorf("unread: %v", got)
	}
	if err := errors.Join(one.Close(t.Context(), false), two.Close(t.Context(), false), p.Close(t.Context(), false)); err != nil {
		t.Error(err)
	}
}

// hooked calls after when a writer has sent.
type hooked struct {
	channel.Transport
	after func()
}

type hookedOutlet struct {
	channel.Outlet
	after func()
}

func (h hooked) Outlet(s channel.Spec) (channel.Outlet, error) {
	o, err := h.Transport.Outlet(s)
	return hookedOutlet{o, h.after}, err
}

func (o hookedOutlet) Send(ticket uint64) error {
	defer o.after()
	return o.Outlet.Send(ticket)
}

// TestCancelledBetween: a frame that is sent to the readers that block is sent
// to those that drop too.
func TestCancelledBetween(t *testing.T) {
	a, b := spec("a", channel.Block, 100), spec("b", channel.DropOldest, 100)
	m := transport(t, a, b)
	one := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(a, "p")}})
	two := open(t, m, channel.Node{ID: "o", Inputs: []channel.Input{in(b, "p")}})
	cancel := context.CancelFunc(func() {})
	p, err := Open(hooked{m, func() { cancel() }}, channel.Node{ID: "p", Outputs: []channel.Output{{Port: "output", Channels: []channel.Spec{a, b}}}}, "s")
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		var ctx context.Context
		ctx, cancel = context.WithCancel(t.Context())
		if err := p.Send(ctx, "output", channel.Header{Kind: channel.Text}, nil); err != nil {
			t.Fatal(err)
		}
		cancel()
		for _, r := range []*Ports{one, two} {
			f, err := r.Receive(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			f.Release()
		}
	}
	if err := errors.Join(one.Close(t.Context(), false), two.Close(t.Context(), false), p.Close(t.Context(), false)); err != nil {
		t.Error(err)
	}
}

// TestKindOfAnInput: a frame that is none of a node's is an error that names it.
func TestKindOfAnInput(t *testing.T) {
	for kind, want := range map[string]string{"": "is control, want media", "text": "is control, want text"} {
		s := spec("a", channel.Block, 2)
		m := transport(t, s)
		i := in(s, "p")
		i.Kind = kind
		reader := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{i}})
		p := open(t, m, producer(s))
		if err := p.Send(t.Context(), "output", channel.Header{Kind: channel.Control}, []byte("x")); err != nil {
			t.Error(err)
		}
		if _, err := reader.Receive(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "frame 0 from p") {
			t.Errorf("kind %q: %v", kind, err)
		}
		if err := errors.Join(reader.Close(t.Context(), false), p.Close(t.Context(), false)); err != nil {
			t.Error(err)
		}
	}
}

// TestCancelledSend gives the loan back: the next one is there.
func TestCancelledSend(t *testing.T) {
	s := spec("a", channel.Block, 1)
	m := transport(t, s)
	reader := open(t, m, channel.Node{ID: "n", Inputs: []channel.Input{in(s, "p")}})
	p := open(t, m, producer(s))
	produce(t, p, "a", 4)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if err := p.Send(ctx, "output", channel.Header{Kind: channel.Text}, []byte("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if err := errors.Join(reader.Close(t.Context(), false), p.Close(t.Context(), false)); err != nil {
		t.Error(err)
	}
}

func TestOpenFails(t *testing.T) {
	s := spec("a", channel.Block, 1)
	m := transport(t, s)
	n := producer(s)
	n.Inputs = []channel.Input{in(spec("missing", channel.Block, 1), "x")}
	if _, err := Open(m, n, "s"); err == nil {
		t.Error("opened")
	}
	if err := open(t, m, producer(s)).Close(t.Context(), false); err != nil {
		t.Errorf("the output was left open: %v", err)
	}
}

func TestFiles(t *testing.T) {
	p := &Ports{}
	p.Wrote(File{Path: "a", Complete: true})
	if got := p.Files(); len(got) != 1 || got[0].Path != "a" {
		t.Errorf("got %v", got)
	}
}
