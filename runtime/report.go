package runtime

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// Report is the account of a session.
type Report struct {
	Project     string             `json:"project"`
	Session     string             `json:"session"`
	State       string             `json:"state"` // starting, running, stopping, ended, failed
	Started     time.Time          `json:"started"`
	StartupS    float64            `json:"startup_s"` // until every node was ready
	RunS        float64            `json:"run_s"`     // from then to the end
	Error       *NodeError         `json:"error,omitempty"`
	Message     string             `json:"message,omitempty"` // of an error that is no node's
	Warnings    []string           `json:"warnings,omitempty"`
	DeadLetters string             `json:"dead_letters,omitempty"` // the file, if frames were given up
	Nodes       []NodeReport       `json:"nodes"`
	Connections []ConnectionReport `json:"connections"`
}

// NodeReport is the account of one node.
type NodeReport struct {
	Node       string            `json:"node"`
	Container  bool              `json:"container"`
	State      string            `json:"state"`
	ExitCode   *int              `json:"exit_code,omitempty"`
	OOM        bool              `json:"oom,omitempty"`
	Forced     bool              `json:"forced,omitempty"` // had to be killed
	Restarts   int               `json:"restarts,omitempty"`
	CPUS       float64           `json:"cpu_s,omitempty"`
	MemoryPeak uint64            `json:"memory_peak,omitempty"` // bytes
	Usage      *Usage            `json:"usage,omitempty"`       // the last sample of its container
	Unread     map[string]uint64 `json:"unread,omitempty"`      // frames sent to ports that nothing reads
	Files      []node.File       `json:"files,omitempty"`
	Metrics    []channel.Metric  `json:"metrics,omitempty"` // the node's own, as it last told them
}

// ConnectionReport is the account of one connection.
type ConnectionReport struct {
	From    string `json:"from"` // node.port
	To      string `json:"to"`
	Frames  uint64 `json:"frames"` // received
	Bytes   uint64 `json:"bytes"`
	Dropped uint64 `json:"dropped"`
	// Unfinished are received frames that a process had in its hands when it
	// died, and that did not come again.
	Unfinished uint64 `json:"unfinished,omitempty"`
	// GivenUp are dropped frames that a process has died with too often to be given
	// them again.
	GivenUp  uint64  `json:"given_up,omitempty"`
	Rate     float64 `json:"rate"` // frames a second while the session ran
	P50      uint64  `json:"latency_p50_ns"`
	P99      uint64  `json:"latency_p99_ns"`
	BlockedS float64 `json:"blocked_s"` // that the producer waited for room
}

// connections is the account of every connection that enters n. In a session that
// was cut off, what waited for a reader then is lost.
func connections(n channel.Node, ledger func(channel.Spec) *channel.Ledger, run time.Duration, cutOff bool) []ConnectionReport {
	var reports []ConnectionReport
	for _, in := range n.Inputs {
		r := ConnectionReport{From: in.Source + "." + in.SourcePort, To: n.ID + "." + in.Port}
		if l := ledger(in.Channel); l != nil && in.Slot < l.Slots() {
			s := l.Slot(in.Slot)
			r.Frames, r.Bytes = s.Received().Load(), s.Bytes().Load()
			r.Dropped, r.Unfinished, r.GivenUp = s.Dropped().Load(), s.Unfinished().Load(), s.GivenUp().Load()
			if cutOff {
				r.Dropped += s.Missing()
			}
			r.P50, r.P99 = s.Latency(0.5), s.Latency(0.99)
			r.BlockedS = time.Duration(l.Blocked().Load()).Seconds()
			if run > 0 {
				r.Rate = float64(r.Frames) / run.Seconds()
			}
		}
		reports = append(reports, r)
	}
	return reports
}

// Text writes the report for people.
func (r Report) Text(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s: %s after %s (%s to start)\n", r.Project, r.State, seconds(r.RunS), seconds(r.StartupS))
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	if len(r.Connections) > 0 {
		fmt.Fprintln(t, "\nCONNECTION\tFRAMES\tBYTES\tDROPPED\tRATE\tP50\tP99")
	}
	for _, c := range r.Connections {
		fmt.Fprintf(t, "%s → %s\t%d\t%s\t%d\t%.1f/s\t%s\t%s\n",
			c.From, c.To, c.Frames, size(c.Bytes), c.Dropped, c.Rate, latency(c.P50), latency(c.P99))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "\nNODE\tSTATE\tEXIT\tCPU\tMEMORY")
	for _, n := range r.Nodes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", n.Node, n.State, n.exit(), n.cpu(), n.memory())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	r.metrics(t)
	if err := t.Flush(); err != nil {
		return err
	}
	for _, line := range r.notes() {
		fmt.Fprintln(b, line)
	}
	return b.Flush()
}

// metrics is the table of the nodes' own numbers, if there are any.
func (r Report) metrics(w io.Writer) {
	head := "\nMETRIC\tKIND\tVALUE\n"
	for _, n := range r.Nodes {
		for _, m := range n.Metrics {
			value := fmt.Sprintf("%.6g", m.Value)
			if m.Kind == "histogram" {
				value = fmt.Sprintf("%d values, p50 %.4g, p99 %.4g, max %.4g", m.Count, m.P50, m.P99, m.Max)
			}
			fmt.Fprintf(w, "%s%s.%s\t%s\t%s\n", head, n.Node, escape([]byte(m.Name)), escape([]byte(m.Kind)), value)
			head = ""
		}
	}
}

// notes are what does not fit a table.
func (r Report) notes() []string {
	var files, unread, lines []string
	for _, n := range r.Nodes {
		for _, f := range n.Files {
			line := fmt.Sprintf("%s: %s (%s, %d frames)", n.Node, f.Path, size(uint64(f.Bytes)), f.Frames)
			if !f.Complete {
				line += " incomplete"
			}
			files = append(files, line)
		}
		for port, frames := range n.Unread {
			unread = append(unread, fmt.Sprintf("%s.%s: nothing reads it, %d frames", n.Node, port, frames))
		}
	}
	slices.Sort(unread)
	unread = append(append(unread, r.restarts()...), r.throttled()...)
	if all := append(files, unread...); len(all) > 0 {
		lines = append(append(lines, ""), all...)
	}
	for _, w := range r.Warnings {
		lines = append(lines, "warning: "+w)
	}
	switch {
	case r.Error != nil:
		lines = append(lines, "error: "+r.Error.Error())
	case r.Message != "":
		lines = append(lines, "error: "+r.Message)
	}
	return lines
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// restarts are the lines about nodes that were started again.
func (r Report) restarts() []string {
	var lines []string
	for _, n := range r.Nodes {
		if n.Restarts > 0 {
			lines = append(lines, n.Node+": restarted "+times(n.Restarts))
		}
	}
	for _, c := range r.Connections {
		if c.Unfinished > 0 {
			lines = append(lines, fmt.Sprintf("%s → %s: %d of the frames received were in process when the node died", c.From, c.To, c.Unfinished))
		}
	}
	for _, c := range r.Connections {
		if c.GivenUp > 0 {
			line := fmt.Sprintf("%s → %s: %d of the frames dropped were given up, the node died with each %d times", c.From, c.To, c.GivenUp, channel.MaxTries)
			if r.DeadLetters != "" {
				line += "; see " + r.DeadLetters
			}
			lines = append(lines, line)
		}
	}
	return lines
}

func (n NodeReport) exit() string {
	switch {
	case n.ExitCode == nil:
		return "-"
	case n.OOM:
		return fmt.Sprintf("%d (memory)", *n.ExitCode)
	case n.Forced:
		return fmt.Sprintf("%d (killed)", *n.ExitCode)
	}
	return fmt.Sprint(*n.ExitCode)
}

func (n NodeReport) cpu() string {
	if n.CPUS == 0 {
		return "-"
	}
	return seconds(n.CPUS)
}

func (n NodeReport) memory() string {
	if n.MemoryPeak == 0 {
		return "-"
	}
	return size(n.MemoryPeak)
}

func seconds(s float64) string { return fmt.Sprintf("%.1fs", s) }

// Latency is a time in ns for people, or a dash for 0.
func Latency(ns uint64) string { return latency(ns) }

// latency has two or three digits.
func latency(ns uint64) string {
	switch d := time.Duration(ns); {
	case d == 0:
		return "-"
	case d < time.Microsecond:
		return fmt.Sprintf("%dns", d)
	case d < time.Millisecond:
		return fmt.Sprintf("%.3gµs", float64(d)/float64(time.Microsecond))
	case d < time.Second:
		return fmt.Sprintf("%.3gms", float64(d)/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.3gs", d.Seconds())
	}
}

// Size is bytes in the units of the pipeline language.
func Size(n uint64) string { return size(n) }

func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") + " " + units[i]
}
