package plugin

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func validateCommand(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Show every mistake of a pipeline file, with line and column",
		Long: `Show every mistake of a pipeline file, with line and column. Needs no engine.

--format json prints one object {"valid", "diagnostics"} on stdout, --format
github annotations that GitHub shows beside the lines of a pull request; both
have warnings too. Exit code 1 if there is a mistake; a warning is none.`,
		Example: `  docker medianode validate
  docker medianode validate -f captions.yaml --format json | jq .diagnostics
  docker medianode validate --format github      # in a workflow of GitHub`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := oneOf("--format", format, "text", "json", "github"); err != nil {
				return err
			}
			if format == "text" {
				return e.validate()
			}
			return e.validateFor(format)
		},
	}
	formatFlag(cmd, &format, "text", "json", "github")
	return cmd
}

func (e *env) validate() error {
	p, err := e.resolved()
	if err != nil {
		return err
	}
	s := p.source
	_, err = fmt.Fprintf(e.cli.Err(), "%s: %s, %s, no mistake\n", s.path, count(len(p.plan.Nodes), "node"), count(len(s.spec.Connections), "connection"))
	return err
}

// resolved is the pipeline file's plan without an engine; mistakes come back as one
// error that shows them all.
func (e *env) resolved() (*prepared, error) {
	s, err := e.parse()
	if err != nil {
		return nil, err
	}
	return e.resolve(s, generate.Host{Form: generate.Attached})
}

// validateFor is validate for programs: all that was found is on stdout, and
// only what is no mistake of the file is an error with a text.
func (e *env) validateFor(format string) error {
	_, found, err := e.inspect()
	if err != nil {
		return err
	}
	return e.showFound(format, found)
}

// inspect resolves the pipeline file without an engine and without a word: its
// warnings and mistakes are what it found. With mistakes there is no plan.
func (e *env) inspect() (*prepared, pipeline.Diagnostics, error) {
	found := pipeline.Diagnostics{} // not null
	s, err := e.read()
	var p *prepared
	if err == nil {
		found = append(found, s.spec.Warnings...)
		p, err = e.resolve(s, generate.Host{Form: generate.Attached})
	}
	if err != nil {
		more, ok := pipeline.AsDiagnostics(err)
		if !ok {
			return nil, nil, err
		}
		found = append(found, more...)
	}
	return p, found, nil
}

// showFound prints what was found for programs, on stdout; a mistake is an error
// of one line.
func (e *env) showFound(format string, found pipeline.Diagnostics) error {
	var err error
	if format == "github" {
		err = found.GitHub(e.cli.Out())
	} else {
		err = writeJSON(e.cli.Out(), struct {
			Valid       bool                 `json:"valid"`
			Diagnostics pipeline.Diagnostics `json:"diagnostics"`
		}{!found.HasErrors(), found})
	}
	if err == nil && found.HasErrors() {
		wrong := 0
		for _, d := range found {
			if d.Severity == pipeline.Error {
				wrong++
			}
		}
		return exit(exitFailed, fmt.Sprintf("%s: %s", found[0].File, count(wrong, "mistake")))
	}
	return err
}
