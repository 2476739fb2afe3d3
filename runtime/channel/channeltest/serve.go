package channeltest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Open joins a domain. iox.Open is one.
type Open func(d channel.Domain, dir string) (channel.Transport, error)

// Serve is the worker in Go. It returns after exit or the end of in; it closes
// what it opened.
func Serve(in io.Reader, out io.Writer, open Open) error {
	w := &server{open: open, encoder: json.NewEncoder(out), ports: map[string]*port{}, stop: make(chan struct{})}
	defer close(w.stop)
	go w.tick()
	lines := json.NewDecoder(bufio.NewReader(in))
	for {
		var q Request
		err := lines.Decode(&q)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
			return w.close()
		}
		if err != nil {
			return errors.Join(fmt.Errorf("read request: %w", err), w.close())
		}
		if q.Do == "exit" {
			err := w.close()
			w.answer(q.ID, Answer{}, err)
			return err
		}
		w.dispatch(q)
	}
}

type server struct {
	open  Open
	ticks atomic.Uint64
	stop  chan struct{}

	writing sync.Mutex
	encoder *json.Encoder

	mu        sync.Mutex
	transport channel.Transport
	ports     map[string]*port
}

// port is one named end and the requests to it, in order.
type port struct {
	name  string
	queue chan Request

	mu    sync.Mutex // guards what follows
	pub   *channel.Publisher
	sub   *channel.Subscriber
	out   *spyOutlet
	kept  []channel.Sample
	loans []channel.Loan
}

func (w *server) tick() {
	for {
		select {
		case <-w.stop:
			return
		case <-time.After(time.Millisecond):
			w.ticks.Add(1)
		}
	}
}

// dispatch starts a request in the order of its port.
func (w *server) dispatch(q Request) {
	if q.Do == "hello" { // before all others
		w.do(q, nil)
		return
	}
	if len(q.Ports) == 0 {
		go w.do(q, nil)
		return
	}
	w.mu.Lock()
	p := w.ports[q.Ports[0]]
	if p == nil {
		p = &port{name: q.Ports[0], queue: make(chan Request, 1024)}
		w.ports[p.name] = p
		go func() {
			for {
				select {
				case q := <-p.queue:
					w.do(q, p)
				case <-w.stop:
					return
				}
			}
		}()
	}
	w.mu.Unlock()
	switch q.Do {
	case "close", "leave", "alive", "counters":
		go w.do(q, p)
	default:
		p.queue <- q
	}
}

func (w *server) do(q Request, p *port) {
	ctx := context.Background()
	if q.WithinMS > 0 {
		limited, cancel := context.WithTimeout(ctx, time.Duration(q.WithinMS)*time.Millisecond)
		defer cancel()
		ctx = limited
	}
	a, err := w.perform(ctx, q, p)
	w.answer(q.ID, a, err)
}

func (w *server) answer(id uint64, a Answer, err error) {
	a.ID = id
	if err != nil {
		a.Error, a.Kind = err.Error(), kindOf(err)
	}
	w.writing.Lock()
	defer w.writing.Unlock()
	_ = w.encoder.Encode(a) // who does not listen gets nothing
}

func kindOf(err error) string {
	for _, k := range []struct {
		err  error
		kind string
	}{
		{channel.ErrClosed, "closed"}, {channel.ErrReleased, "released"}, {channel.ErrTooLarge, "too_large"},
		{channel.ErrHeld, "held"}, {channel.ErrLoaned, "loaned"}, {channel.ErrNoSpace, "no_space"},
		{channel.ErrCorrupt, "corrupt"}, {context.DeadlineExceeded, "timeout"},
	} {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	return "other"
}

func (w *server) perform(ctx context.Context, q Request, p *port) (Answer, error) {
	if p == nil {
		switch q.Do {
		case "hello":
			return w.hello(q)
		case "ticks":
			return Answer{Ticks: w.ticks.Load()}, nil
		}
		return Answer{}, fmt.Errorf("unknown operation %q", q.Do)
	}
	switch q.Do {
	case "publisher", "subscriber":
		return Answer{}, w.openPort(q, p)
	case "send":
		return w.send(ctx, q)
	case "receive":
		return p.receive(ctx, q)
	case "release":
		return Answer{}, p.release(q)
	case "alive":
		return p.alive(q)
	case "counters":
		return p.counters()
	case "close":
		return Answer{}, p.close()
	case "leave":
		return Answer{}, p.leave()
	}
	return Answer{}, p.write(ctx, q)
}

// write performs what only a publisher can.
func (p *port) write(ctx context.Context, q Request) error {
	pub, err := p.publisher()
	if err != nil {
		return err
	}
	switch q.Do {
	case "loan":
		return p.loan(q)
	case "discard":
		return p.discard(q)
	case "corrupt":
		return p.corrupt(ctx, q)
	case "end":
		return pub.End(ctx, q.Failed)
	case "drain":
		return pub.Drain(ctx)
	}
	return fmt.Errorf("unknown operation %q", q.Do)
}

func (w *server) hello(q Request) (Answer, error) {
	if q.Domain == nil {
		return Answer{}, errors.New("hello without a domain")
	}
	t, err := w.open(*q.Domain, q.Dir)
	if err != nil {
		return Answer{}, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.transport = t
	return Answer{Language: "go", Iceoryx2: "0.10.0"}, nil
}

func (w *server) openPort(q Request, p *port) error {
	w.mu.Lock()
	t := w.transport
	w.mu.Unlock()
	if t == nil || q.Spec == nil {
		return errors.New("a port needs hello and a spec")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if q.Do == "subscriber" {
		sub, err := channel.NewSubscriber(t, *q.Spec, q.Slot)
		p.sub = sub
		return err
	}
	spied := &spy{Transport: t}
	pub, err := channel.NewPublisher(spied, *q.Spec)
	p.pub, p.out = pub, spied.outlet
	return err
}

// close closes a port; its name stays.
func (p *port) close() error {
	pub, sub, _ := p.ends()
	var err error
	if pub != nil {
		err = pub.Close()
	}
	if sub != nil {
		err = errors.Join(err, sub.Close())
	}
	return err
}

// leave closes a port as the death of its process does.
func (p *port) leave() error {
	pub, sub, _ := p.ends()
	if sub != nil {
		return sub.Leave()
	}
	return pub.Close()
}

// close ends the worker's part in the domain.
func (w *server) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	for _, p := range w.ports {
		err = errors.Join(err, p.close())
		p.mu.Lock()
		for _, s := range p.kept {
			_ = s.Release()
		}
		for _, l := range p.loans {
			_ = l.Release()
		}
		p.kept, p.loans = nil, nil
		p.mu.Unlock()
	}
	if w.transport != nil {
		err = errors.Join(err, w.transport.Close())
	}
	return err
}
