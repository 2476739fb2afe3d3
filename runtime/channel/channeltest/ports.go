package channeltest

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// fill writes what a frame with this seed carries.
func fill(payload []byte, seed int) {
	for i := range payload {
		payload[i] = byte(seed + i)
	}
}

// CRC32 is the checksum of a frame with so many bytes and this seed.
func CRC32(length, seed int) uint32 {
	payload := make([]byte, length)
	fill(payload, seed)
	return crc32.ChecksumIEEE(payload)
}

// ends are what the port has open.
func (p *port) ends() (*channel.Publisher, *channel.Subscriber, *spyOutlet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pub, p.sub, p.out
}

func (p *port) publisher() (*channel.Publisher, error) {
	pub, _, _ := p.ends()
	if pub == nil {
		return nil, fmt.Errorf("no publisher %q", p.name)
	}
	return pub, nil
}

func (w *server) send(ctx context.Context, q Request) (Answer, error) {
	var a Answer
	for i := range max(1, q.Count) {
		for _, name := range q.Ports {
			w.mu.Lock()
			p := w.ports[name]
			w.mu.Unlock()
			if p == nil {
				return a, fmt.Errorf("no publisher %q", name)
			}
			if err := p.send(ctx, q, i); err != nil {
				return a, err
			}
		}
		a.Sent++
		time.Sleep(time.Duration(q.GapUS) * time.Microsecond)
	}
	return a, nil
}

func (p *port) send(ctx context.Context, q Request, i int) error {
	pub, err := p.publisher()
	if err != nil {
		return err
	}
	l, err := pub.Loan(q.Length)
	if err != nil {
		return err
	}
	fill(l.Payload, q.Seed+i)
	if q.Frame != nil {
		if err := q.Frame.Put(l.Header); err != nil {
			return errors.Join(err, l.Release())
		}
		l.Header.PTS += int64(i)
	}
	if err := l.Send(ctx); err != nil {
		_ = l.Release() // ended already if the transport failed
		return err
	}
	return nil
}

func (p *port) receive(ctx context.Context, q Request) (Answer, error) {
	a := Answer{Ordered: true}
	_, sub, _ := p.ends()
	if sub == nil {
		return a, fmt.Errorf("no subscriber %q", p.name)
	}
	if q.WithinMS == 0 {
		ctx = context.Background()
	}
	var failed error
	for got := 0; got < max(1, q.Count) && !a.Ended; {
		s, err := sub.Receive(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return a, failed
		case errors.Is(err, channel.ErrCorrupt):
			failed = errors.Join(failed, err)
		case err != nil:
			return a, err
		}
		if s.Header == nil {
			continue
		}
		got++
		a.count(s, q.Brief)
		if q.Keep {
			p.mu.Lock()
			p.kept = append(p.kept, s)
			p.mu.Unlock()
		} else if err := s.Release(); err != nil {
			return a, err
		}
		time.Sleep(time.Duration(q.GapUS) * time.Microsecond)
	}
	return a, failed
}

// count takes a received frame into the answer.
func (a *Answer) count(s channel.Sample, brief bool) {
	h := s.Header
	a.Ended = h.Flags&channel.EndOfStream != 0
	if a.Received > 0 || len(a.Frames) > 0 {
		a.Ordered = a.Ordered && h.Sequence > a.Last
	} else {
		a.First = h.Sequence
	}
	a.Last = h.Sequence
	if brief {
		if !a.Ended {
			a.Received++
		}
		return
	}
	f := Take(h)
	f.Length, f.CRC32 = len(s.Payload), crc32.ChecksumIEEE(s.Payload)
	a.Frames = append(a.Frames, f)
}

func (p *port) release(q Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.kept)
	if q.Count > 0 {
		n = min(n, q.Count)
	}
	var last channel.Sample
	for _, s := range p.kept[:n] {
		if err := s.Release(); err != nil {
			return err
		}
		last = s
	}
	p.kept = p.kept[n:]
	if q.Again {
		return last.Release()
	}
	return nil
}

func (p *port) loan(q Request) error {
	for range max(1, q.Count) {
		l, err := p.pub.Loan(q.Length)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.loans = append(p.loans, l)
		p.mu.Unlock()
	}
	return nil
}

func (p *port) discard(q Request) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last channel.Loan
	for _, l := range p.loans {
		if err := l.Release(); err != nil {
			return err
		}
		last = l
	}
	p.loans = nil
	if q.Again {
		return last.Release()
	}
	return nil
}

func (p *port) corrupt(ctx context.Context, q Request) error {
	what, ok := corruptions()[q.What]
	if !ok {
		return fmt.Errorf("corrupt %q", q.What)
	}
	p.out.arm(what)
	defer p.out.arm(nil)
	return p.send(ctx, Request{Length: 3}, 0)
}

// corruptions are the ways in which a header can be wrong.
func corruptions() map[string]func(*channel.Header) {
	return map[string]func(*channel.Header){
		"version": func(h *channel.Header) { h.Version = 2 },
		"kind":    func(h *channel.Header) { h.Kind = 99 },
		"audio": func(h *channel.Header) {
			h.Kind = channel.Audio
			*h.Audio() = channel.AudioFormat{Rate: 48000, Channels: 2, Format: channel.S16}
		},
		"video": func(h *channel.Header) {
			h.Kind = channel.Video
			*h.Video() = channel.VideoFormat{Width: 640, Height: 480, Stride: 1920, FourCC: channel.RGB24}
		},
		"tensor": func(h *channel.Header) {
			h.Kind = channel.Tensor
			*h.Tensor() = channel.TensorFormat{Code: 2, Bits: 32, Lanes: 1, Rank: 9}
		},
		"sequence": func(h *channel.Header) { h.Sequence = 1 << 62 },
	}
}

func (p *port) alive(q Request) (Answer, error) {
	_, sub, out := p.ends()
	switch {
	case sub != nil:
		return Answer{Alive: sub.WriterAlive()}, nil
	case out != nil:
		return Answer{Alive: out.ReaderAlive(q.Slot)}, nil
	}
	return Answer{}, fmt.Errorf("no port %q", p.name)
}

func (p *port) counters() (Answer, error) {
	pub, sub, _ := p.ends()
	var l *channel.Ledger
	switch {
	case pub != nil:
		l = pub.Ledger()
	case sub != nil:
		l = sub.Ledger()
	default:
		return Answer{}, fmt.Errorf("no port %q", p.name)
	}
	c := &Counters{Next: l.Next().Load(), Bytes: l.Bytes().Load(), Ended: l.Ended().Load(), BlockedNS: l.Blocked().Load()}
	for i := range l.Slots() {
		s := l.Slot(i)
		c.Slots = append(c.Slots, SlotCounters{
			State: s.State().Load(), Next: s.Next().Load(), Received: s.Received().Load(),
			Bytes: s.Bytes().Load(), Dropped: s.Dropped().Load(),
		})
	}
	return Answer{Counters: c}, nil
}

// spy gives a worker the outlet below its publisher, so that it can send what a
// publisher would not.
type spy struct {
	channel.Transport
	outlet *spyOutlet
}

func (s *spy) Outlet(spec channel.Spec) (channel.Outlet, error) {
	out, err := s.Transport.Outlet(spec)
	if err != nil {
		return nil, err
	}
	s.outlet = &spyOutlet{Outlet: out, headers: map[uint64]*channel.Header{}}
	return s.outlet, nil
}

type spyOutlet struct {
	channel.Outlet
	mu      sync.Mutex
	headers map[uint64]*channel.Header
	armed   func(*channel.Header)
}

func (o *spyOutlet) arm(f func(*channel.Header)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.armed = f
}

func (o *spyOutlet) Loan(n int) (channel.Raw, error) {
	raw, err := o.Outlet.Loan(n)
	if err == nil {
		o.mu.Lock()
		o.headers[raw.Ticket] = raw.Header
		o.mu.Unlock()
	}
	return raw, err
}

func (o *spyOutlet) Send(ticket uint64) error {
	o.mu.Lock()
	if o.armed != nil {
		o.armed(o.headers[ticket])
	}
	delete(o.headers, ticket)
	o.mu.Unlock()
	return o.Outlet.Send(ticket)
}

func (o *spyOutlet) Discard(ticket uint64) error {
	o.mu.Lock()
	delete(o.headers, ticket)
	o.mu.Unlock()
	return o.Outlet.Discard(ticket)
}
