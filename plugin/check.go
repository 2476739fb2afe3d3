package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// check shows what Docker's build checks find in the generated Dockerfiles, as
// validate shows mistakes.
func (e *env) check(ctx context.Context, format string) error {
	if format == "text" {
		return e.checkText(ctx)
	}
	p, found, err := e.inspect()
	if err != nil {
		return err
	}
	if p != nil {
		more, err := findings(ctx, p.source, p.plan.Images)
		if err != nil {
			return err
		}
		found = append(found, more...)
	}
	return e.showFound(format, found)
}

func (e *env) checkText(ctx context.Context) error {
	p, err := e.resolved()
	if err != nil {
		return err
	}
	s := p.source
	found, err := findings(ctx, s, p.plan.Images)
	if err != nil {
		return err
	}
	if found.HasErrors() {
		return e.explain(s, found)
	}
	if len(found) > 0 {
		return found.Format(e.cli.Err(), s.text, e.color())
	}
	_, err = fmt.Fprintf(e.cli.Err(), "%s: %s, no findings\n", s.path, count(len(p.plan.Images), "Dockerfile"))
	return err
}

// findings are what the checks find, each at what of the pipeline file is the
// cause.
func findings(ctx context.Context, s *source, images []generate.Image) (pipeline.Diagnostics, error) {
	var all pipeline.Diagnostics
	for _, img := range images {
		found, err := image.Check(ctx, img)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			d := &pipeline.Diagnostic{File: s.path, Severity: pipeline.Warning}
			d.Pos, d.Path = s.cause(img.Node, f.Lines)
			d.Message = fmt.Sprintf("the Dockerfile of %s: %s", img.Node, f.Text)
			if f.Fatal() {
				d.Severity = pipeline.Error
			} else {
				d.Message += " (" + f.Rule + ")"
			}
			if line, _, _ := strings.Cut(f.Lines, "\n"); line != "" {
				d.Hint = fmt.Sprintf("the line is %q", middleOut(line))
			}
			if f.URL != "" {
				d.Hint = strings.TrimPrefix(d.Hint+"; see "+f.URL, "; ")
			}
			all = append(all, d)
		}
	}
	return all, nil
}

// cause is where the file has what stands in these lines of a node's
// Dockerfile, and its path: a field whose text is in them, else the node.
func (s *source) cause(node, lines string) (pipeline.Pos, string) {
	i := slices.IndexFunc(s.spec.Nodes, func(n *pipeline.Node) bool { return n.ID.V == node })
	n := s.spec.Nodes[i]
	path := fmt.Sprintf("nodes[%d]", i)
	d := n.Docker
	words := strings.FieldsFunc(lines, func(r rune) bool { return strings.ContainsRune(" \t\n\",[]=\\", r) })
	from := slices.Contains(words, "FROM")
	switch {
	case from && d.BaseImage.Set:
		return d.BaseImage.Pos, path + ".docker.base_image"
	case from && d.PythonVersion.Set:
		return d.PythonVersion.Pos, path + ".docker.python_version"
	}
	for _, list := range []struct {
		field  string
		values []pipeline.Value[string]
	}{
		{"system_dependencies", d.SystemDependencies}, {"build_dependencies", d.BuildDependencies},
		{"python_packages", d.PythonPackages}, {"wheels", d.Wheels},
	} {
		for j, v := range list.values {
			file := "/" + v.V[strings.LastIndexByte(v.V, '/')+1:] // of a wheel
			if slices.ContainsFunc(words, func(w string) bool { return w == v.V || strings.HasSuffix(w, file) }) {
				return v.Pos, fmt.Sprintf("%s.docker.%s[%d]", path, list.field, j)
			}
		}
	}
	switch {
	case slices.Contains(words, "requirements.txt") && len(d.PythonPackages) > 0:
		return d.PythonPackages[0].Pos, path + ".docker.python_packages"
	case slices.Contains(words, "app/") && d.Source.Set:
		return d.Source.Pos, path + ".docker.source"
	}
	return n.ID.Pos, path
}
