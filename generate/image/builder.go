// Package image turns the images of a plan into images of an engine. Here
// begins what talks to the world: BuildKit inside the engine, over the engine's
// own socket.
package image

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/medianode/docker-medianode/generate"
)

// Labels of an image that was built here.
const (
	KeyLabel  = "dev.medianode.key"  // its key
	BaseLabel = "dev.medianode.base" // the engine's id of the base image; none if the builder pulled it
)

// ID is the engine's id of an image.
type ID string

// Builder makes an image.
type Builder interface {
	Build(ctx context.Context, img generate.Image) (ID, error)
}

// BuildError is a build that failed.
type BuildError struct {
	Node string   // id of the node
	Step string   // the instruction that failed; may be empty
	Log  []string // its last lines
	Err  error
	Hint string // what to change, on one line; may be empty
}

// Error is one line.
func (e *BuildError) Error() string {
	where := "build " + e.Node
	if e.Step != "" {
		where += ": " + e.Step
	}
	text, _, _ := strings.Cut(e.Err.Error(), "\n")
	// BuildKit repeats the whole command before what matters.
	if _, why, ok := strings.Cut(text, "did not complete successfully: "); ok {
		text = why
	}
	return where + ": " + text
}

// Unwrap is the cause.
func (e *BuildError) Unwrap() error { return e.Err }

// isCanceled tells an error of a stopped build: gRPC has its own word for it.
func isCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled || strings.Contains(err.Error(), context.Canceled.Error())
}
