package plugin

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/origin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func convertCommand(e *env) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "convert MANIFEST",
		Short: "Turn a manifest of remotemedia-sdk, YAML or JSON, into a pipeline file",
		Long: `Turn a manifest of remotemedia-sdk, YAML or JSON, into a pipeline file. The file
goes to stdout; each change goes to stderr with the manifest's line: what became
what, what was dropped and why, what is left to do. Comments stay. The manifest
is not changed. Exit code 1 if what comes out needs more before it is valid.`,
		Example: `  docker medianode convert manifest.yaml > pipeline.yaml
  docker medianode convert manifest.json -o pipeline.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit(exitUsage, fmt.Sprintf("convert: which manifest? give its file\nsee '%s --help'", cmd.CommandPath()))
			}
			return atMostOne(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error { return e.convert(args[0], out) },
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "File to write to, instead of stdout; must not be there")
	_ = cmd.MarkFlagFilename("output", "yaml", "yml") // it is defined above
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
	}
	return cmd
}

func (e *env) convert(path, out string) error {
	src, err := readBounded(path)
	if err != nil {
		return exit(exitFailed, err.Error())
	}
	catalog := builtin.Catalog()
	text, changes, err := origin.Convert(src, nodeNames(catalog))
	if err != nil {
		return exit(exitFailed, path+": "+err.Error())
	}
	for _, c := range changes {
		fmt.Fprintf(e.cli.Err(), "%s:%s\n", path, c)
	}
	if len(changes) == 0 {
		fmt.Fprintf(e.cli.Err(), "%s: nothing to change\n", path)
	}
	if err := e.putConverted(out, text); err != nil {
		return err
	}
	name := out
	if name == "" {
		name = "(converted)"
	}
	_, err = pipeline.Parse(name, text, catalog)
	found, ok := pipeline.AsDiagnostics(err)
	if !ok {
		return err
	}
	var b bytes.Buffer
	if err := found.Format(&b, text, e.color()); err != nil {
		return err
	}
	return exit(exitFailed, fmt.Sprintf("left to do in what was written:\n%s", bytes.TrimRight(b.Bytes(), "\n")))
}

// putConverted writes to stdout, or to a file that is not there yet.
func (e *env) putConverted(out string, text []byte) error {
	if out == "" {
		_, err := e.cli.Out().Write(text)
		return err
	}
	if _, err := os.Lstat(out); err == nil {
		return exit(exitFailed, out+" is there already: nothing was written; give another name with -o")
	}
	return writeFile(out, text, 0o644)
}
