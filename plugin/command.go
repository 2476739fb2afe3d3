// Package plugin is the command line: one file a verb, each of them a straight
// line through the other packages. It decides nothing; it wires, and it is the
// only place where an error of a node meets its line in the pipeline file.
package plugin

import (
	"fmt"

	"github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/plugin/tracing"
)

const long = `Run real-time media and AI pipelines, a container a node.

A pipeline file says which nodes there are, what each needs (Python version,
packages, memory) and how frames flow between them. Each node gets an image of
its own; frames go from container to container through shared memory.`

const example = `  docker medianode new captions      # a small pipeline to start from
  docker medianode validate          # every mistake in pipeline.yaml
  docker medianode plan              # what up would build, start and reserve
  docker medianode up                # run it until its sources end
  docker medianode ps -p captions    # what runs`

// Command is the root command.
func Command(cli command.Cli, version string) *cobra.Command {
	e := &env{cli: cli, version: version, traces: tracing.Off()}
	root := &cobra.Command{
		Use:              "medianode",
		Short:            "Media and AI pipelines in containers, over shared memory",
		Long:             long,
		Example:          example,
		SilenceUsage:     true,
		SilenceErrors:    true,
		TraverseChildren: true,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			if err := e.checkProject(); err != nil {
				return err
			}
			return plugin.PersistentPreRunE(cmd, args)
		},
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return exit(exitUsage, unknownVerb(cmd, args[0]))
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit(exitUsage, fmt.Sprintf("%s\nsee '%s --help'", err, cmd.CommandPath()))
	})
	root.SetUsageTemplate(usage)
	flags := root.PersistentFlags()
	flags.VarP(&onePath{&e.file}, "file", "f", "Pipeline file (default: medianode.yaml, medianode.yml, pipeline.yaml or pipeline.yml)")
	flags.StringVarP(&e.project, "project-name", "p", "", "Project name (default: the pipeline's metadata.name)")
	completeFiles(root)
	addGroup(root, "Pipeline Commands:",
		newCommand(e), e.allowMount(validateCommand(e)), e.allowMount(planCommand(e)), graphCommand(e), e.allowMount(generateCommand(e)))
	addGroup(root, "Life Cycle Commands:",
		e.allowMount(upCommand(e)), e.allowMount(runCommand(e)), downCommand(e), psCommand(e), sessionsCommand(e), logsCommand(e), statsCommand(e), execCommand(e), crashCommand(e))
	addGroup(root, "Image Commands:", baseCommand(e), e.allowMount(buildCommand(e)), imagesCommand(e))
	addGroup(root, "Tools:",
		nodesCommand(e), schemaCommand(e), sdkCommand(e), convertCommand(e), doctorCommand(e), gcCommand(e), versionCommand(e))
	return root
}

// onePath is a flag that names one file. Of two, the last one would win without a
// word; compose takes several.
type onePath struct{ path *string }

func (p *onePath) String() string { return "" }
func (p *onePath) Type() string   { return "string" }

func (p *onePath) Set(path string) error {
	if *p.path != "" {
		return fmt.Errorf("%s is named already, and a pipeline is one file", *p.path)
	}
	*p.path = path
	return nil
}

func unknownVerb(cmd *cobra.Command, verb string) string {
	if verb == "completion" {
		return "docker itself completes the verbs of its plugins\nsee 'docker completion --help'"
	}
	text := fmt.Sprintf("unknown command %q for %q", verb, cmd.CommandPath())
	if near := cmd.SuggestionsFor(verb); len(near) > 0 {
		text += fmt.Sprintf(", did you mean %q?", near[0])
	}
	return text + fmt.Sprintf("\nsee '%s --help'", cmd.CommandPath())
}

// atMostOne refuses a second argument with exit code 2.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return exit(exitUsage, fmt.Sprintf("%s takes one argument; %q is too many\nsee '%s --help'", cmd.CommandPath(), args[1], cmd.CommandPath()))
	}
	return nil
}

// noArgs refuses arguments with exit code 2.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return exit(exitUsage, fmt.Sprintf("%s takes no argument %q\nsee '%s --help'", cmd.CommandPath(), args[0], cmd.CommandPath()))
	}
	return nil
}
