package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command/container"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime"
)

// execOptions are as docker exec has them; here they go without saying.
type execOptions struct {
	interactive bool
	tty         bool // if there is one
}

func execCommand(e *env) *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec NODE COMMAND [ARG...]",
		Short: "Run a command in a node's container",
		Long: `Run a command in the container of a node, as the user and under the limits that
the node has. Where stdin and stdout are a terminal the command gets one too;
its exit code is that of this command. What follows NODE is the command's, flags
included.`,
		Example: `  docker medianode exec asr python -c 'import numpy; print(numpy.__version__)'
  docker medianode exec -p captions asr sh`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exit(exitUsage, fmt.Sprintf("%s takes a node and a command\nsee '%s --help'", cmd.CommandPath(), cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return e.exec(cmd.Context(), args[0], args[1:], o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&o.interactive, "interactive", "i", true, "")
	flags.BoolVarP(&o.tty, "tty", "t", true, "")
	for _, name := range []string{"interactive", "tty"} {
		_ = flags.MarkHidden(name) // it fails only for a flag that is not there
	}
	return cmd
}

func (e *env) exec(ctx context.Context, node string, command []string, given execOptions) error {
	project, engine, err := e.known(ctx)
	if err != nil {
		return err
	}
	r, err := readRunning(project)
	if err != nil {
		return err
	}
	service, err := r.service(node)
	if err != nil {
		return err
	}
	containers, err := runtime.Ps(ctx, engine, project)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(containers, func(c runtime.Container) bool { return c.Service == service && c.State == "running" })
	if i < 0 {
		return exit(exitFailed, fmt.Sprintf("node %s of project %s does not run", node, project))
	}
	o := container.NewExecOptions()
	o.Command, o.Interactive = command, given.interactive
	o.TTY = given.tty && e.cli.In().IsTerminal() && e.cli.Out().IsTerminal()
	err = container.RunExec(ctx, e.cli, containers[i].ID, o)
	if status, ok := errors.AsType[cli.StatusError](err); ok && status.Error() == "" && status.StatusCode > 0 {
		os.Exit(status.StatusCode) // returned, it would be printed as an empty line
	}
	return err
}
