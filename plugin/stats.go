package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

type statsOptions struct {
	nodes    []string // none: all
	noStream bool
	format   string
	every    time.Duration
}

func statsCommand(e *env) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:   "stats [NODE...]",
		Short: "Show what a running project does: CPU and memory of nodes, rates and queues of connections",
		Long: `Show what a running project does, every second: of each node processor and
memory (frames apart), how often its CPU limit held it back, restarts; of each
connection of each session frames a second, bytes, frames that wait, drops, and
latency. Rates and latencies are of the time since the last look. It reads
counters in shared memory and does not disturb who counts. With names of nodes,
only these are shown, and the connections from and to them.

On a terminal the table is drawn anew each time, elsewhere it is repeated.`,
		Example: `  docker medianode stats
  docker medianode stats asr -p captions --no-stream
  docker medianode stats --format json | jq '.connections[] | select(.depth > 0)'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("--format", o.format, "table", "json"); err != nil {
				return err
			}
			if o.every < 100*time.Millisecond {
				return exit(exitUsage, fmt.Sprintf("--interval %s: want at least 100ms", o.every))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			o.nodes = args
			return e.stats(ctx, o)
		},
	}
	cmd.Flags().BoolVar(&o.noStream, "no-stream", false, "Show one look, and end")
	cmd.Flags().DurationVar(&o.every, "interval", time.Second, "Time between two looks")
	formatFlag(cmd, &o.format, "table", "json")
	return cmd
}

// errLooked ends a watch that was to look once.
var errLooked = errors.New("looked")

func (e *env) stats(ctx context.Context, o statsOptions) error {
	project, err := e.named()
	if err != nil {
		return err
	}
	r, err := readRunning(project)
	if err != nil {
		return err
	}
	for _, node := range o.nodes {
		if _, known := r.Nodes[node]; !known && len(r.Nodes) > 0 {
			return r.unknown(node)
		}
	}
	engine, err := runtime.NewEngine(e.cli, nil) // asked only for finished images
	if err != nil {
		return err
	}
	redraw := o.format == "table" && !o.noStream && e.cli.Out().IsTerminal()
	err = runtime.Watch(ctx, engine, r.graph(project), o.every, func(s runtime.Stats) error {
		if err := e.showStats(s.Of(o.nodes), o, redraw); err != nil {
			return err
		}
		if o.noStream {
			return errLooked
		}
		return nil
	})
	if redraw && ctx.Err() != nil {
		fmt.Fprintln(e.cli.Out()) // after the ^C
	}
	if errors.Is(err, errLooked) {
		return nil
	}
	return err
}

func (e *env) showStats(s runtime.Stats, o statsOptions, redraw bool) error {
	if o.format == "json" {
		return json.NewEncoder(e.cli.Out()).Encode(s)
	}
	text := statsTable(s)
	if redraw {
		height, width := e.cli.Out().GetTtySize() // it may have changed
		text = drawn(text, int(width), int(height))
	} else if !o.noStream {
		text += "\n" // before the next one
	}
	_, err := io.WriteString(e.cli.Out(), text) // in one write: a terminal does not flicker
	return err
}

// statsTable is one look for people.
func statsTable(s runtime.Stats) string {
	var b strings.Builder // which takes every write
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tSTATE\tCPU\tHELD BACK\tMEMORY\tFRAMES\tLIMIT\tRESTARTS")
	for _, n := range s.Nodes {
		cpu, held, memory, frames, limit := "-", "-", "-", "-", "-"
		if n.Known {
			cpu, held = fmt.Sprintf("%.2f", n.CPU), fmt.Sprintf("%.0f %%", 100*n.Throttled)
			memory, frames = runtime.Size(n.Memory), runtime.Size(n.Frames)
		}
		if n.Limit > 0 {
			limit = runtime.Size(n.Limit)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", n.Node, dash(n.State), cpu, held, memory, frames, limit, n.Restarts)
	}
	_ = t.Flush()
	fmt.Fprintln(t, "\nSESSION\tCONNECTION\tRATE\tBYTES\tWAIT\tDROPPED\tP50\tP99")
	for _, c := range s.Connections {
		fmt.Fprintf(t, "%s\t%s → %s\t%.1f/s\t%s/s\t%d of %d\t%d\t%s\t%s\n", c.Session, c.From, c.To, c.Rate, runtime.Size(uint64(c.Bytes)),
			c.Depth, c.Capacity, c.Dropped, runtime.Latency(c.P50), runtime.Latency(c.P99))
	}
	_ = t.Flush()
	return b.String()
}

// drawn is a text that takes the place of the one before on a terminal of so many
// columns and rows: what wraps, or scrolls, would leave parts of it behind. 0 is
// not known, and cuts nothing.
func drawn(text string, columns, rows int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if room := rows - 1; rows > 1 && len(lines) > room { // the last row is the cursor's
		more := len(lines) - room + 1
		lines = append(lines[:room-1], fmt.Sprintf("… %d lines more: the terminal is too low; name nodes to see less, or --no-stream", more))
	}
	var b strings.Builder
	b.WriteString("\x1b[H")
	for _, line := range lines {
		if r := []rune(line); columns > 1 && len(r) > columns {
			line = string(r[:columns-1]) + "…"
		}
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
