package plugin

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

func sessionsCommand(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List the sessions of a project, or end one",
		Long: `List the sessions of a project, or end one. FRAMES are those received on all
connections. The process that supervises runs the containers for all; when it
ends, another one takes over. A session is "lost" when its process was killed.`,
		Example: `  docker medianode sessions -p captions
  docker medianode sessions close s2 -p captions`,
		Args: noArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			return e.sessions(format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "table", `Output format: "table" or "json"`)
	cmd.AddCommand(&cobra.Command{
		Use:   "close NAME",
		Short: "End a session well, as Ctrl-C in its terminal does",
		Long: `End a session well, as Ctrl-C in its terminal does. The others go on; with the
last one the project ends.`,
		Example: "  docker medianode sessions close s2 -p captions",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit(exitUsage, fmt.Sprintf("%s takes the name of a session\nsee '%s --help'", cmd.CommandPath(), cmd.CommandPath()))
			}
			return atMostOne(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if !sessionName.MatchString(args[0]) {
				return exit(exitUsage, fmt.Sprintf("session %q: %s", args[0], wantSessionName))
			}
			project, err := e.named()
			if err != nil {
				return err
			}
			return runtime.CloseSession(user().UID, project, args[0])
		},
	})
	return cmd
}

func (e *env) sessions(format string) error {
	project, err := e.named()
	if err != nil {
		return err
	}
	sessions, err := runtime.Sessions(user().UID, project)
	if err != nil {
		return err
	}
	if format == "json" {
		if sessions == nil {
			sessions = []runtime.SessionInfo{} // not null
		}
		return json.NewEncoder(e.cli.Out()).Encode(sessions)
	}
	w := tabwriter.NewWriter(e.cli.Out(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "SESSION\tSTATE\tAGE\tFRAMES\tOWNER")
	for _, s := range sessions {
		owner := fmt.Sprintf("process %d", s.PID)
		switch {
		case s.State == "lost":
			owner += ", which is gone"
		case s.Supervises:
			owner += ", supervises"
		}
		age := time.Duration(s.AgeS * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\n", s.Session, s.State, age, s.Frames, owner)
	}
	return w.Flush()
}
