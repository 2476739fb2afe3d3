package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

type statsOptions struct {
	noStream bool
	format   string
	every    time.Duration
}

func statsCommand(e *env) *cobra.Command {
	var o statsOptions
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show what a running project does: CPU and memory of nodes, rates and queues of connections",
		Long: `Show what a running project does, every second: of each node processor and
memory (frames apart), how often its CPU limit held it back, restarts; of each
connection of each session frames a second, bytes, frames that wait, drops, and
latency. Rates and latencies are of the time since the last look. It reads
counters in shared memory and does not disturb who counts.

On a terminal the table is drawn anew each time, elsewhere it is repeated.`,
		Example: `  docker medianode stats
  docker medianode stats -p captions --no-stream
  docker medianode stats --format json | jq '.connections[] | select(.depth > 0)'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", o.format, "table", "json"); err != nil {
				return err
			}
			if o.every < 100*time.Millisecond {
				return exit(exitUsage, fmt.Sprintf("--interval %s: want at least 100ms", o.every))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
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
	engine, err := runtime.NewEngine(e.cli, nil) // asked only for finished images
	if err != nil {
		return err
	}
	redraw := o.format == "table" && !o.noStream && e.cli.Out().IsTerminal()
	err = runtime.Watch(ctx, engine, r.graph(project), o.every, func(s runtime.Stats) error {
		if o.format == "json" {
			if err := json.NewEncoder(e.cli.Out()).Encode(s); err != nil {
				return err
			}
		} else if err := statsTable(e.cli.Out(), s, redraw); err != nil {
			return err
		}
		if o.noStream {
			return errLooked
		}
		return nil
	})
	if errors.Is(err, errLooked) {
		return nil
	}
	return err
}

// statsTable writes one look in one write, so that a terminal does not flicker.
func statsTable(w io.Writer, s runtime.Stats, redraw bool) error {
	var b bytes.Buffer
	if redraw {
		b.WriteString("\x1b[H\x1b[J")
	}
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
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(t, "\nSESSION\tCONNECTION\tRATE\tBYTES\tWAIT\tDROPPED\tP50\tP99")
	for _, c := range s.Connections {
		fmt.Fprintf(t, "%s\t%s → %s\t%.1f/s\t%s/s\t%d of %d\t%d\t%s\t%s\n", c.Session, c.From, c.To, c.Rate, runtime.Size(uint64(c.Bytes)),
			c.Depth, c.Capacity, c.Dropped, runtime.Latency(c.P50), runtime.Latency(c.P99))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if !redraw {
		b.WriteByte('\n')
	}
	_, err := w.Write(b.Bytes())
	return err
}
