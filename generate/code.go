package generate

import (
	"io/fs"
	"path"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// code is the source in this directory; nodes often share one.
func (r *resolver) code(dir string) (*contents, error) {
	if have := r.sources[dir]; have != nil {
		return have, nil
	}
	got, err := snapshot(r.source, dir)
	if err != nil {
		return nil, err
	}
	r.sources[dir] = got
	return got, nil
}

// leftOut tells of a module that is there and was left out.
func (r *resolver) leftOut(where mistake, n *pipeline.Node, code *contents) bool {
	file := strings.ReplaceAll(n.Module, ".", "/")
	for _, name := range []string{file + ".py", file + "/__init__.py"} {
		by := leaver(code.left, name)
		if _, err := fs.Stat(r.source, path.Join(n.Docker.Source.V, name)); err != nil || by == nil {
			continue
		}
		if by.ignoring {
			where.hint = "end it with the line !" + name
			r.fail(where, "%q leaves out %s of node_type %s", path.Join(n.Docker.Source.V, ignoreFile), name, n.Type.V)
		} else {
			where.hint = "rename it"
			r.fail(where, "%s of node_type %s is left out: %s is no name of code", name, n.Type.V, by.path)
		}
		return true
	}
	return false
}
