package image

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/generate"
)

// Retry builds a second time, without cache, when the engine's own build cache
// is what failed. It never does so for a failure of what is built.
type Retry struct {
	next, fresh Builder
	say         func(node, text string)
}

// NewRetry puts a builder in front of two: the usual one, and one that uses
// nothing of the build cache. What happens is told with say.
func NewRetry(next, fresh Builder, say func(node, text string)) *Retry {
	return &Retry{next: next, fresh: fresh, say: say}
}

// Build makes the image.
func (r *Retry) Build(ctx context.Context, img generate.Image) (ID, error) {
	id, err := r.next.Build(ctx, img)
	if err == nil || ctx.Err() != nil || !cacheBroken(err) {
		return id, err
	}
	r.say(img.Node, fmt.Sprintf("the engine's build cache is damaged (%s): built again without it", lastOf(err)))
	id, err = r.fresh.Build(ctx, img)
	if err == nil || !cacheBroken(err) {
		return id, err
	}
	hint := "what the engine keeps is damaged: docker builder prune --all, then pull or build " + img.Base + " again"
	if failed, ok := errors.AsType[*BuildError](err); ok {
		failed.Hint = hint
		return "", err
	}
	return "", fmt.Errorf("%w (%s)", err, hint)
}

// lastOf is what went wrong, without the long way there.
func lastOf(err error) string {
	text, _, _ := strings.Cut(whole(err), "\n")
	for _, found := range brokenParts() {
		if at := found.FindStringIndex(text); at != nil {
			return text[at[0]:at[1]]
		}
	}
	return text
}

// whole is an error as BuildKit gave it.
func whole(err error) string {
	if failed, ok := errors.AsType[*BuildError](err); ok {
		return failed.Err.Error()
	}
	return err.Error()
}

// cacheBroken tells the errors by which BuildKit and its stores say that they
// have lost or damaged something of their own.
func cacheBroken(err error) bool {
	if isCanceled(err) {
		return false
	}
	text := whole(err)
	// A step that ran and failed, or a file that the context does not have, may
	// say anything.
	if strings.Contains(text, "did not complete successfully") || strings.Contains(text, "failed to calculate checksum of ref") {
		return false
	}
	return slices.ContainsFunc(brokenParts(), func(p *regexp.Regexp) bool { return p.MatchString(text) })
}

// brokenParts are the parts of such errors that tell them; the text around them
// differs with where they come up.
func brokenParts() []*regexp.Regexp {
	patterns := []string{
		`snapshot \S+ does not exist`,                                                  // containerd's snapshots, also "parent snapshot"
		`parent snapshot does not exist`,                                               // the same of a remote snapshotter
		`failed to get layer \S+ layer does not exist`,                                 // the engine's own layers
		`content digest \S+ not found`,                                                 // containerd's content store
		`blob (sha256:[0-9a-f]+ )?not found`,                                           // a cache that names what is gone
		`invalid (im)?mutable ref`,                                                     // a record of the cache without its files
		`missing descriptor handlers for lazy blobs`,                                   // a layer that was never fetched
		`ref \S+ locked: unavailable`,                                                  // a record that another build holds
		`lease "?\S+"?: not found`,                                                     // collected while it was used
		`unexpected commit digest \S+ expected \S+`,                                    // other bytes than were asked for
		`/(overlay2|snapshots|fuse-overlayfs|buildkit)/\S*: no such file or directory`, // files gone below the store
	}
	out := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		out[i] = regexp.MustCompile(p)
	}
	return out
}
