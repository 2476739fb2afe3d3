package plugin

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/medianode/docker-medianode/runtime"
)

// What is added to what a node was seen to use: samples miss what is short, and
// the next input is another one.
const measureReserve = 1.25

// widen takes the limits off, so that what each node needs can be seen: memory is
// then the share of the engine's that a node gets which names no limit.
func (e *env) widen(s *source) {
	if !e.wide {
		return
	}
	for _, n := range s.spec.Nodes {
		if n.Docker != nil {
			n.Docker.Limits.MemoryMB.V, n.Docker.Limits.CPUCores.V = 0, 0
		}
	}
}

// notRunning refuses to measure containers that have limits already.
func (e *env) notRunning(p *prepared) error {
	running, ok := errors.AsType[*runtime.RunningError](runtime.Running(p.plan.UID, p.plan.Name))
	if !e.wide || !ok {
		return nil
	}
	running.Reason = "its limits cannot be changed now: measure when it has ended"
	return running
}

// measured writes what each container needed, as lines to put into the pipeline file.
func measured(w io.Writer, r runtime.Report) error {
	text := fmt.Sprintf("\n# measured in %.1f s without limits; a quarter is added to what was seen\nnodes:\n", r.RunS)
	some := false
	for _, n := range r.Nodes {
		if !n.Container {
			continue
		}
		some = true
		if n.Usage == nil {
			text += fmt.Sprintf("  # %s: a finished image, which takes no samples: see docker medianode stats while it runs\n", n.Node)
			continue
		}
		text += fmt.Sprintf("  - id: %s    # %s\n    docker: {resource_limits: {memory_mb: %d, cpu_cores: %s}}\n",
			n.Node, seen(n), neededMB(n.Usage), neededCores(n.Usage, r.RunS))
	}
	if !some {
		return nil
	}
	_, err := io.WriteString(w, text)
	return err
}

func seen(n runtime.NodeReport) string {
	u := n.Usage
	text := "at most " + runtime.Size(most(u))
	if u.Frames > 0 {
		text += ", " + runtime.Size(u.Frames) + " of it frames"
	}
	if u.Files > 0 {
		text += ", " + runtime.Size(u.Files) + " of it files in /tmp"
	}
	// In all, and not on average: the start is in it, and not in the run.
	text += fmt.Sprintf("; %.1f s of CPU", u.CPUS)
	if u.CPUMost > 0 {
		text += fmt.Sprintf(", %.2f in the busiest second", u.CPUMost)
	}
	if n.Restarts > 0 {
		text += fmt.Sprintf("; restarted %d times: only the last process is counted", n.Restarts)
	}
	return text
}

// most is the largest use: of the container in samples, or of the process as the
// kernel noted it, which misses nothing that is short. The container's own peak
// would have the cache of files in it.
func most(u *runtime.Usage) uint64 { return max(u.MemoryMost, u.RSSPeak) }

// neededMB is memory_mb for what was seen.
func neededMB(u *runtime.Usage) uint64 {
	const step = 64 << 20
	return max(128, uint64(math.Ceil(float64(most(u))*measureReserve/step))*64)
}

// neededCores is cpu_cores, in tenths.
func neededCores(u *runtime.Usage, run float64) string {
	cores := u.CPUMost
	if cores == 0 && run > 0 { // it was shorter than a second
		cores = min(1, u.CPUS/run)
	}
	return fmt.Sprintf("%.1f", max(0.1, math.Ceil(cores*measureReserve*10)/10))
}
