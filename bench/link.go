//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/iox"
)

// work is what is done with the payload of a frame on its way there and back.
// It travels with the frame.
type work int64

const (
	alone   work = iota // nothing: shared memory changes hands
	copied              // the other end copies what came into what goes
	touched             // and each sender has written, each receiver read every byte
)

func (k work) String() string { return [...]string{"alone", "copied", "touched"}[k] }

// link is this end of a way to another process and back.
type link interface {
	trip(ctx context.Context, n int, k work) error
	close()
}

var errWrong = errors.New("what came back is not what was sent")

// payload is what senders write: a source of bytes whose sum is known, and
// which differs from trip to trip.
type payload struct {
	bytes []byte
	sums  map[int]uint64
	count uint64
}

func newPayload(limit int) *payload {
	p := &payload{bytes: make([]byte, limit), sums: map[int]uint64{}}
	for i := range p.bytes {
		p.bytes[i] = byte(i * 7)
	}
	clear(p.bytes[:8])
	return p
}

// write fills b and returns the sum that must come back.
func (p *payload) write(b []byte) uint64 {
	if _, ok := p.sums[len(b)]; !ok {
		p.sums[len(b)] = sum(p.bytes[:len(b)]) - p.count
	}
	p.count++
	binary.NativeEndian.PutUint64(p.bytes, p.count)
	copy(b, p.bytes)
	return p.sums[len(b)] + p.count
}

// shm is a link by two channels.
type shm struct {
	poll bool
	data *payload
	pub  *channel.Publisher
	sub  *channel.Subscriber
}

func (s *shm) trip(ctx context.Context, n int, k work) error {
	l, err := s.pub.Loan(n)
	if err != nil {
		return err
	}
	var want uint64
	if k == touched {
		want = s.data.write(l.Payload)
	}
	l.Header.PTS = int64(k)
	if err := l.Send(ctx); err != nil {
		return err
	}
	got, err := receive(ctx, s.sub, s.poll)
	if err != nil {
		return err
	}
	if len(got.Payload) != n || (k == touched && sum(got.Payload) != want) {
		err = errWrong
	}
	return errors.Join(err, got.Release())
}

func (s *shm) close() {
	_ = s.pub.Close()
	_ = s.sub.Close()
}

// receive waits for a frame, by looking again and again or as nodes do.
func receive(ctx context.Context, sub *channel.Subscriber, poll bool) (channel.Sample, error) {
	if !poll {
		return sub.Receive(ctx)
	}
	for i := 0; ; i++ {
		s, ok, err := sub.TryReceive()
		if ok || err != nil {
			return s, err
		}
		if i&1023 == 0 && ctx.Err() != nil {
			return s, ctx.Err()
		}
	}
}

// echoShm is the other end of shm, in Go.
func echoShm(d channel.Domain, dir string, poll bool, ready func()) error {
	t, err := iox.Open(d, dir)
	if err != nil {
		return err
	}
	defer t.Close()
	sub, err := channel.NewSubscriber(t, hopSpec("there"), 0)
	if err != nil {
		return err
	}
	pub, err := channel.NewPublisher(t, hopSpec("back"))
	if err != nil {
		return err
	}
	ready()
	for ctx := context.Background(); ; {
		s, err := receive(ctx, sub, poll)
		if err != nil {
			return err
		}
		if s.Header.Flags&channel.EndOfStream != 0 {
			return nil
		}
		l, err := pub.Loan(len(s.Payload))
		if err != nil {
			return err
		}
		k := work(s.Header.PTS)
		if k == touched {
			runtime.KeepAlive(sum(s.Payload))
		}
		if k != alone {
			copy(l.Payload, s.Payload)
		}
		l.Header.PTS = s.Header.PTS
		if err := errors.Join(s.Release(), l.Send(ctx)); err != nil {
			return err
		}
	}
}

// stream is a link by a Unix socket: length and work, then the payload.
type stream struct {
	conn   net.Conn
	data   *payload
	memory []byte
}

func newStream(conn net.Conn, data *payload, limit int) *stream {
	return &stream{conn: conn, data: data, memory: make([]byte, 16+limit)}
}

func (s *stream) trip(ctx context.Context, n int, k work) error {
	end, _ := ctx.Deadline()
	if err := s.conn.SetDeadline(end); err != nil {
		return err
	}
	whole := s.memory[:16+n]
	binary.NativeEndian.PutUint64(whole, uint64(n))
	binary.NativeEndian.PutUint64(whole[8:], uint64(k))
	var want uint64
	if k == touched {
		want = s.data.write(whole[16:])
	}
	if _, err := s.conn.Write(whole); err != nil {
		return err
	}
	if _, err := io.ReadFull(s.conn, whole); err != nil {
		return err
	}
	if k == touched && sum(whole[16:]) != want {
		return errWrong
	}
	return nil
}

func (s *stream) close() { _ = s.conn.Close() }

// echoStream is the other end of stream, in Go.
func echoStream(path string, limit int) error {
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(context.Background(), "unix", path)
	if err != nil {
		return err
	}
	memory := make([]byte, 16+limit)
	for {
		if _, err := io.ReadFull(conn, memory[:16]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		n := binary.NativeEndian.Uint64(memory)
		if n > uint64(limit) {
			return fmt.Errorf("%d bytes", n)
		}
		whole := memory[:16+n]
		if _, err := io.ReadFull(conn, whole[16:]); err != nil {
			return err
		}
		if work(binary.NativeEndian.Uint64(whole[8:])) == touched {
			runtime.KeepAlive(sum(whole[16:]))
		}
		if _, err := conn.Write(whole); err != nil {
			return err
		}
	}
}
