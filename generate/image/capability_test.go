package image

import (
	"cmp"
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	control "github.com/moby/buildkit/api/services/control"
	types "github.com/moby/buildkit/api/types"
	bk "github.com/moby/buildkit/client"
	"google.golang.org/grpc"
)

func TestRefuse(t *testing.T) {
	of := func(kind string) []Cache { return []Cache{{Type: kind}} }
	containerd := []*bk.WorkerInfo{{Labels: map[string]string{}}, {Labels: map[string]string{snapshotterLabel: "overlayfs"}}}
	older := []*bk.WorkerInfo{{Labels: map[string]string{"org.mobyproject.buildkit.worker.moby.host-gateway-ip": "172.17.0.1"}}}
	for _, c := range []struct {
		options Options
		why     string // on the older store; empty: possible
	}{
		{Options{}, ""},
		{Options{NoCache: true, Pull: true}, ""},
		{Options{CacheTo: of("inline")}, ""},
		{Options{CacheFrom: append(of("registry"), of("local")...)}, ""},
		{Options{CacheFrom: of("gha")}, "--cache-from type=gha: "},
		{Options{CacheTo: of("registry")}, "--cache-to type=registry: "},
		{Options{CacheTo: append(of("inline"), of("local")...)}, "--cache-to type=local: "},
		{Options{CacheTo: of("gha")}, "--cache-to type=gha: "},
	} {
		if err := c.options.Refuse(containerd); err != nil {
			t.Errorf("%+v: %v", c.options, err)
		}
		for name, workers := range map[string][]*bk.WorkerInfo{"older": older, "none": nil} {
			err := c.options.Refuse(workers)
			if (err == nil) != (c.why == "") {
				t.Errorf("%s, %+v: got %v", name, c.options, err)
			} else if err != nil && (!strings.HasPrefix(err.Error(), c.why) || !strings.Contains(err.Error(), "containerd-snapshotter") || strings.Contains(err.Error(), "\n")) {
				t.Errorf("%s, %+v: got %v", name, c.options, err)
			}
		}
	}
}

// workers is a BuildKit that can tell about its workers, and nothing else.
type workers struct {
	control.UnimplementedControlServer
	labels map[string]string
}

func (w *workers) ListWorkers(context.Context, *control.ListWorkersRequest) (*control.ListWorkersResponse, error) {
	return &control.ListWorkersResponse{Record: []*types.WorkerRecord{{ID: "w", Labels: w.labels}}}, nil
}

// served is an engine whose BuildKit is the given one.
type served struct {
	Engine
	listener *pipes
	dialled  int
	api      string
}

func (s *served) ClientVersion() string { return cmp.Or(s.api, "1.47") }

func (s *served) DialHijack(context.Context, string, string, map[string][]string) (net.Conn, error) {
	s.dialled++
	if s.listener == nil {
		return nil, errors.New("page not found")
	}
	ours, theirs := net.Pipe()
	s.listener.conns <- theirs
	return ours, nil
}

// pipes is a listener without a network.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func serve(t *testing.T, labels map[string]string) *served {
	t.Helper()
	s := &served{listener: &pipes{make(chan net.Conn), make(chan struct{})}}
	server := grpc.NewServer()
	control.RegisterControlServer(server, &workers{labels: labels})
	go func() { _ = server.Serve(s.listener) }()
	t.Cleanup(server.Stop)
	return s
}

func TestAbleAsksTheEngine(t *testing.T) {
	wanting := Options{CacheTo: []Cache{{Type: "registry"}}}
	older := serve(t, nil)
	err := BuildKit{Engine: older, Options: wanting}.Able(t.Context())
	if err == nil || !strings.HasPrefix(err.Error(), "--cache-to type=registry: the engine's image store cannot write a build cache") {
		t.Errorf("got %v", err)
	}
	if err := (BuildKit{Engine: serve(t, map[string]string{snapshotterLabel: "overlayfs"}), Options: wanting}).Able(t.Context()); err != nil {
		t.Error(err)
	}
	// What every engine can do costs no question.
	silent := &served{}
	if err := (BuildKit{Engine: silent}).Able(t.Context()); err != nil || silent.dialled > 0 {
		t.Errorf("%v, asked %d times", err, silent.dialled)
	}
	// Engine 20.10.
	if err := (BuildKit{Engine: &served{api: "1.41"}}).Able(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "the engine is too old to build images of nodes: its API is 1.41, want 1.42 or newer") {
		t.Errorf("got %v", err)
	}
	// An engine without BuildKit.
	if err := (BuildKit{Engine: silent, Options: wanting}).Able(t.Context()); err == nil || !strings.Contains(err.Error(), "page not found") {
		t.Errorf("got %v", err)
	}
}
