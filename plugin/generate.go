package plugin

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate"
)

func generateCommand(e *env) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "generate -o DIR",
		Short: "Write the compose project: compose.yaml, a Dockerfile and a context a node",
		Long: `Write the compose project: compose.yaml, a Dockerfile and a context a node. The
same pipeline gives the same bytes. Needs no engine.`,
		Example: "  docker medianode generate -o build && docker compose -f build/compose.yaml config",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return exit(exitUsage, "generate: where to? give a directory with -o")
			}
			s, err := e.parse()
			if err != nil {
				return err
			}
			base, err := relativeBase(out, s.dir)
			if err != nil {
				return err
			}
			if base == "." {
				return exit(exitUsage, "generate: "+out+" is the pipeline's own directory: give another one with -o, so that nothing is written among the sources")
			}
			if id := overSource(s, out); id != "" {
				return exit(exitUsage, "generate: "+out+" is in docker.source of node "+id+": give another one with -o, so that what is written does not become code of the node")
			}
			p, err := e.resolve(s, generate.Host{Form: generate.Portable, Base: base})
			if err != nil {
				return err
			}
			files, err := p.plan.Files()
			if err != nil {
				return err
			}
			for _, f := range files {
				if err := writeBelow(out, f); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(e.cli.Err(), "%s in %s\n", count(len(files), "file"), out)
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "Directory to write to")
	return cmd
}

// overSource is the first node whose code lies where the output would go, or
// nothing. A source that is the project's own directory holds everything, and
// is no mistake by itself.
func overSource(s *source, out string) string {
	abs, err := filepath.Abs(out)
	if err != nil {
		return ""
	}
	for i := range s.spec.Nodes {
		n := s.spec.Nodes[i]
		if n.Docker == nil || n.Docker.Source.V == "" {
			continue
		}
		dir := filepath.Join(s.dir, filepath.FromSlash(n.Docker.Source.V))
		if rel, err := filepath.Rel(dir, abs); dir != s.dir && err == nil && filepath.IsLocal(rel) {
			return n.ID.V
		}
	}
	return ""
}

// relativeBase leads from the output directory to the pipeline's.
func relativeBase(out, dir string) (string, error) {
	abs, err := filepath.Abs(out)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(abs, dir)
	return filepath.ToSlash(rel), err
}

func writeBelow(dir string, f generate.File) error {
	path := filepath.Join(dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return writeFile(path, f.Data, f.Mode.Perm())
}
