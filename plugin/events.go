package plugin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/docker/cli/cli"

	"github.com/medianode/docker-medianode/runtime"
)

// Event is one line of "up --events": what a supervisor of the command wants to
// know. Fields that an event does not have are left out.
type Event struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"` // begin, state, warning, crash, lost, end

	Project  string          `json:"project,omitempty"`  // of begin
	Pipeline string          `json:"pipeline,omitempty"` // of begin
	PID      int             `json:"pid,omitempty"`      // of begin
	Node     string          `json:"node,omitempty"`     // of state
	State    string          `json:"state,omitempty"`    // of state: as runtime has them; of end: ended, failed
	Text     string          `json:"text,omitempty"`     // of warning; of end, if the command fails
	Crash    *runtime.Crash  `json:"crash,omitempty"`
	Lost     int             `json:"lost,omitempty"`      // of lost: events that nobody read in time
	ExitCode *int            `json:"exit_code,omitempty"` // of end
	Report   *runtime.Report `json:"report,omitempty"`    // of end, if the session has begun
}

// maxEvents is how many events wait for who reads them.
const maxEvents = 1000

// eventPatience is how long the end of the command waits for who reads events.
const eventPatience = 2 * time.Second

// events writes events from a goroutine of its own: who reads them slowly, or not
// at all, does not delay the session. A nil *events tells nobody.
type events struct {
	w      io.WriteCloser
	stdout bool
	bell   chan struct{}
	done   chan struct{}

	mu     sync.Mutex
	queue  []Event
	lost   int
	ended  bool
	report *runtime.Report
}

// openEvents begins to write to a file, which is made or appended to, or with "-"
// to out; nil for an empty path.
func openEvents(path string, out io.Writer) (*events, error) {
	if path == "" {
		return nil, nil
	}
	v := &events{bell: make(chan struct{}, 1), done: make(chan struct{}), stdout: path == "-"}
	if v.stdout {
		v.w = notClosed{out}
	} else {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return nil, exit(exitFailed, "--events: "+err.Error())
		}
		v.w = f
	}
	go v.write()
	return v, nil
}

type notClosed struct{ io.Writer }

func (notClosed) Close() error { return nil }

func (v *events) tell(e Event) {
	if v == nil {
		return
	}
	e.Time = time.Now()
	v.mu.Lock()
	if len(v.queue) >= maxEvents {
		v.queue, v.lost = v.queue[1:], v.lost+1
	}
	v.queue = append(v.queue, e)
	v.mu.Unlock()
	v.ring()
}

func (v *events) ring() {
	select {
	case v.bell <- struct{}{}:
	default:
	}
}

func (v *events) write() {
	defer close(v.done)
	encoder := json.NewEncoder(v.w)
	broken := false
	for range v.bell {
		v.mu.Lock()
		queue, ended := v.queue, v.ended
		if v.lost > 0 {
			queue = append([]Event{{Time: time.Now(), Event: "lost", Lost: v.lost}}, queue...)
		}
		v.queue, v.lost = nil, 0
		v.mu.Unlock()
		for _, e := range queue {
			broken = broken || encoder.Encode(e) != nil // whoever read it has gone
		}
		if ended {
			_ = v.w.Close() // nothing is to be done about it
			return
		}
	}
}

// end tells how the command ends, and waits a while for who reads.
func (v *events) end(err error) {
	if v == nil {
		return
	}
	code := exitCodeOf(err)
	last := Event{Event: "end", ExitCode: &code, Report: v.report, State: "ended"}
	if code != 0 {
		last.State = "failed"
	}
	if v.report != nil {
		last.State = v.report.State
	}
	if err != nil {
		last.Text = err.Error()
	}
	v.tell(last)
	v.mu.Lock()
	v.ended = true
	v.mu.Unlock()
	v.ring()
	select {
	case <-v.done:
	case <-time.After(eventPatience):
	}
}

// exitCodeOf is with what code the command ends by an error.
func exitCodeOf(err error) int {
	if err == nil {
		return 0
	}
	if status, ok := errors.AsType[cli.StatusError](err); ok {
		return status.StatusCode
	}
	return exitFailed
}

// hear lets the events of a session go where they are wanted: to the user, to
// whoever reads events, and deaths into the state directory.
func (e *env) hear(p *prepared, c *runtime.Config, o upOptions, note func(node, state string)) {
	warn := c.Warn
	c.Warn = func(text string) {
		warn(text)
		o.events.tell(Event{Event: "warning", Text: text})
	}
	c.Note = func(node, state string) {
		note(node, state)
		o.phases.note(node, state)
		o.events.tell(Event{Event: "state", Node: node, State: state})
	}
	c.Crashed = func(crash runtime.Crash) {
		kept, err := p.keepCrash(crash)
		if err != nil {
			fmt.Fprintln(e.cli.Err(), "warning: what is known of the death of", crash.Node, "cannot be kept:", err)
		}
		if err == nil && kept.First && kept.Restart == 0 {
			fmt.Fprintf(e.cli.Err(), "node %s has failed: docker medianode crash -p %s %s shows how\n", kept.Node, p.plan.Name, kept.ID)
		}
		o.events.tell(Event{Event: "crash", Crash: &kept})
	}
}
