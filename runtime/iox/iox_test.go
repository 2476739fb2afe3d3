//go:build cgo && linux

package iox_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/channel/channeltest"
	"github.com/medianode/docker-medianode/runtime/iox"
)

// spec is a channel with readers of these buffers and this hold.
func spec(name string, maxFrame, hold int, buffers ...int) channel.Spec {
	s := channel.Spec{Name: name, MaxFrame: maxFrame, Loans: 2}
	for i, b := range buffers {
		s.Readers = append(s.Readers, channel.Reader{Node: fmt.Sprint("n", i), Port: "input", Buffer: b, Hold: hold})
	}
	return s
}

// link is a channel with all its ends open.
type link struct {
	pub  *channel.Publisher
	subs []*channel.Subscriber
}

// connect creates a channel and opens all ends; what it opened is closed with
// the transport.
func connect(tr *iox.Transport, s channel.Spec) (link, error) {
	var l link
	if _, err := tr.Create(s); err != nil {
		return l, err
	}
	for i := range s.Readers {
		sub, err := channel.NewSubscriber(tr, s, i)
		if err != nil {
			return l, err
		}
		l.subs = append(l.subs, sub)
	}
	pub, err := channel.NewPublisher(tr, s)
	l.pub = pub
	return l, err
}

func mustConnect(t testing.TB, tr *iox.Transport, s channel.Spec) link {
	t.Helper()
	l, err := connect(tr, s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hop sends a frame and receives it.
func (l link) hop(ctx context.Context, n int, into []channel.Sample) error {
	loan, err := l.pub.Loan(n)
	if err != nil {
		return err
	}
	if err := loan.Send(ctx); err != nil {
		return err
	}
	for _, sub := range l.subs {
		n, err := sub.ReceiveBatch(ctx, into)
		if err != nil {
			return err
		}
		for _, s := range into[:n] {
			if err := s.Release(); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestNoAllocations(t *testing.T) {
	p := newProject(t, false)
	l := mustConnect(t, p.open(t), spec("main_a_output", 4096, 2, 4))
	into := make([]channel.Sample, 2)
	ctx := context.Background()
	n := testing.AllocsPerRun(1000, func() {
		if err := l.hop(ctx, 64, into); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// TestSignals wants the table of signal handlers as the Go runtime made it.
func TestSignals(t *testing.T) {
	before := handlers(t)
	p := newProject(t, false)
	tr := p.open(t)
	l := mustConnect(t, tr, spec("main_a_output", 4096, 2, 4))
	into := make([]channel.Sample, 1)
	for range 100 {
		if err := l.hop(t.Context(), 64, into); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.subs[0].Receive(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("receive: %v, want a timeout", err)
	}
	if _, err := tr.Clean(); err != nil {
		t.Error(err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	after := handlers(t)
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("signal %d: handler %+v, was %+v", i+1, after[i], before[i])
		}
	}
}

// handler is struct sigaction of the kernel on 64-bit machines.
type handler struct{ handler, flags, restorer, mask uint64 }

func handlers(t *testing.T) (all [64]handler) {
	t.Helper()
	for i := range all {
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(i+1), 0, uintptr(unsafe.Pointer(&all[i])), 8, 0, 0)
		if errno != 0 {
			t.Fatalf("sigaction %d: %v", i+1, errno)
		}
	}
	return all
}

// TestTwoDomains has two projects in one process, with channels of one name.
func TestTwoDomains(t *testing.T) {
	projects := []project{newProject(t, false), newProject(t, false)}
	var open []*iox.Transport
	var links []link
	for i, p := range projects {
		tr := p.open(t)
		l := mustConnect(t, tr, spec("main_a_output", 64, 2, 4))
		open, links = append(open, tr), append(links, l)
		loan, err := l.pub.Loan(1)
		if err != nil {
			t.Fatal(err)
		}
		loan.Payload[0] = byte(i)
		if err := loan.Send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var samples []channel.Sample
	for i, l := range links {
		s, err := l.subs[0].Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Payload[0] != byte(i) {
			t.Errorf("project %d received the frame of project %d", i, s.Payload[0])
		}
		if n := len(projects[i].files(t, ".data")); n != 1 {
			t.Errorf("project %d has %d data segments", i, n)
		}
		samples = append(samples, s)
	}
	var all sync.WaitGroup
	for _, tr := range open {
		all.Go(func() {
			if err := tr.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, s := range samples { // good after everything else is closed
		if s.Payload[0] != byte(i) {
			t.Errorf("payload %d after close, want %d", s.Payload[0], i)
		}
		all.Go(func() {
			if err := s.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, p := range projects {
		if left := p.left(t); len(left) != 0 {
			t.Errorf("project %d left %v", i, left)
		}
	}
}

// left are the files of a project that are there without a reason. The counter
// of node ids stays as long as the directory.
func (p project) left(t *testing.T) (left []string) {
	t.Helper()
	for _, dir := range []string{p.dir, p.domain.Root} {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && filepath.Ext(path) != ".global_mgmt" {
				left = append(left, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return left
}

func TestUnknownPrefix(t *testing.T) {
	p := newProject(t, false)
	tr := p.open(t)
	other := p
	other.dir = t.TempDir()
	if _, err := iox.Open(other.domain, other.dir); err == nil {
		t.Error("one prefix in two directories is no error")
	}
	var e *iox.Error
	_, err := tr.Outlet(spec("main_a_output", 64, 1, 1))
	if !errors.As(err, &e) || e.Code != iox.Missing {
		t.Errorf("outlet of a channel that was not created: %v", err)
	}
}

// TestClean kills peers at both ends and wants their files gone.
func TestClean(t *testing.T) {
	p := newProject(t, false)
	tr := p.open(t)
	s := spec("main_a_output", 1<<16, 2, 4)
	c, err := tr.Create(s)
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprint(p.left(t))
	writer, reader := p.process(t), p.process(t)
	reader.Do(t, channeltest.Request{Do: "subscriber", Ports: []string{"in"}, Spec: &s})
	writer.Do(t, channeltest.Request{Do: "publisher", Ports: []string{"out"}, Spec: &s})
	writer.Do(t, channeltest.Request{Do: "send", Ports: []string{"out"}, Count: 3})
	reader.Do(t, channeltest.Request{Do: "receive", Ports: []string{"in"}, Keep: true})
	writer.Do(t, channeltest.Request{Do: "loan", Ports: []string{"out"}})
	writer.Kill()
	reader.Kill()
	n, err := tr.Clean()
	if n != 2 || err != nil {
		t.Errorf("clean: %d, %v, want the two that died", n, err)
	}
	if after := fmt.Sprint(p.left(t)); after != before {
		t.Errorf("after clean there is %v, before the two came %v", after, before)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

// TestCleanOpenEnds kills the peers of ends that are open and idle: nothing of
// the dead stays, and the ends go on with the next peers.
func TestCleanOpenEnds(t *testing.T) {
	p := newProject(t, false)
	tr := p.open(t)
	in, out := spec("main_a_output", 64, 2, 4), spec("main_b_output", 64, 2, 4)
	for _, s := range []channel.Spec{in, out} {
		if _, err := tr.Create(s); err != nil {
			t.Fatal(err)
		}
	}
	sub, err := channel.NewSubscriber(tr, in, 0)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := channel.NewPublisher(tr, out)
	if err != nil {
		t.Fatal(err)
	}
	before := p.left(t)
	for range 2 {
		peer := p.process(t)
		peer.Do(t, channeltest.Request{Do: "publisher", Ports: []string{"w"}, Spec: &in})
		peer.Do(t, channeltest.Request{Do: "subscriber", Ports: []string{"r"}, Spec: &out})
		peer.Do(t, channeltest.Request{Do: "send", Ports: []string{"w"}, Count: 2})
		loan, err := pub.Loan(1)
		if err == nil {
			err = loan.Send(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		first, err := sub.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		peer.Kill()
		if n, err := tr.Clean(); n != 1 || err != nil {
			t.Errorf("clean: %d, %v, want the one that died", n, err)
		}
		second, err := sub.Receive(t.Context()) // not lost by cleaning
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(first.Release(), second.Release()); err != nil {
			t.Error(err)
		}
		if _, ok, err := sub.TryReceive(); ok || err != nil { // lets go of the dead one
			t.Errorf("received one more: %v", err)
		}
		for _, file := range p.left(t) {
			if !slices.Contains(before, file) {
				t.Errorf("left: %s", file)
			}
		}
	}
}

// TestSweep wants files removed whose ports no node knows, and no others.
func TestSweep(t *testing.T) {
	p := newProject(t, false)
	tr := p.open(t)
	l := mustConnect(t, tr, spec("main_a_output", 64, 2, 4))
	hash := "0354a209029e7d094a819e2d4030ea331e6caaf0"
	orphans := []string{
		filepath.Join(p.dir, p.domain.Prefix+hash+"_1.data"),
		filepath.Join(p.dir, p.domain.Prefix+hash+"_1_2.connection"),
		filepath.Join(p.domain.Root, p.domain.Prefix+"3.event"),
	}
	foreign := filepath.Join(p.dir, "other_"+hash+"_1.data")
	for _, f := range append(orphans, foreign) {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := tr.Clean(); n != len(orphans) || err != nil {
		t.Errorf("clean: %d, %v, want %d", n, err, len(orphans))
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a file of another prefix is gone: %v", err)
	}
	if err := l.hop(t.Context(), 64, make([]channel.Sample, 1)); err != nil {
		t.Error(err)
	}
}
