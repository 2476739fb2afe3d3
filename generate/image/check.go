package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/medianode/docker-medianode/generate"
)

// Finding is what a check of a Dockerfile found.
type Finding struct {
	Rule  string // of Docker's build checks; empty: it cannot be built
	Text  string // one line, without what would steer a terminal
	URL   string // explains the rule; may be empty
	Lines string // of the Dockerfile that it is about; empty: all
}

// Fatal says that the Dockerfile cannot be built.
func (f Finding) Fatal() bool { return f.Rule == "" }

// Check holds Docker's build checks against the Dockerfile of an image, as
// 'docker build --check' does. It needs no engine, and knows nothing of the base
// image.
func Check(ctx context.Context, img generate.Image) ([]Finding, error) {
	platform := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	if img.Platform != "" {
		var err error
		if platform, err = platforms.Parse(img.Platform); err != nil {
			return nil, fmt.Errorf("check the Dockerfile of %s: %w", img.Node, err)
		}
	}
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", img.Dockerfile)
	source.Definition = &llb.Definition{} // read without being asked for
	result, err := dockerfile2llb.DockerfileLint(ctx, img.Dockerfile, dockerfile2llb.ConvertOpt{
		SourceMap: source, TargetPlatform: &platform, MetaResolver: anyBase{platform},
	})
	if err != nil {
		return nil, fmt.Errorf("check the Dockerfile of %s: %w", img.Node, err)
	}
	var found []Finding
	if e := result.Error; e != nil {
		found = append(found, Finding{Text: oneLine(e.Message), Lines: linesOf(img.Dockerfile, &e.Location)})
	}
	for _, w := range result.Warnings {
		found = append(found, Finding{Rule: w.RuleName, Text: oneLine(w.Detail), URL: w.URL, Lines: linesOf(img.Dockerfile, w.Location)})
	}
	return found, nil
}

func oneLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return strings.Map(visible, text)
}

// linesOf are the lines of a text at a place, with line ends.
func linesOf(text []byte, at *pb.Location) string {
	lines := strings.SplitAfter(string(text), "\n")
	var b strings.Builder
	for _, r := range at.GetRanges() {
		from, to := int(r.GetStart().GetLine()), int(r.GetEnd().GetLine())
		for n := max(1, from); n <= min(to, len(lines)); n++ {
			b.WriteString(lines[n-1])
		}
	}
	return b.String()
}

// anyBase answers for every base image with one that has nothing to object to.
type anyBase struct{ platform ocispecs.Platform }

func (b anyBase) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", fmt.Appendf(nil, `{"architecture":%q,"os":%q,"config":{"Env":["PATH=/usr/bin"]},"rootfs":{"type":"layers"}}`, b.platform.Architecture, b.platform.OS), nil
}
