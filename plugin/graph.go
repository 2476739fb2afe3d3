package plugin

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/schemas/graph"
)

func graphCommand(e *env) *cobra.Command {
	var format, out string
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw a pipeline: Mermaid, Graphviz or JSON",
		Long: `Draw a pipeline. Containers are boxes, built-in nodes are rounded, feedback is
dotted; an arrow says what is not as usual: ports, the kind of frames, buffer,
what happens when it is full. Needs no engine.

A block marked "mermaid" in a README is drawn by GitHub and GitLab.`,
		Example: `  docker medianode graph
  docker medianode graph --format dot | dot -Tsvg > pipeline.svg
  docker medianode graph -o pipeline.mmd`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := oneOf("--format", format, "mermaid", "dot", "json"); err != nil {
				return err
			}
			s, err := e.parse()
			if err != nil {
				return err
			}
			text, err := draw(graph.Of(s.spec), format)
			if err != nil {
				return err
			}
			if out == "" {
				_, err = e.cli.Out().Write(text)
				return err
			}
			return e.writeOut(out, text)
		},
	}
	formatFlag(cmd, &format, "mermaid", "dot", "json")
	cmd.Flags().StringVarP(&out, "output", "o", "", "File to write to, instead of stdout")
	_ = cmd.MarkFlagFilename("output") // it is defined above
	return cmd
}

func draw(g graph.Graph, format string) ([]byte, error) {
	switch format {
	case "dot":
		return []byte(g.DOT()), nil
	case "json":
		text, err := json.MarshalIndent(g, "", "  ")
		return append(text, '\n'), err
	}
	return []byte(g.Mermaid()), nil
}

// writeOut writes the file of an -o, whole or not at all. The pipeline file
// itself is never what is meant.
func (e *env) writeOut(path string, text []byte) error {
	if source, _, err := e.find(); err == nil && sameFile(source, path) {
		return exit(exitUsage, path+" is the pipeline file: give another name with -o")
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() { // such as /dev/stdout
		return os.WriteFile(path, text, 0o644)
	}
	return writeFile(filepath.Clean(path), text, 0o644)
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
