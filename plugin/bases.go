package plugin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/cli/cli/command"
	"golang.org/x/sync/errgroup"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image/base"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// probesAtOnce bounds the containers that look at bases.
const probesAtOnce = 4

// ownBase says whether the author chose the base of an image.
func (s *source) ownBase(img generate.Image) bool {
	n := s.spec.Node(img.Node)
	return n != nil && n.Docker != nil && n.Docker.BaseImage.V != ""
}

// checkBases looks at the bases that the pipeline's author chose of images that
// will be built. What would fail is an error with the findings of all nodes, each
// at its base_image; what one should know goes to stderr. Without such a base
// it asks nothing.
func (e *env) checkBases(ctx context.Context, p *prepared, images []generate.Image, memory base.Memory) error {
	images = slices.DeleteFunc(slices.Clone(images), func(img generate.Image) bool { return !p.source.ownBase(img) })
	if len(images) == 0 {
		return nil
	}
	var refs []string
	for _, img := range images {
		if !slices.Contains(refs, img.Base) {
			refs = append(refs, img.Base)
		}
	}
	facts, errs := e.probeBases(ctx, e.prober(p.plan.UID, memory), refs)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var found pipeline.Diagnostics
	for i, n := range p.source.spec.Nodes {
		at := slices.IndexFunc(images, func(img generate.Image) bool { return img.Node == n.ID.V })
		if at < 0 {
			continue
		}
		ref := images[at].Base
		add := func(severity pipeline.Severity, message, hint string) {
			found = append(found, &pipeline.Diagnostic{
				File: p.source.path, Pos: n.Docker.BaseImage.Pos, Path: fmt.Sprintf("nodes[%d].docker.base_image", i),
				Message: message, Hint: hint, Severity: severity,
			})
		}
		probed := slices.Index(refs, ref)
		if err := errs[probed]; err != nil {
			add(pipeline.Error, err.Error(), "")
			continue
		}
		for _, f := range base.Judge(facts[probed], needs(n, images[at], p.plan.UID)) {
			add(f.Severity, ref+" "+f.Message, f.Hint)
		}
	}
	if found.HasErrors() {
		return e.explain(p.source, found)
	}
	e.warn(p.source, found)
	return nil
}

// needs is what a node asks of its base.
func needs(n *pipeline.Node, img generate.Image, uid int) base.Need {
	need := baseNeed(n.Docker)
	need.Arch, need.UID = architecture(img), uid
	return need
}

// architecture is that of an image to build, as Go names it; empty: the engine's.
func architecture(img generate.Image) string {
	_, arch, _ := strings.Cut(img.Platform, "/")
	return arch
}

// probeBases gathers the facts of images, in order. One that cannot be had does
// not stop the others.
func (e *env) probeBases(ctx context.Context, prober base.Prober, refs []string) ([]base.Facts, []error) {
	facts, errs := make([]base.Facts, len(refs)), make([]error, len(refs))
	var group errgroup.Group
	group.SetLimit(probesAtOnce)
	for i, ref := range refs {
		group.Go(func() error {
			facts[i], errs[i] = prober.Probe(ctx, ref)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return facts, errs
}

func (e *env) prober(uid int, memory base.Memory) base.Prober {
	return base.Prober{
		Engine: e.cli.Client(), UID: uid, Memory: memory,
		Auth:    func(ref string) (string, error) { return command.RetrieveAuthTokenFromImage(e.cli.ConfigFile(), ref) },
		Pulling: func(ref string) { fmt.Fprintf(e.cli.Err(), "pulling %s\n", ref) },
	}
}
