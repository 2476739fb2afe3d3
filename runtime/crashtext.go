package runtime

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
)

// Text writes the crash for people: one screen.
func (c Crash) Text(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s: %s\n", c.Node, c.Cause)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-8s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("when", "%s, %s after its start", c.Time.Local().Format("2006-01-02 15:04:05.000"), seconds(c.LivedS))
	where := fmt.Sprintf("container %s, session %s", c.container(), c.Session)
	if c.Source != "" {
		where = c.Source + ", " + where
	}
	row("where", "%s", where)
	if c.GoesOn {
		row("exit", "none: %s", c.Exit)
	} else {
		row("exit", "code %d: %s", c.ExitCode, c.Exit)
	}
	switch {
	case c.Follows != "":
		row("order", "followed from %s", c.Follows)
	case c.Restart > 0:
		row("order", "nothing had failed before; started again, restart %d", c.Restart)
	default:
		row("order", "the first failure: what failed after it followed from it")
	}
	if c.Phase != "" {
		text := c.Phase
		if c.Sequence != nil {
			text += fmt.Sprintf(", with frame %d of %s", *c.Sequence, c.Port)
		}
		row("in", "%s", text)
	}
	c.usage(row)
	for _, p := range c.Ports {
		if p.Session != "" && p.Session != c.Session {
			continue // one screen: --format json has those of the others
		}
		row(map[string]string{"in": "input", "out": "output"}[p.Direction], "%s", p.text())
	}
	if c.Advice != "" && !strings.Contains(c.Cause, c.Advice) {
		row("advice", "%s", c.Advice)
	}
	c.lines(b, "traceback", strings.Split(strings.TrimRight(c.Traceback, "\n"), "\n"))
	c.lines(b, "log, its last lines", c.Log)
	return b.Flush()
}

// container is its name, or what of its id docker shows.
func (c Crash) container() string {
	const id, short = 64, 12
	if len(c.Container) == id {
		return c.Container[:short]
	}
	return c.Container
}

func (c Crash) usage(row func(name, format string, args ...any)) {
	u := c.Usage
	if u == nil {
		return
	}
	age := ""
	if d := c.Time.Sub(u.Time); d > 0 && d < time.Hour {
		age = fmt.Sprintf(", %s before", d.Round(time.Millisecond))
	}
	memory := u.words()
	if u.MemoryMost > u.Memory {
		memory += ", at most " + size(u.MemoryMost) + " before"
	}
	row("memory", "%s (a sample%s)", memory, age)
	cpu := seconds(u.CPUS)
	if u.CPUMost > 0 { // it lived longer than a second
		cpu += fmt.Sprintf(", at most %.2f cores", u.CPUMost)
	}
	if u.Throttled > 0 {
		cpu += fmt.Sprintf("; held back by its limit in %.0f %% of the periods", 100*u.Throttled)
	}
	row("cpu", "%s", cpu)
}

func (p CrashPort) text() string {
	verb, last := "took", "nothing yet"
	if p.Direction == "out" {
		verb = "sent"
	}
	if p.Last != nil {
		last = fmt.Sprintf("frame %d", *p.Last)
	}
	text := p.Port
	if p.Peer != "" {
		text += " ← " + p.Peer
	}
	text += fmt.Sprintf(": last %s %s", verb, last)
	if p.Waiting > 0 {
		text += fmt.Sprintf(", %d wait", p.Waiting)
	}
	if p.Dropped > 0 {
		text += fmt.Sprintf(", %d dropped", p.Dropped)
	}
	return text
}

// lines are shown whole: they are bounded where they come from.
func (c Crash) lines(w io.Writer, title string, lines []string) {
	if len(lines) == 0 || len(lines) == 1 && lines[0] == "" {
		return
	}
	fmt.Fprintf(w, "  %s:\n", title)
	for _, line := range lines {
		fmt.Fprintf(w, "    %s\n", escape([]byte(line)))
	}
}
