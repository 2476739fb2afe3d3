package image

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// Puller is the part of the engine's client that finished images need.
type Puller interface {
	ImageInspect(ctx context.Context, ref string, opts ...client.ImageInspectOption) (client.ImageInspectResult, error)
	ImagePull(ctx context.Context, ref string, opts client.ImagePullOptions) (client.ImagePullResponse, error)
}

// Has tells whether the engine has an image, whoever made it.
func Has(ctx context.Context, engine Puller, ref string) (bool, error) {
	_, err := engine.ImageInspect(ctx, ref)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for image %s: %w", ref, err)
	}
	return true, nil
}

// Pull brings an image that the engine does not have. auth is what its registry
// wants to know, as the engine takes it; empty: nothing.
func Pull(ctx context.Context, engine Puller, ref, auth string) error {
	response, err := engine.ImagePull(ctx, ref, client.ImagePullOptions{RegistryAuth: auth})
	if err == nil {
		err = response.Wait(ctx)
	}
	if err != nil {
		return fmt.Errorf("the engine does not have image %s and cannot pull it: %w", ref, err)
	}
	return nil
}
