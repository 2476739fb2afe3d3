package plugin

import (
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func schemaCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of pipeline files, for editors",
		Long: `Print the JSON Schema of pipeline files, for editors. It has the built-in nodes
with their params. validate knows more: what is not there, what does not fit.

With a YAML language server the first line of a pipeline file names it:
  # yaml-language-server: $schema=pipeline.schema.json`,
		Example: "  docker medianode schema > pipeline.schema.json",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := e.cli.Out().Write(pipeline.Schema(builtin.Catalog()))
			return err
		},
	}
}
