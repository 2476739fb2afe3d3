package generate

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
)

// Shared is a part that several images of a plan have in common: it is made
// once, however many builds want it at once, and is one layer in all of them.
type Shared struct {
	What  string
	Nodes []string // ids, in the order of the plan
}

// Shared are the parts that images have in common, as far as their recipes
// tell. A package that two nodes name with the same == is a layer of both also
// where their other packages differ, if it is among the heaviest of each.
func (p *Plan) Shared() []Shared {
	var parts []*part
	at := map[string]*part{}
	for _, img := range p.Images {
		for _, one := range p.parts(img) {
			if at[one.key] == nil {
				at[one.key] = &one
				parts = append(parts, &one)
			}
			at[one.key].nodes = append(at[one.key].nodes, img.Node)
		}
	}
	var out []Shared
	for _, one := range parts {
		implied := func(all *part) bool { return all.kind == "packages" && slices.Equal(all.nodes, one.nodes) }
		if len(one.nodes) > 1 && (one.kind != "package" || !slices.ContainsFunc(parts, implied)) {
			out = append(out, Shared{one.what, one.nodes})
		}
	}
	return out
}

// part is a part of one image; parts with the same key have the same bytes.
type part struct {
	kind, what, key string
	nodes           []string
}

func (p *Plan) parts(img Image) []part {
	d := p.Node(img.Node).docker
	var parts []part
	add := func(kind, what string, of ...string) {
		of = append([]string{kind, img.Platform, img.Base, d.PythonVersion.V}, of...)
		parts = append(parts, part{kind: kind, what: what, key: strings.Join(of, "\x00")})
	}
	add("base", img.Base+", iceoryx2, SDK")
	system, build := texts(d.SystemDependencies), texts(d.BuildDependencies)
	if len(system) > 0 {
		add("system", "Debian: "+strings.Join(system, " "), system...)
	}
	if len(build) > 0 {
		add("build", "to build with: "+strings.Join(build, " "), build...)
	}
	named := texts(d.PythonPackages)
	if all := append(named, wheelFiles(d.Wheels)...); len(all) > 0 {
		key := append(append(slices.Clone(build), "\x00"), all...)
		add("packages", "Python: "+strings.Join(all, " "), append(key, digest(img, wheelsDir+"/"))...)
	}
	for _, one := range named {
		if strings.Contains(one, "==") {
			add("package", "Python: "+one, one)
		}
	}
	add("code", "code", digest(img, "app/"))
	return parts
}

// digest is of the files below a directory of a context.
func digest(img Image, dir string) string {
	h := sha256.New()
	for _, f := range img.Context {
		if strings.HasPrefix(f.Path, dir) {
			fmt.Fprintf(h, "%q %v %d\n", f.Path, f.Mode, len(f.Data))
			h.Write(f.Data)
		}
	}
	return string(h.Sum(nil))
}
