package runtime

import (
	"context"
	"strings"
	"testing"
	"time"
)

// shy refuses so many questions before it answers.
type shy struct {
	*fakeEngine
	refusals int
}

func (e *shy) Containers(context.Context, string) ([]Container, error) {
	if e.refusals > 0 {
		e.refusals--
		return nil, errInjected
	}
	return nil, nil
}

// An engine whose events come again, and that refuses the first question, is asked
// again: a death of meanwhile would not be heard of, and it would stay lost.
func TestFoundEngineRefusesAtFirst(t *testing.T) {
	r := newRig(t, 0)
	engine := &shy{r.engine, 2}
	r.config.Engine = engine
	s, err := newSession(t.Context(), r.config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stopLife()
	s.lostSince = time.Now()
	s.group.Go(func() { s.foundEngine(s.life) })
	select {
	case f := <-s.inbox:
		f()
	case <-time.After(5 * time.Second):
		t.Fatal("it is not asked again")
	}
	s.group.Wait()
	if !s.lostSince.IsZero() || !strings.HasPrefix(strings.Join(s.warnings, ""), "the engine answers again") || engine.refusals != 0 {
		t.Errorf("lost since %s, %q, %d refusals to come", s.lostSince, s.warnings, engine.refusals)
	}
	stream, lost := context.WithCancel(s.life)
	lost()
	engine.refusals = 1
	s.foundEngine(stream) // returns: the next stream's asks
}
