package plugin

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/plugin/doctor"
	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/iox"
)

func doctorCommand(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at this machine: the engine, shared memory, limits, leftovers",
		Long: `Look at this machine and say what would keep pipelines from running, and what to
do about it: the docker command and the engine, whether containers see this
machine's shared memory, limits, leftovers of projects that nobody runs, disks,
certificates. Changes nothing. Exit code 1 if a check fails; a warning is none.`,
		Example: `  docker medianode doctor
  docker medianode doctor --format json | jq '.checks[] | select(.status != "ok")'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			return e.doctor(cmd.Context(), format)
		},
	}
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

func (e *env) doctor(ctx context.Context, format string) error {
	state, err := stateDir("")
	if err != nil {
		state = "" // a finding of its own
	}
	findings := doctor.Judge(doctor.Gather(ctx, doctor.Sources{
		Version: e.version, Iceoryx2: iox.Version, UID: user().UID,
		Client: e.cli.Client(), Explain: e.unanswered, State: state, Getenv: os.Getenv,
		Left: func(ctx context.Context) ([]runtime.Leftover, error) {
			engine, err := runtime.NewEngine(e.cli, nil)
			if err != nil {
				return nil, err
			}
			return runtime.Leftovers(ctx, engine, user().UID)
		},
		Attached: func(ctx context.Context, image string) error {
			engine, err := runtime.NewEngine(e.cli, nil)
			if err != nil {
				return err
			}
			return runtime.Attached(ctx, engine, user().UID, image)
		},
	}))
	if format == "json" {
		err = writeJSON(e.cli.Out(), struct {
			Status doctor.Status    `json:"status"`
			Checks []doctor.Finding `json:"checks"`
		}{doctor.Worst(findings), findings})
	} else {
		err = doctor.Text(e.cli.Out(), findings, painter(e.cli.Out().IsTerminal() && os.Getenv("NO_COLOR") == ""))
	}
	if err != nil {
		return err
	}
	failed := 0
	for _, f := range findings {
		if f.Status == doctor.Fail {
			failed++
		}
	}
	if failed > 0 {
		return exit(exitFailed, fmt.Sprintf("doctor: %s failed", count(failed, "check")))
	}
	return nil
}
