package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/medianode/docker-medianode/plugin/metrics"
	"github.com/medianode/docker-medianode/runtime"
)

// exposeFlag adds --metrics.
func exposeFlag(flags *pflag.FlagSet, address *string) {
	flags.StringVar(address, "metrics", "", "Serve figures for Prometheus at a port of this machine, or at ADDRESS:PORT")
}

// heirPatience is how long a supervisor waits for the address, which the one before
// may have just had.
const heirPatience = 5 * time.Second

// exposure serves a project's figures while this process supervises it: one that
// has joined would only show the same again, and keeps the address for the time when
// it takes over. A nil *exposure serves nothing.
type exposure struct {
	address string
	look    func() runtime.Totals
	project string
	out     io.Writer

	mu     sync.Mutex
	server *metrics.Server
	closed bool
}

// exposeAt is the exposure of a prepared pipeline; nil without an address.
func (e *env) exposeAt(address string, p *prepared) (*exposure, error) {
	if address == "" {
		return nil, nil
	}
	full, err := metrics.Address(address)
	if err != nil {
		return nil, exit(exitUsage, fmt.Sprintf("--metrics %s: %v", address, err))
	}
	r, err := p.running()
	if err != nil {
		return nil, err
	}
	engine, err := runtime.NewEngine(e.cli, nil) // asked only for finished images
	if err != nil {
		return nil, err
	}
	g := r.graph(p.plan.Name)
	return &exposure{
		address: full, project: p.plan.Name, out: e.cli.Err(),
		look: func() runtime.Totals { return runtime.Look(context.Background(), engine, g) },
	}, nil
}

// running is what readRunning will find once the plan is written.
func (p *prepared) running() (running, error) {
	files, err := p.plan.Files()
	if err != nil {
		return running{}, err
	}
	for _, f := range files {
		if f.Path == "compose.yaml" {
			return parseRunning(filepath.Join(p.state, f.Path), f.Data)
		}
	}
	return running{}, errors.New("the plan has no compose file")
}

// check refuses an address that somebody has, before anything is built. It is given
// back: which of several commands that build will supervise is not known yet.
func (x *exposure) check() error {
	if x == nil {
		return nil
	}
	server, err := x.listen()
	if err != nil {
		return err
	}
	_ = server.Close() // of a listener: there is nothing to be done about it
	return nil
}

func (x *exposure) listen() (*metrics.Server, error) {
	server, err := metrics.Listen(x.address, metrics.NewCollector(x.project, x.look))
	if errors.Is(err, syscall.EADDRINUSE) {
		err = errors.New("the address is in use: choose another port, or 0 for a free one")
	}
	if err != nil {
		return nil, fmt.Errorf("--metrics %s: %w", x.address, err)
	}
	return server, nil
}

// open listens unless it is closed, and says where.
func (x *exposure) open() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil
	}
	server, err := x.listen()
	if err != nil {
		return err
	}
	x.server = server
	fmt.Fprintln(x.out, "metrics:", server.URL())
	return nil
}

// supervises is called when this process begins to supervise the project. Where it
// has taken over, the address may be free a moment later only.
func (x *exposure) supervises() {
	if x == nil {
		return
	}
	go func() {
		for end := time.Now().Add(heirPatience); ; time.Sleep(100 * time.Millisecond) {
			err := x.open()
			if err == nil {
				return
			}
			if time.Now().After(end) {
				fmt.Fprintln(x.out, "warning: no figures are served:", err)
				return
			}
		}
	}()
}

func (x *exposure) close() {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	if x.server != nil {
		_ = x.server.Close()
		x.server = nil
	}
}
