package generate

import (
	"regexp"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// checkClass looks for the node's class in the text of its module, which no
// one may run here. It answers only where it can be sure: the module has classes
// of its own, and the name stands nowhere in it, neither as a class nor imported.
func (r *resolver) checkClass(path string, n *pipeline.Node, module File) bool {
	text := string(module.Data)
	has := func(expr string) bool { return regexp.MustCompile(expr).MatchString(text) }
	classes := regexp.MustCompile(`(?m)^class[ \t]+([A-Za-z_][A-Za-z0-9_]*)`).FindAllStringSubmatch(text, -1)
	if len(classes) == 0 || has(`\b`+regexp.QuoteMeta(n.Class)+`\b`) || has(`import \*|\b(?:globals|exec|setattr|__getattr__)\b`) {
		return true
	}
	var names []string
	for _, c := range classes {
		if !slices.Contains(names, c[1]) && len(names) < 5 {
			names = append(names, c[1])
		}
	}
	where := mistake{pos: n.Type.Pos, path: path, hint: "it has " + strings.Join(names, ", ")}
	r.fail(where, "%s of %q has no class %s", module.Path, n.Docker.Source.V, n.Class)
	return false
}
