package builtin

import (
	"context"
	"time"
)

// pace holds a source to real time. Each frame is due at its own presentation
// time after the start, so that delays do not add up; a source that was held
// up by its readers catches up.
type pace struct{ start time.Time }

// newPace is a pace that starts now; one that is off never waits.
func newPace(on bool) pace {
	if !on {
		return pace{}
	}
	return pace{start: time.Now()}
}

// wait returns when the frame is due, or with ctx's error.
func (p pace) wait(ctx context.Context, pts int64) error {
	if p.start.IsZero() {
		return ctx.Err()
	}
	return sleep(ctx, time.Until(p.start.Add(time.Duration(pts))))
}

// sleep waits; none of it if there is nothing to wait for.
func sleep(ctx context.Context, left time.Duration) error {
	if left <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
