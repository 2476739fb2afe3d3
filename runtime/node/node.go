// Package node is what a built-in node is written against: a function that
// receives frames from its Ports and sends frames to them. The runtime opens
// the ports, starts the function, ends its streams when it returns and reports
// what it did.
//
// A sink receives until its inputs end:
//
//	func Count(ctx context.Context, ports *node.Ports) error {
//		frames := 0
//		for {
//			f, err := ports.Receive(ctx)
//			if errors.Is(err, io.EOF) { // every producer has ended well
//				fmt.Println(frames)
//				return nil
//			}
//			if err != nil { // node.ErrIncomplete: a producer failed
//				return err
//			}
//			frames++
//			f.Release()
//		}
//	}
//
// A source sends until it has no more, or ctx ends, which means "stop":
//
//	func Tick(ctx context.Context, ports *node.Ports) error {
//		for i := 0; ; i++ {
//			select {
//			case <-time.After(time.Second):
//			case <-ctx.Done():
//				return ctx.Err() // stopping is no failure
//			}
//			h := channel.Header{Kind: channel.Text, PTS: int64(i) * 1e9}
//			if err := ports.Send(ctx, channel.DefaultOutput, h, []byte("tick")); err != nil {
//				return err
//			}
//		}
//	}
//
// A filter does both; ctx of a node with inputs ends only when the session is
// killed, because what is in flight has to drain through it.
package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Builtin is a built-in node's body. It returns when its inputs have ended, or,
// without inputs, when it has no more to send or ctx ends. The ends of its
// streams are sent for it; an error ends them as failed and fails the session.
type Builtin func(ctx context.Context, ports *Ports) error

var (
	// ErrIncomplete is the end of the inputs when a producer failed or died. A
	// node that returns it fails as a consequence, not as a cause.
	ErrIncomplete = errors.New("input ended early: its producer failed")
	// ErrNoPort is the answer for a port that the node does not have.
	ErrNoPort = errors.New("no such port")
)

// File is a file that a sink wrote, for the report.
type File struct {
	Path     string `json:"path"`
	Bytes    int64  `json:"bytes"`
	Frames   uint64 `json:"frames"`
	Complete bool   `json:"complete"` // false: the path is that of a partial file
}

// Ports are the inputs and outputs of one built-in node in one session.
type Ports struct {
	node    channel.Node
	inputs  []*input
	outputs map[string]*output

	merge  chan arrival  // several inputs: their frames
	quit   chan struct{} // closed by Close: ends the goroutines of merge
	begun  atomic.Bool
	close  sync.Once
	pumps  sync.WaitGroup
	left   int  // inputs that have not ended and that the end waits for
	failed bool // an input ended early

	mu    sync.Mutex
	files []File
}

// Open opens a node's ends of the channels of a session, which exist already.
func Open(t channel.Transport, n channel.Node, session string) (*Ports, error) {
	p := &Ports{node: n, outputs: map[string]*output{}, quit: make(chan struct{})}
	for _, o := range n.Outputs {
		out := &output{Output: o}
		p.outputs[o.Port] = out
		for _, spec := range o.Channels {
			pub, err := channel.NewPublisher(t, spec.For(session))
			if err != nil {
				return nil, errors.Join(fmt.Errorf("output %s: %w", o.Port, err), p.Abandon())
			}
			out.channels = append(out.channels, pub)
		}
	}
	for _, i := range n.Inputs {
		sub, err := channel.NewSubscriber(t, i.Channel.For(session), i.Slot)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("input %s from %s: %w", i.Port, i.Source, err), p.Abandon())
		}
		in := &input{Input: i, sub: sub, begun: &p.begun, room: make(chan struct{}, max(1, i.Channel.Readers[i.Slot].Hold))}
		p.inputs = append(p.inputs, in)
		if !i.Feedback {
			p.left++
		}
	}
	return p, nil
}

// Begin tells that every producer is there: one that is not has died. The
// runtime calls it when the session starts.
func (p *Ports) Begin() { p.begun.Store(true) }

// Node is the node's place in the graph.
func (p *Ports) Node() channel.Node { return p.node }

// Wrote puts a file into the report.
func (p *Ports) Wrote(f File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.files = append(p.files, f)
}

// Files are the files of Wrote.
func (p *Ports) Files() []File {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]File(nil), p.files...)
}

// Unread is how many frames went to each port that nothing reads.
func (p *Ports) Unread() map[string]uint64 {
	unread := map[string]uint64{}
	for name, o := range p.outputs {
		if n := o.unread.Load(); n > 0 {
			unread[name] = n
		}
	}
	return unread
}

// Close ends the inputs, so that no producer waits for them any longer, sends
// the end of every stream and waits, until ctx ends, for it to be taken.
func (p *Ports) Close(ctx context.Context, failed bool) error {
	var err error
	p.close.Do(func() {
		err = p.closeInputs((*channel.Subscriber).Close)
		var wait sync.WaitGroup
		var mu sync.Mutex
		for _, o := range p.outputs {
			for _, pub := range o.channels {
				wait.Go(func() {
					if bad := finish(ctx, pub, failed); bad != nil {
						mu.Lock()
						defer mu.Unlock()
						err = errors.Join(err, bad)
					}
				})
			}
		}
		wait.Wait()
	})
	return err
}

func finish(ctx context.Context, pub *channel.Publisher, failed bool) error {
	err := pub.End(ctx, failed)
	if err == nil {
		err = pub.Drain(ctx)
	}
	return errors.Join(err, pub.Close())
}

func (p *Ports) closeInputs(end func(*channel.Subscriber) error) error {
	close(p.quit)
	var err error
	for _, in := range p.inputs {
		err = errors.Join(err, end(in.sub))
	}
	p.pumps.Wait()
	return err
}

// Abandon ends everything as the death of a process does: without a word to the
// other ends, which go on waiting for a node that comes back.
func (p *Ports) Abandon() error {
	var err error
	p.close.Do(func() {
		err = p.closeInputs((*channel.Subscriber).Leave)
		for _, o := range p.outputs {
			for _, pub := range o.channels {
				err = errors.Join(err, pub.Close())
			}
		}
	})
	return err
}
