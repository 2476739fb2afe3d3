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
	Foreign bool             // also those that were not used through this cache; others may need them
	DryRun  bool             // say what would be removed, and remove nothing
}

// Removed is an image that a prune removed.
type Removed struct {
	Ref  string `json:"image"`
	Size int64  `json:"size"` // bytes, layers that other images share included
}

// Prune removes the images that were used longest ago from the engine and from
// the store, until so many are left. None of them is used by a container, is
// being built or is needed. What the store knows of images that are gone is
// dropped.
func (c *Cache) Prune(ctx context.Context, s Selection) ([]Removed, error) {
	rows, err := c.Store.List(ctx)
	if err != nil {
		return nil, wrapped(err)
	}
	if !s.Foreign && len(rows) <= s.Keep {
		return nil, nil // listing takes the engine long
	}
	entries, ghosts, err := c.inventory(ctx, rows)
	if err != nil {
		return nil, err
	}
	if !s.DryRun {
		if err := c.Store.Delete(ctx, append(ghosts, c.others(rows)...)...); err != nil {
			return nil, wrapped(err)
		}
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

// others are the oldest rows of other engines, many of which are gone for good:
// that of a CI run, say. Their images are not touched.
func (c *Cache) others(rows []store.Row) []store.Ref {
	const each = 10 // for one that is kept here
	var old []store.Ref
	seen := 0
	for _, row := range rows { // newest first
		if row.EngineID == c.EngineID {
			continue
		}
		if seen++; seen > each*c.Keep {
			old = append(old, row.Ref())
		}
	}
	return old
}

// surplus are the entries to remove: those used longest ago first.
func surplus(entries []Entry, s Selection) []Entry {
	needed := map[string]bool{}
	for _, img := range s.Needed {
		needed[img.Ref] = true
	}
	sorted := slices.SortedStableFunc(slices.Values(entries), func(a, b Entry) int { return int(b.Row.Used - a.Row.Used) })
	var out []Entry
	kept, failed := 0, 0
	for _, e := range sorted {
		switch {
		case e.Status == store.Failed: // has no image, and must not crowd out one that has
			if failed++; failed > s.Keep {
				out = append(out, e)
			}
		case e.foreign && !s.Foreign: // crowds out nothing of ours
		case needed[e.Ref] || len(e.Containers) > 0 || e.Status == store.Building || kept < s.Keep:
			kept++
		default:
			out = append(out, e)
		}
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
	if e.Status != store.Available || e.Row.Key == "" {
		return true, nil // there is no image, or it is not ours
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

	foreign bool // nobody has used it through this cache
}

// Images are all images of this engine that were made here, newest use first, and
// builds that failed. What only the engine knows is found by its labels.
func (c *Cache) Images(ctx context.Context) ([]Entry, error) {
	rows, err := c.Store.List(ctx)
	if err != nil {
		return nil, wrapped(err)
	}
	entries, _, err := c.inventory(ctx, rows)
	return entries, err
}

// inventory holds the store's rows against what the engine has, which decides.
// Ghosts are rows whose image is gone.
func (c *Cache) inventory(ctx context.Context, rows []store.Row) (entries []Entry, ghosts []store.Ref, err error) {
	have, err := c.list(ctx, make(client.Filters).Add("label", image.KeyLabel))
	if err != nil {
		return nil, nil, err
	}
	users, err := c.users(ctx)
	if err != nil {
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, row := range rows {
		if row.EngineID != c.EngineID {
			continue
		}
		ref := row.Name + ":" + row.Tag
		found, there := have[ref]
		e, ok := entryOf(row, found, there && found.key == row.Key, row.Status == store.Building && c.held(ref))
		if !ok {
			ghosts = append(ghosts, row.Ref())
			continue
		}
		seen[ref] = true
		entries = append(entries, e)
	}
	for ref, found := range have {
		if !seen[ref] && strings.HasPrefix(ref, generate.Repository) {
			entries = append(entries, Entry{Ref: ref, Status: store.Available, Row: c.labelled(ref, found), foreign: true})
		}
	}
	for i := range entries {
		entries[i].Containers = users[entries[i].Row.ImageID]
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		if a.Row.Used != b.Row.Used {
			return int(b.Row.Used - a.Row.Used)
		}
		return strings.Compare(a.Ref, b.Ref)
	})
	return entries, ghosts, nil
}

// entryOf is a row beside what the engine has under its name; intact says that
// this is made of the same recipe, building that somebody is at it. It is false
// if there is no image any more.
func entryOf(row store.Row, found tagged, intact, building bool) (Entry, bool) {
	e := Entry{Ref: row.Ref().String(), Status: row.Status, Row: row, foreign: row.Used == 0}
	switch {
	case building:
	case intact && row.Status == store.Available && string(found.id) != row.ImageID:
		e.Why = "the image was replaced by another program"
	case intact && row.Status != store.Available:
		// The build was killed after the engine had the image.
		e.Status, e.Row.ImageID, e.Row.Size = store.Available, string(found.id), found.size
	case intact:
	case row.Status == store.Building:
		e.Status, e.Why = store.Failed, "the build was interrupted"
	case row.Status == store.Failed:
		e.Why = row.Error
	case row.Key == "":
		e.Why = "imported; the engine has no image of this name that was made here"
	default:
		return e, false
	}
	return e, true
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
