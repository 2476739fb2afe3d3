package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/containerd/errdefs"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

var errInjected = errors.New("injected")

// fakeEngine is an engine whose containers are goroutines that speak the
// control protocol over a Memory transport. Its failAt'th call fails.
type fakeEngine struct {
	transport *channel.Memory
	nodes     map[string]*script

	mu         sync.Mutex
	calls      []string
	failAt     int // counts from 1
	containers map[string]*fakeContainer
	volumes    int
	listeners  map[chan Event]struct{}
	foreign    []Container
	owned      []Owned // and what is not removed of it
	info       Info
	sees       bool
	blind      bool          // no events
	startFails int           // so many restarts fail
	startError error         // by this; nil: errInjected
	deafKills  int           // so many SIGKILLs do nothing
	logsCut    int           // so many logs end with an error after their first line
	apart      bool          // the lines of a log have times of their own
	away       atomic.Bool   // answers nothing
	lag        time.Duration // between the start of the containers and the end of Up
	ahead      time.Duration // of its clock
}

// script is what a container does.
type script struct {
	node   channel.Node
	body   node.Builtin
	logs   []string
	raise  string        // phase in which an exception happens
	die    string        // phase in which the process is gone
	hang   string        // phase that never ends
	exit   int           // code of die
	oom    bool          // with die
	deaf   bool          // ignores TERM, and exit
	mute   bool          // ends well, and does not say that it has closed
	back   bool          // knows that it is started again
	again  *script       // what it does then; nil: the same
	wait   chan struct{} // before the phase die
	slow   time.Duration // from the last word to the end of the process
	memory int64
	image  string // its id

	raiseIn    string               // a session beside the first one in which an exception happens
	raiseTimes *atomic.Int64        // how often
	raiseAfter int                  // frames; 0: at the end of its input
	opened     chan channel.Command // of sessions beside the first one; nil: not told
}

type fakeContainer struct {
	Container
	script *script
	engine *fakeEngine
	ctx    context.Context
	kill   context.CancelFunc
	term   chan struct{}
	once   sync.Once
	done   chan struct{}
}

func newFake(nodes map[string]*script) *fakeEngine {
	return &fakeEngine{
		transport: channel.NewMemory(), nodes: nodes, sees: true,
		containers: map[string]*fakeContainer{}, listeners: map[chan Event]struct{}{},
	}
}

// call counts a call; every one has a deadline, except streams.
func (f *fakeEngine) call(ctx context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	if _, ok := ctx.Deadline(); !ok && name != "logs" && name != "events" {
		return fmt.Errorf("%s without a deadline", name)
	}
	if f.away.Load() || f.failAt == len(f.calls) {
		return fmt.Errorf("%s: %w", name, errInjected)
	}
	return nil
}

func (f *fakeEngine) Ping(ctx context.Context) error { return f.call(ctx, "ping") }

func (f *fakeEngine) LoadProject(ctx context.Context, _, project string) (*types.Project, error) {
	return &types.Project{Name: project}, f.call(ctx, "load")
}

func (f *fakeEngine) Up(ctx context.Context, p *types.Project, made func([]Container) error) error {
	f.mu.Lock()
	f.volumes = 2
	f.mu.Unlock()
	var created []Container
	for service, s := range f.nodes {
		created = append(created, Container{Service: service, Image: "medianode/" + service, ImageID: s.image})
	}
	if err := made(created); err != nil {
		return err
	}
	for service, s := range f.nodes {
		if err := f.call(ctx, "up"); err != nil {
			return err
		}
		f.launch(service, s)
	}
	time.Sleep(f.lag)
	return f.call(ctx, "up")
}

// Start runs the script again.
func (f *fakeEngine) Start(ctx context.Context, id string) error {
	if err := f.call(ctx, "start"); err != nil {
		return err
	}
	f.mu.Lock()
	c := f.containers[id]
	fails := f.startFails > 0
	f.startFails--
	f.mu.Unlock()
	if fails {
		return cmp.Or[error](f.startError, errInjected)
	}
	if c == nil || c.isUp() {
		return errors.New("no such container, or it runs")
	}
	next := c.script
	if next.again != nil {
		next = next.again
	}
	f.launch(c.Service, next)
	return nil
}

func (f *fakeEngine) launch(service string, s *script) {
	c := &fakeContainer{
		Container: Container{ID: "id-" + service, Service: service, State: "running", Started: f.now(), Memory: s.memory},
		script:    s, engine: f, term: make(chan struct{}), done: make(chan struct{}),
	}
	c.ctx, c.kill = context.WithCancel(context.Background())
	f.mu.Lock()
	f.containers[c.ID] = c
	f.mu.Unlock()
	f.emit(Event{Time: f.now(), Container: c.ID, Service: service, Action: "start"})
	go c.main()
}

// now is what the engine's clock says.
func (f *fakeEngine) now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Add(f.ahead).Round(0)
}

func (f *fakeEngine) emit(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.listeners {
		l <- e
	}
}

func (f *fakeEngine) Down(ctx context.Context, _ string, _ time.Duration) error {
	if err := f.call(ctx, "down"); err != nil {
		return err
	}
	f.clear()
	return nil
}

func (f *fakeEngine) clear() {
	f.mu.Lock()
	all := f.containers
	f.containers, f.volumes = map[string]*fakeContainer{}, 0
	f.mu.Unlock()
	for _, c := range all {
		c.kill()
		<-c.done
	}
}

func (f *fakeEngine) Containers(ctx context.Context, _ string) ([]Container, error) {
	err := f.call(ctx, "containers")
	f.mu.Lock()
	defer f.mu.Unlock()
	list := append([]Container(nil), f.foreign...)
	for _, c := range f.containers {
		list = append(list, c.Container)
	}
	return list, err
}

func (f *fakeEngine) Inspect(ctx context.Context, id string) (Container, error) {
	err := f.call(ctx, "inspect")
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.containers[id]; c != nil {
		return c.Container, err
	}
	return Container{}, fmt.Errorf("no such container: %w", errdefs.ErrNotFound)
}

func (f *fakeEngine) Kill(ctx context.Context, id, signal string) error {
	if err := f.call(ctx, "kill"); err != nil {
		return err
	}
	f.mu.Lock()
	c := f.containers[id]
	deaf := signal == "SIGKILL" && f.deafKills > 0
	if deaf {
		f.deafKills--
	}
	f.mu.Unlock()
	switch {
	case c == nil, deaf:
	case signal == "SIGKILL":
		c.kill()
	case !c.script.deaf:
		c.once.Do(func() { close(c.term) })
	}
	return nil
}

func (f *fakeEngine) Logs(ctx context.Context, id string, _ LogOptions, stdout, stderr io.Writer) error {
	if err := f.call(ctx, "logs"); err != nil {
		return err
	}
	f.mu.Lock()
	c := f.containers[id]
	cut := f.logsCut > 0 && len(c.script.logs) > 0
	if cut {
		f.logsCut--
	}
	f.mu.Unlock()
	for i, line := range c.script.logs {
		at := 6
		if f.apart {
			at += i
		}
		fmt.Fprintf(stdout, "2026-01-02T03:04:05.%09dZ %s\n", at, line)
		if cut {
			fmt.Fprint(stdout, "2026-01-02T03:04:05.9Z half a li")
			return io.ErrUnexpectedEOF
		}
	}
	select {
	case <-c.done:
		fmt.Fprint(stderr, "2026-01-02T03:04:06Z last words")
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (f *fakeEngine) Events(ctx context.Context, q EventQuery) error {
	if err := f.call(ctx, "events"); err != nil {
		return err
	}
	mine := make(chan Event, 100)
	f.mu.Lock()
	if !f.blind {
		f.listeners[mine] = struct{}{}
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, mine)
	}()
	q.Listening()
	for {
		select {
		case e := <-mine:
			q.Each(e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *fakeEngine) Info(ctx context.Context) (Info, error) { return f.info, f.call(ctx, "info") }

func (f *fakeEngine) Usage(ctx context.Context, _ string) (*Usage, error) {
	if err := f.call(ctx, "usage"); err != nil {
		return nil, err
	}
	return &Usage{Time: time.Now(), Memory: 1 << 20}, nil
}

func (f *fakeEngine) Owned(ctx context.Context, _ int) ([]Owned, error) {
	err := f.call(ctx, "owned")
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return slices.Clone(f.owned), nil
}

func (f *fakeEngine) Remove(ctx context.Context, o Owned) error {
	err := f.call(ctx, "remove")
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.owned = slices.DeleteFunc(f.owned, func(have Owned) bool { return have.ID == o.ID })
	}
	return err
}

func (f *fakeEngine) Sees(ctx context.Context, _, _ string) (bool, error) {
	return f.sees, f.call(ctx, "sees")
}

// main is the container's process.
func (c *fakeContainer) main() {
	code := c.process()
	select {
	case <-time.After(c.script.slow):
	case <-c.ctx.Done():
	}
	c.engine.mu.Lock()
	c.State, c.ExitCode, c.OOMKilled = "exited", code, c.script.oom && code == 137
	c.engine.mu.Unlock()
	close(c.done)
	c.engine.emit(Event{Time: c.engine.now(), Container: c.ID, Service: c.Service, Action: "die", ExitCode: code})
}

// at is a point where the script may do something else than go on.
func (c *fakeContainer) at(phase string) (code int, ends bool) {
	s := c.script
	if s.die == phase {
		if s.wait != nil {
			<-s.wait
		}
		return s.exit, true
	}
	if s.hang == phase {
		select {
		case <-c.ctx.Done():
			return 137, true
		case <-c.term:
			return 143, true
		}
	}
	return 0, false
}

func (c *fakeContainer) process() int {
	if code, ends := c.at("start"); ends {
		return code
	}
	if c.script.node.Control == nil { // a finished image
		select {
		case <-c.ctx.Done():
			return 137
		case <-c.term:
			return 143
		}
	}
	status, err := channel.NewPublisher(c.engine.transport, *c.script.node.Status)
	if err != nil {
		return 1
	}
	defer status.Close()
	control, err := channel.NewSubscriber(c.engine.transport, *c.script.node.Control, 0)
	if err != nil {
		return 1
	}
	defer control.Close()
	p := &fakeProcess{fakeContainer: c, status: status, control: control, stop: make(chan struct{})}
	code := p.run()
	if ports := p.ports.Load(); ports != nil {
		_ = ports.Abandon() // unless it has ended well
	}
	p.more.Range(func(_, s any) bool {
		_ = s.(*fakeSession).ports.Abandon()
		return true
	})
	return code
}
