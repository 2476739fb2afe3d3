package plugin

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime"
)

// patience is how long a start may take before it says what it waits for.
const patience = 3 * time.Second

// waiting tells, while nodes start slowly, which they are and how far each is:
// a model of some gigabytes takes its time, and silence looks like a fault.
type waiting struct {
	mu     sync.Mutex
	states map[string]string
	order  []string
	timer  *time.Ticker
	done   chan struct{}
	once   sync.Once
}

func newWaiting(w io.Writer) *waiting {
	s := &waiting{states: map[string]string{}, timer: time.NewTicker(patience), done: make(chan struct{})}
	go func() {
		for {
			select {
			case <-s.timer.C:
				if line := s.line(); line != "" {
					fmt.Fprintln(w, line)
				}
			case <-s.done:
				return
			}
		}
	}()
	return s
}

// note keeps a node's new state.
func (s *waiting) note(node, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.states[node]; !ok {
		s.order = append(s.order, node)
	}
	s.states[node] = state
}

// line names the nodes that are not ready yet.
func (s *waiting) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var late []string
	for _, node := range s.order {
		state := s.states[node]
		if slices.Contains([]string{runtime.StateCreated, runtime.StateStarting, runtime.StateLoading, runtime.StateOpening}, state) {
			late = append(late, node+" is "+state)
		}
	}
	if len(late) == 0 {
		return ""
	}
	return "waiting: " + strings.Join(late, ", ")
}

// close ends it, when all nodes run or the start has failed.
func (s *waiting) close() {
	s.once.Do(func() {
		s.timer.Stop()
		close(s.done)
	})
}
