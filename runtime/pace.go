package runtime

import (
	"context"
	"io"
	"time"
)

// What is read of a node's log while it runs, in bytes with the engine's times. To
// read a flood as fast as it comes takes a core from the frames: the engine unpacks
// it, this process takes it apart, and nobody can read it.
const (
	logRate  = 2 << 20 // a second
	logBurst = 4 << 20 // beyond it
	// logNap is the shortest pause, so that a flood is not a thousand small sleeps.
	logNap = 20 * time.Millisecond
	// lastLines are read where a flood is not read to its end.
	lastLines = "1000"
)

const (
	// flooded is what is said of a node whose log is read slower than it comes.
	flooded = "writes more to its log than the 2 MiB/s that are read of it: lines come late, or are left out"
	leftOut = "medianode: here lines are left out, which came too fast"
)

// pace bounds how fast the streams of a log are read. While it waits the engine
// waits with it, and writes the log on: what has left the engine's files meanwhile
// is not seen. When the node has ended the rest is given up, for its last lines
// alone: they say why.
type pace struct {
	ctx   context.Context
	ended <-chan struct{} // the node's process
	giveUp,
	tell func() // each at most once; tell when it waits for the first time

	left  float64 // bytes; below 0: to be waited for
	at    time.Time
	told  bool
	given bool // up
}

func newPace(ctx context.Context, ended <-chan struct{}, giveUp func()) *pace {
	return &pace{ctx: ctx, ended: ended, giveUp: giveUp, left: logBurst, at: time.Now()}
}

// of is a stream of the log; a log's streams are written to one at a time.
func (p *pace) of(w io.Writer) io.Writer { return paced{p, w} }

type paced struct {
	*pace
	to io.Writer
}

// Write waits, and writes.
func (p paced) Write(b []byte) (int, error) {
	if !p.given {
		p.take(len(b))
	}
	if p.given {
		return 0, context.Canceled
	}
	return p.to.Write(b)
}

func (p *pace) take(n int) {
	now := time.Now()
	p.left = min(p.left+now.Sub(p.at).Seconds()*logRate, logBurst) - float64(n)
	p.at = now
	if p.left >= 0 {
		return
	}
	nap := time.NewTimer(max(logNap, time.Duration(-p.left/logRate*float64(time.Second))))
	defer nap.Stop()
	select {
	case <-p.ended:
	default:
		if !p.told {
			p.told = true
			p.tell()
		}
	}
	select {
	case <-nap.C:
	case <-p.ctx.Done():
	case <-p.ended:
		p.given = true
		p.giveUp()
	}
}
