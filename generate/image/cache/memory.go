package cache

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// Changes says of each image that has to be built what its recipe has that the
// image did not have which the node of the project used last; nothing if there
// was none, or if it is not the recipe that differs.
func (c *Cache) Changes(ctx context.Context, project string, states []State) ([][]string, error) {
	had, err := c.Store.Had(ctx, project)
	if err != nil {
		return nil, fmt.Errorf("image cache: %w", err)
	}
	out := make([][]string, len(states))
	for i, s := range states {
		row, ok := had[s.Image.Node]
		if s.ID != "" || !ok || row.Key == s.Image.Key {
			continue
		}
		if old, ok := inputs(row); ok {
			out[i] = s.Image.Inputs().Changes(old)
		}
	}
	return out, nil
}

// Adopt writes down what the engine has, when what was remembered is lost. Until
// it is used here, an image counts as that of others.
func (c *Cache) Adopt(ctx context.Context) error {
	have, err := c.list(ctx, make(client.Filters).Add("label", image.KeyLabel))
	if err != nil {
		return err
	}
	var rows []store.Row
	for _, ref := range slices.Sorted(maps.Keys(have)) {
		if strings.HasPrefix(ref, generate.Repository) {
			rows = append(rows, c.labelled(ref, have[ref]))
		}
	}
	return wrapped(c.Store.Found(ctx, rows...))
}
