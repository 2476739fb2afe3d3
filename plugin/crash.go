package plugin

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

const (
	crashDir   = "crashes" // in the project's state directory
	maxCrashes = 50        // of a project; the oldest go
)

func crashCommand(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "crash [ID | NODE]",
		Short: "Show how a node died: cause, memory, last frames, traceback, last lines",
		Long: `Show how a node died, of this run or an earlier one: the cause and the exit code
in words, memory and processor as last seen, the last frame on every port, the
traceback, the last lines of its log, and whether it was the first failure or
followed from another. An exception that ended one session of several in a node
is kept, too. Without an ID the newest death is shown, or the one that it followed
from, and all are listed. A project keeps its last 50.`,
		Example: `  docker medianode crash
  docker medianode crash asr                     # the newest of node asr
  docker medianode crash -p captions --format json | jq '.[0].usage'`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			return e.crash(strings.Join(args, ""), format)
		},
	}
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

func (e *env) crash(which, format string) error {
	project, err := e.named()
	if err != nil {
		return err
	}
	state, err := stateDir(project)
	if err != nil {
		return err
	}
	all, err := readCrashes(state)
	if err != nil {
		return err
	}
	if which == "" && format == "json" {
		return json.NewEncoder(e.cli.Out()).Encode(orNone(all))
	}
	if len(all) == 0 {
		return exit(exitFailed, fmt.Sprintf("project %s: no node has died", project))
	}
	c, err := findCrash(all, which)
	if err != nil {
		return exit(exitFailed, fmt.Sprintf("project %s: %s", project, err))
	}
	if format == "json" {
		return json.NewEncoder(e.cli.Out()).Encode(c)
	}
	if err := c.Text(e.cli.Out()); err != nil || which != "" || len(all) == 1 {
		return err
	}
	return crashTable(e.cli.Out(), all)
}

// sameRun is more than lies between two deaths of which one followed from the other:
// a stop takes its grace, and some seconds to kill.
const sameRun = time.Minute

// newestCrash is the newest, or the one that it followed from.
func newestCrash(all []runtime.Crash) runtime.Crash {
	for _, c := range all {
		if c.First && "node "+c.Node == all[0].Follows && all[0].Time.Sub(c.Time) < sameRun {
			return c
		}
	}
	return all[0]
}

// findCrash is the newest, that of an ID or what an ID begins with, or a node's
// newest.
func findCrash(all []runtime.Crash, which string) (runtime.Crash, error) {
	if which == "" {
		return newestCrash(all), nil
	}
	if i := slices.IndexFunc(all, func(c runtime.Crash) bool { return c.ID == which || c.Node == which }); i >= 0 {
		return all[i], nil
	}
	var found []runtime.Crash
	for _, c := range all {
		if strings.HasPrefix(c.ID, which) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return runtime.Crash{}, fmt.Errorf("no death of a node has the ID %q, and no node of that name has died", which)
	case 1:
		return found[0], nil
	}
	return runtime.Crash{}, fmt.Errorf("%d deaths have an ID that begins with %q: give more of it", len(found), which)
}

func crashTable(w io.Writer, all []runtime.Crash) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "\nID\tNODE\tWHEN\tCAUSE")
	for _, c := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", c.ID, c.Node, c.Time.Local().Format(time.DateTime), middleOut(firstLine(c.Cause)))
	}
	return t.Flush()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// readCrashes are those of a project, the newest first.
func readCrashes(state string) ([]runtime.Crash, error) {
	names, err := crashFiles(state)
	if err != nil {
		return nil, err
	}
	var all []runtime.Crash
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(state, crashDir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // just removed for a newer one
		}
		if err != nil {
			return nil, err
		}
		var c runtime.Crash
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(state, crashDir, name), err)
		}
		all = append(all, c)
	}
	return all, nil
}

// crashFiles are the names of the files, the newest first: they begin with the time.
func crashFiles(state string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(state, crashDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".json") && !strings.HasPrefix(entry.Name(), ".") {
			names = append(names, entry.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(b, a) })
	return names, nil
}

// keepCrash writes a death into the state directory, with the node's place in the
// pipeline file, and removes the oldest.
func (p *prepared) keepCrash(c runtime.Crash) (runtime.Crash, error) {
	if n := p.source.spec.Node(c.Node); n != nil {
		c.Source = fmt.Sprintf("%s:%d:%d", p.source.path, n.ID.Pos.Line, n.ID.Pos.Col)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return c, err
	}
	dir := filepath.Join(p.state, crashDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return c, err
	}
	if err := writeFile(filepath.Join(dir, c.ID+".json"), append(text, '\n'), 0o644); err != nil {
		return c, err
	}
	names, err := crashFiles(p.state)
	for _, name := range names[min(len(names), maxCrashes):] {
		err = errors.Join(err, os.Remove(filepath.Join(dir, name)))
	}
	return c, err
}
