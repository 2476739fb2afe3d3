package plugin

import (
	"fmt"
	"slices"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// leadOut are the files of built-in nodes that a symbolic link takes out of the
// pipeline's directory. The language cannot see links; the run would refuse them
// too, but later.
func (s *source) leadOut(catalog []pipeline.Builtin) pipeline.Diagnostics {
	var found pipeline.Diagnostics
	for i, n := range s.spec.Nodes {
		at := slices.IndexFunc(catalog, func(b pipeline.Builtin) bool { return b.Name == n.Type.V })
		if at < 0 {
			continue
		}
		for _, p := range catalog[at].Params {
			name, _ := n.Params.Values[p.Name].(string)
			if p.Type != pipeline.ParamPath || name == "" {
				continue
			}
			if err := builtin.Inside(s.dir, name); err != nil {
				found = append(found, &pipeline.Diagnostic{
					File: s.path, Pos: n.Params.At[p.Name], Path: fmt.Sprintf("nodes[%d].params.%s", i, p.Name),
					Message: err.Error(), Hint: "bring the file into it: a link is followed only inside",
				})
			}
		}
	}
	return found
}
