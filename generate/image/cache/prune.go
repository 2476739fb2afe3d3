package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// Selection says which images stay.
type Selection struct {
	Keep    int              // so many of those used last
	Needed  []generate.Image // these stay, too
	Foreign bool             // also those that only the engine knows; others may have made them
	DryRun  bool             // say what would be removed, and remove nothing
}

// Removed is an image that a prune removed.
type Removed struct {
	Ref  string `json:"image"`
	Size int64  `json:"size"` // bytes, layers that other images share included
}

// Prune removes the images that were used longest ago from the engine and from
// the store, until so many are left. None of them is used by a container, is
// being built or is needed.
func (c *Cache) Prune(ctx context.Context, s Selection) ([]Removed, error) {
	rows, err := c.Store.List(ctx)
	if err != nil {
		return nil, wrapped(err)
	}
	if !s.Foreign && len(rows) <= s.Keep {
		return nil, nil // listing takes the engine long
	}
	if err := c.forget(ctx, rows, s); err != nil {
		return nil, err
	}
	entries, err := c.Images(ctx)
	if err != nil {
		return nil, err
	}
	var gone []Removed
	var errs []error
	for _, e := range surplus(entries, s) {
		removed := s.DryRun
		if !s.DryRun {
			if removed, err = c.remove(ctx, e); err != nil {
				errs = append(errs, err)
			}
		}
		if removed && e.Status == store.Available {
			gone = append(gone, Removed{e.Ref, e.Row.Size})
		}
	}
	return gone, errors.Join(errs...)
}

// forget drops what is known of the images of other engines, many of which are
// gone for good: that of a CI run, say. They themselves are not touched.
func (c *Cache) forget(ctx context.Context, rows []store.Row, s Selection) error {
	const others = 10 // for each image that stays here
	var old []store.Ref
	seen := 0
	for _, row := range rows { // newest first
		if row.EngineID == c.EngineID {
			continue
		}
		if seen++; seen > others*s.Keep && !s.DryRun {
			old = append(old, row.Ref())
		}
	}
	return wrapped(c.Store.Delete(ctx, old...))
}

// surplus are the entries to remove: those used longest ago first.
func surplus(entries []Entry, s Selection) []Entry {
	needed := map[string]bool{}
	for _, img := range s.Needed {
		needed[img.Ref] = true
	}
	sorted := slices.SortedStableFunc(slices.Values(entries), func(a, b Entry) int { return int(b.Row.Used - a.Row.Used) })
	var out []Entry
	kept := 0
	for _, e := range sorted {
		stays := needed[e.Ref] || len(e.Containers) > 0 || e.Status == store.Building || e.foreign && !s.Foreign
		if stays || kept < s.Keep {
			kept++
			continue
		}
		out = append(out, e)
	}
	slices.Reverse(out)
	return out
}

// remove takes an image out of the store, if nobody has used it since it was
// looked at, then out of the engine. Meanwhile it is locked: who needs it waits,
// and finds that it is gone.
func (c *Cache) remove(ctx context.Context, e Entry) (bool, error) {
	lease, err := c.tryAcquire(e.Ref)
	if lease == nil {
		return false, err // somebody has it in work
	}
	defer lease.release()
	if free, err := c.Store.Claim(ctx, e.Row); err != nil || !free {
		return false, wrapped(err)
	}
	if e.Status != store.Available {
		return true, nil
	}
	_, err = c.Engine.ImageRemove(ctx, e.Ref, client.ImageRemoveOptions{PruneChildren: true})
	if err != nil && !errdefs.IsNotFound(err) {
		err = fmt.Errorf("remove image %s: %w", e.Ref, err)
		if !e.foreign { // it goes on to be known
			err = errors.Join(err, c.put(ctx, e.Row))
		}
		return false, err
	}
	return true, nil
}

// Entry is one image that the engine or the store knows.
type Entry struct {
	Ref        string
	Status     store.Status
	Why        string    // what is wrong with it; empty: nothing
	Row        store.Row // what is known of it
	Containers []string  // that use it, running or not

	foreign bool // the store does not know it
}

// Images are all images of this engine that were made here, newest use first.
// What only the engine knows is found by its labels; what only the store knows,
// and is no failed build, was removed elsewhere and is left out.
func (c *Cache) Images(ctx context.Context) ([]Entry, error) {
	have, err := c.list(ctx, make(client.Filters).Add("label", image.KeyLabel))
	if err != nil {
		return nil, err
	}
	rows, err := c.Store.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("image cache: %w", err)
	}
	users, err := c.users(ctx)
	if err != nil {
		return nil, err
	}
	var out []Entry
	seen := map[string]bool{}
	for _, row := range rows {
		if row.EngineID != c.EngineID {
			continue
		}
		ref := row.Name + ":" + row.Tag
		found, there := have[ref]
		seen[ref] = true
		e := Entry{Ref: ref, Status: row.Status, Row: row, Containers: users[row.ImageID]}
		switch {
		case row.Status == store.Building && !c.held(ref):
			e.Status, e.Why = store.Failed, "the build was interrupted"
		case row.Status == store.Failed:
			e.Why = row.Error
		case row.Status == store.Available && !there:
			continue
		case row.Status == store.Available && string(found.id) != row.ImageID:
			e.Why = "the image was replaced by another program"
		}
		out = append(out, e)
	}
	for ref, found := range have {
		if seen[ref] || !strings.HasPrefix(ref, generate.Repository) {
			continue
		}
		out = append(out, Entry{Ref: ref, Status: store.Available, Row: c.labelled(ref, found), Containers: users[string(found.id)], foreign: true})
	}
	slices.SortStableFunc(out, func(a, b Entry) int {
		if a.Row.Used != b.Row.Used {
			return int(b.Row.Used - a.Row.Used)
		}
		return strings.Compare(a.Ref, b.Ref)
	})
	return out, nil
}

// users are the names of containers by the image that they were made of.
func (c *Cache) users(ctx context.Context) (map[string][]string, error) {
	got, err := c.Engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its containers: %w", err)
	}
	out := map[string][]string{}
	for _, item := range got.Items {
		name := item.ID
		if len(item.Names) > 0 {
			name = strings.TrimPrefix(item.Names[0], "/")
		}
		out[item.ImageID] = append(out[item.ImageID], name)
	}
	return out, nil
}

func refs(gone []Removed) string {
	names := make([]string, len(gone))
	for i, r := range gone {
		names[i] = r.Ref
	}
	return strings.Join(names, ", ")
}
