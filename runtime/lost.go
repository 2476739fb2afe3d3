package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// An engine may be away for a while: stopped, frozen, or just being started
// again. Frames flow without it, and who lives is told by shared memory. What
// only the engine can do waits for it, for so long.
const (
	lookTimeout = 5 * time.Second  // one look while the session runs
	removeGrace = 10 * time.Second // to remove the project at the session's end
	engineGrace = time.Minute      // to start a node again, or to send it a signal
)

// errTakenForAlive is an engine that does not start a node because it takes its
// dead process for a running one.
var errTakenForAlive = errors.New("the engine takes the process that has died for a running one; docker has to be restarted if it stays so")

// unanswered says whether a call failed because the engine is away, in whole or
// in part, and not by its answer.
func unanswered(err error) bool {
	return err != nil && (errors.Is(err, context.DeadlineExceeded) || client.IsErrConnectionFailed(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, new(*net.OpError)) || isDisabled(err))
}

// isDisabled says whether an engine answers that it can start and stop nothing
// now: its containerd is away. With its older image store it has no code for
// that, and the words of its gRPC client tell.
func isDisabled(err error) bool {
	return err != nil && (errors.Is(err, errTakenForAlive) || errdefs.IsUnavailable(err) ||
		strings.Contains(err.Error(), `connection error: desc = "`) || strings.Contains(err.Error(), "error reading from server: "))
}

// untilAnswered calls until the engine answers, each time with a deadline.
func untilAnswered(ctx context.Context, grace time.Duration, call func(context.Context) error) error {
	for end := time.Now().Add(grace); ; {
		once, cancel := context.WithTimeout(ctx, min(callTimeout, grace))
		err := call(once)
		cancel()
		if !unanswered(err) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		pause(ctx, lookEvery)
	}
}

// removeProject takes the project out of the engine. One that is just being
// started again gets the time for it; from one that is away the rest is left.
func (s *Session) removeProject(ctx context.Context) error {
	err := untilAnswered(ctx, removeGrace, s.c.Engine.Ping)
	if errors.Is(err, context.DeadlineExceeded) { // whose text names a request
		return fmt.Errorf("the engine has not answered for %s", removeGrace)
	}
	if unanswered(err) {
		return err
	}
	return s.c.Engine.Down(ctx, s.c.Project, 0)
}

// lostEngine is told once until it answers again: data flows without it.
func (s *Session) lostEngine(err error) {
	if !s.lostSince.IsZero() {
		return
	}
	s.lostSince = time.Now()
	text := "the engine's events ended; deaths of containers are noticed later"
	if err != nil && !unanswered(err) {
		text += ": " + err.Error()
	}
	s.warn(text)
}

// foundEngine looks for what has happened while nobody listened: an engine that
// was started anew knows no events from before, and may refuse the first
// questions. Nothing else tells of such a death, so it asks until it knows, or
// until ctx, that of the stream of events, ends: then it is lost again.
func (s *Session) foundEngine(ctx context.Context) {
	for wait := firstDelay; s.lookAround(ctx) != nil; wait = min(2*wait, lastDelay) {
		if pause(ctx, wait); ctx.Err() != nil {
			return
		}
	}
	s.post(func() {
		if ctx.Err() != nil {
			return
		}
		if !s.lostSince.IsZero() && s.over.IsZero() {
			s.warn(fmt.Sprintf("the engine answers again after %s", time.Since(s.lostSince).Round(lookEvery)))
		}
		s.lostSince = time.Time{}
	})
}
