package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

func gcCommand(e *env) *cobra.Command {
	var check bool
	var format string
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Remove what runs have left that were killed: containers, volumes, shared memory",
		Long: `List what runs of this user have left whose processes are gone, and remove it:
containers, volumes and networks with this tool's labels, directories and locks
in shared memory, links in /tmp. With -p, those of one project. What somebody
runs is left alone. Images are not touched: see "images prune".

Where no engine answers, what is on this machine is removed all the same, and
the exit code is 1: what the engine has is not known.`,
		Example: `  docker medianode gc
  docker medianode gc --check    # only lists; exit code 1 if something is left
  docker medianode gc --check --format json | jq -r '.left[].name'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			return e.gc(cmd.Context(), check, format)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "Only list; exit code 1 if something is left")
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

// garbage is what gc prints as JSON.
type garbage struct {
	Left    []runtime.Leftover `json:"left"`    // when it began
	Removed []runtime.Leftover `json:"removed"` // of these
	Error   string             `json:"error,omitempty"`
}

func (e *env) gc(ctx context.Context, check bool, format string) error {
	engine, err := runtime.NewEngine(e.cli, nil)
	if err != nil {
		return err
	}
	left, unknown := runtime.Leftovers(ctx, engine, user().UID)
	if unknown != nil {
		unknown = fmt.Errorf("containers, volumes and networks are not known: %w", e.unanswered(errors.Unwrap(unknown)))
	}
	if e.project != "" {
		left = slices.DeleteFunc(left, func(l runtime.Leftover) bool { return l.Project != e.project })
	}
	if format == "table" {
		if err := leftTable(e.cli.Out(), left, time.Now()); err != nil {
			return err
		}
	}
	var gone []runtime.Leftover
	if !check {
		gone, err = runtime.RemoveLeftovers(ctx, engine, user().UID, left)
		if format == "table" && len(left) > 0 {
			fmt.Fprintf(e.cli.Err(), "removed %d of %d\n", len(gone), len(left))
		}
	}
	err = errors.Join(err, unknown)
	if format == "json" {
		g := garbage{Left: orNone(left), Removed: orNone(gone)}
		if err != nil {
			g.Error = err.Error()
		}
		if bad := json.NewEncoder(e.cli.Out()).Encode(g); bad != nil {
			return bad
		}
	}
	if err == nil && check && len(left) > 0 {
		err = exit(exitFailed, fmt.Sprintf("gc --check: %s left; docker medianode gc removes them", count(len(left), "thing")))
	}
	return err
}

// orNone is a list that JSON does not show as null.
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func leftTable(w io.Writer, left []runtime.Leftover, now time.Time) error {
	if len(left) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "KIND\tNAME\tPROJECT\tSTATE\tAGE\tSIZE")
	for _, l := range left {
		age, bytes := "-", "-"
		if !l.Made.IsZero() {
			age = max(0, now.Sub(l.Made)).Round(time.Second).String()
		}
		if l.Bytes > 0 {
			bytes = runtime.Size(uint64(l.Bytes))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Kind, l.Name, dash(l.Project), dash(l.State), age, bytes)
	}
	return t.Flush()
}

// dash stands where a table has nothing to say.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
