package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// fakeSession is a session beside the first one of a process.
type fakeSession struct {
	name  string
	ports *node.Ports
	ctx   context.Context
	cut   context.CancelFunc
	once  sync.Once
}

func (p *fakeProcess) openMore(c channel.Command) {
	ports, err := node.Open(p.engine.transport, p.script.node, c.Session)
	if err != nil {
		p.say(channel.Status{Event: channel.EventError, Session: c.Session, Phase: "open", Message: err.Error(), GoesOn: true})
		p.say(channel.Status{Event: channel.EventClosed, Session: c.Session})
		return
	}
	s := &fakeSession{name: c.Session, ports: ports}
	s.ctx, s.cut = context.WithCancel(p.ctx)
	p.more.Store(c.Session, s)
	if p.script.opened != nil {
		p.script.opened <- c
	}
	p.say(channel.Status{Event: channel.EventReady, Session: c.Session})
}

func (p *fakeProcess) other(name string) *fakeSession {
	s, _ := p.more.Load(name)
	found, _ := s.(*fakeSession)
	return found
}

func (p *fakeProcess) workMore(s *fakeSession) {
	defer s.cut()
	s.ports.Begin()
	body, raises := p.script.body, p.script.raiseIn == s.name && p.script.raiseTimes.Add(-1) >= 0
	if raises && p.script.raiseAfter > 0 {
		body = forwardSome(p.script.raiseAfter)
	}
	err := body(s.ctx, s.ports)
	if raises {
		p.say(channel.Status{Event: channel.EventError, Session: s.name, Phase: "process", Message: "ValueError: no", GoesOn: true})
		err = errors.New("no")
	}
	if p.ctx.Err() != nil { // killed
		return
	}
	p.more.Delete(s.name)
	if err != nil && p.script.back {
		_ = s.ports.Abandon()
		p.say(channel.Status{Event: channel.EventClosed, Session: s.name})
		return
	}
	_ = s.ports.Close(p.ctx, err != nil)
	p.say(channel.Status{Event: channel.EventClosed, Session: s.name})
}

// forwardSome takes one frame more than it gives.
func forwardSome(n int) node.Builtin {
	return func(ctx context.Context, p *node.Ports) error {
		for i := 0; ; i++ {
			f, err := p.Receive(ctx)
			if err != nil || i == n {
				return err
			}
			err = p.Send(ctx, "output", *f.Header, f.Payload)
			f.Release()
			if err != nil {
				return err
			}
		}
	}
}

// fakeProcess speaks the control protocol as the SDK does.
type fakeProcess struct {
	*fakeContainer
	status  *channel.Publisher
	control *channel.Subscriber
	ports   atomic.Pointer[node.Ports]
	stop    chan struct{}
	once    sync.Once
	raised  atomic.Bool
	first   string
	working atomic.Bool // ports is set, and the body runs
	more    sync.Map    // *fakeSession by name, after the first
	states  sync.Map    // of all sessions, by name
}

func (p *fakeProcess) say(st channel.Status) {
	switch st.Event {
	case channel.EventReady:
		p.states.Store(st.Session, channel.SessionReady)
	case channel.EventError:
		if st.GoesOn {
			p.states.Store(st.Session, channel.SessionFailed)
		}
	case channel.EventClosed:
		if state, _ := p.states.Load(st.Session); state == channel.SessionFailed {
			break
		}
		p.states.Store(st.Session, channel.SessionClosed)
	}
	text, _ := json.Marshal(st)
	l, err := p.status.Loan(len(text))
	if err != nil {
		return
	}
	l.Header.Kind = channel.Control
	copy(l.Payload, text)
	_ = l.Send(p.ctx)
}

func (p *fakeProcess) run() int {
	for _, step := range []struct{ phase, event string }{
		{"hello", channel.EventHello}, {"import", channel.EventImported}, {"load", channel.EventLoaded},
	} {
		if p.script.raise == step.phase {
			return p.raise(step.phase)
		}
		if code, ends := p.at(step.phase); ends {
			return code
		}
		p.say(channel.Status{Event: step.event})
	}
	result := make(chan int, 1)
	exit := make(chan struct{})
	go p.obey(result, exit)
	select {
	case code := <-result:
		return code
	case <-exit:
	case <-p.term:
		if p.working.Load() {
			p.once.Do(func() { close(p.stop) })
			select {
			case code := <-result:
				return code
			case <-exit:
			case <-p.ctx.Done():
				return 137
			}
		}
		return 0
	case <-p.ctx.Done():
		return 137
	}
	if p.script.deaf {
		<-p.ctx.Done()
		return 137
	}
	p.say(channel.Status{Event: channel.EventBye, CPU: 1.5, MemoryPeak: 64 << 20})
	return p.exitCode()
}

func (p *fakeProcess) exitCode() int {
	switch {
	case p.script.die == "exit":
		return p.script.exit
	case p.raised.Load():
		return 1
	}
	return 0
}

func (p *fakeProcess) raise(phase string) int {
	p.raised.Store(true)
	p.say(channel.Status{Event: channel.EventError, Phase: phase, Message: "ValueError: no", Traceback: "Traceback…"})
	p.say(channel.Status{Event: channel.EventClosed})
	p.say(channel.Status{Event: channel.EventBye})
	return 1
}

// obey follows the commands until exit, or says how the process ends.
func (p *fakeProcess) obey(result chan<- int, exit chan<- struct{}) {
	for {
		sample, err := p.control.Receive(p.ctx)
		if err != nil {
			return
		}
		var c channel.Command
		_ = json.Unmarshal(sample.Payload, &c)
		_ = sample.Release()
		switch c.Command {
		case channel.CommandReport:
			states := map[string]string{}
			p.states.Range(func(name, state any) bool {
				states[name.(string)] = state.(string)
				return true
			})
			p.say(channel.Status{Event: channel.EventReport, Sessions: states})
		case channel.CommandOpen:
			if p.ports.Load() != nil {
				p.openMore(c)
				continue
			}
			p.first = c.Session
			ports, err := node.Open(p.engine.transport, p.script.node, c.Session)
			if err != nil {
				result <- 3
				return
			}
			p.ports.Store(ports)
			if code, ends := p.at("open"); ends {
				result <- code
				return
			}
			p.say(channel.Status{Event: channel.EventReady, Session: c.Session})
		case channel.CommandStart:
			p.states.Store(c.Session, channel.SessionRunning)
			if s := p.other(c.Session); s != nil {
				go s.once.Do(func() { p.workMore(s) })
				continue
			}
			p.working.Store(true)
			go p.work(c.Session, result)
		case channel.CommandClose:
			if s := p.other(c.Session); s != nil {
				s.cut()
				go s.once.Do(func() { p.workMore(s) })
			}
		case channel.CommandStop:
			if c.Session != p.first {
				continue // the input of a filter ends by itself
			}
			p.once.Do(func() { close(p.stop) })
		case channel.CommandExit:
			close(exit)
			return
		}
	}
}

func (p *fakeProcess) work(session string, result chan<- int) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	if len(p.script.node.Inputs) == 0 {
		go func() {
			select {
			case <-p.stop:
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	ports := p.ports.Load()
	if code, ends := p.at("process"); ends {
		_ = ports.Abandon()
		result <- code
		return
	}
	ports.Begin()
	err := p.script.body(ctx, ports)
	if p.script.raise == "process" {
		err = errors.New("no")
	}
	switch {
	case p.ctx.Err() != nil: // killed
		return
	case err != nil && ctx.Err() == nil && p.script.back:
		_ = ports.Abandon()
		result <- p.raise("process")
		return
	case err != nil && ctx.Err() == nil:
		_ = ports.Close(p.ctx, true)
		result <- p.raise("process")
		return
	}
	_ = ports.Close(p.ctx, false)
	if p.script.mute {
		result <- 0
		return
	}
	p.say(channel.Status{Event: channel.EventClosed, Session: session, Unread: ports.Unread()})
}
