// Package cache decides which images of a plan have to be built. What it
// remembers of earlier builds is advice only: the engine is asked about every
// image, in one call for all of them, and a build under way is proved by a
// kernel lock and not by a row.
package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// Engine is the part of the engine's client that the cache needs.
type Engine interface {
	ImageList(ctx context.Context, opts client.ImageListOptions) (client.ImageListResult, error)
	ImageRemove(ctx context.Context, ref string, opts client.ImageRemoveOptions) (client.ImageRemoveResult, error)
	ContainerList(ctx context.Context, opts client.ContainerListOptions) (client.ContainerListResult, error)
}

// Cache knows the images of one engine.
type Cache struct {
	Engine Engine
	// EngineID is the engine's own; one user may have several engines.
	EngineID string
	Store    *store.Store
	// Locks is a directory for the files whose locks prove that a build goes on.
	Locks string
	// Keep is how many images stay after a build; those used longest ago go.
	Keep int
	// Say tells a person what happened.
	Say func(text string)
	// Wait shows that a build waits for another, until done is called.
	Wait func(node, text string) (done func())
}

// tagged is what the engine has under a reference.
type tagged struct {
	id      image.ID
	key     string // of the recipe, if it is one of ours
	base    string // id of the base that it was built on, if that is known
	digest  string
	size    int64 // bytes
	created time.Time
}

// tags asks the engine for references, in one call.
func (c *Cache) tags(ctx context.Context, refs []string) (map[string]tagged, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	return c.list(ctx, make(client.Filters).Add("reference", refs...))
}

func (c *Cache) list(ctx context.Context, filters client.Filters) (map[string]tagged, error) {
	got, err := c.Engine.ImageList(ctx, client.ImageListOptions{Filters: filters})
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its images: %w", err)
	}
	out := map[string]tagged{}
	for _, item := range got.Items {
		t := tagged{
			id: image.ID(item.ID), key: item.Labels[image.KeyLabel], base: item.Labels[image.BaseLabel],
			size: item.Size,
		}
		if item.Created > 0 { // builds are repeatable: theirs is the year 1970
			t.created = time.Unix(item.Created, 0).UTC()
		}
		if item.Descriptor != nil {
			t.digest = item.Descriptor.Digest.String()
		}
		for _, tag := range item.RepoTags {
			out[tag] = t
		}
	}
	return out, nil
}

// familiar is a base image's reference as the engine lists it; empty if it is a
// digest, which never changes its meaning.
func familiar(base string) string {
	named, err := reference.ParseNormalizedNamed(base)
	if err != nil {
		return ""
	}
	if _, pinned := named.(reference.Digested); pinned {
		return ""
	}
	return reference.FamiliarString(reference.TagNameOnly(named))
}

// Look tells of each image whether it has to be built, and why. It changes
// nothing.
func (c *Cache) Look(ctx context.Context, images []generate.Image) ([]State, error) {
	return c.look(ctx, images, c.held)
}

// look is Look with a word on which images another process has in work.
func (c *Cache) look(ctx context.Context, images []generate.Image, held func(ref string) bool) ([]State, error) {
	var refs []string
	for _, img := range images {
		refs = append(refs, img.Ref)
		if base := familiar(img.Base); base != "" {
			refs = append(refs, base)
		}
	}
	slices.Sort(refs)
	tags, err := c.tags(ctx, slices.Compact(refs))
	if err != nil {
		return nil, err
	}
	rows, err := c.Store.Get(ctx, refsOf(images))
	if err != nil {
		return nil, fmt.Errorf("image cache: %w", err)
	}
	states := make([]State, len(images))
	for i, img := range images {
		row, known := rows[refOf(img.Ref)]
		k := knowledge{engine: c.EngineID, tagged: tags[img.Ref], base: string(tags[familiar(img.Base)].id)}
		if known {
			k.row = &row
		}
		// What is known and available is asked for no lock: mostly all is.
		k.busy = (!known || row.Status != store.Available) && held(img.Ref)
		states[i] = judge(img, k)
	}
	return states, nil
}

// Use is what images are needed for.
type Use struct {
	Project     string
	Parallelism int  // builds at once; 0: all
	Always      bool // also build what is there
	// Before is called with what will be built, if anything will; its error
	// keeps all of it from being built. nil: nothing is called.
	Before func(missing []generate.Image) error
}

// Ready are images that the engine has. Nobody prunes them before Release.
type Ready struct {
	IDs []image.ID // in the order that was asked for

	cache  *Cache
	leases []*lease
}

// Release ends the hold; containers that were made of the images go on to hold
// them. Safe twice.
func (r *Ready) Release() {
	for _, l := range r.leases {
		l.leave()
	}
	if r.leases != nil {
		r.cache.sweep()
	}
	r.leases = nil
}

// Ensure builds what has to be built.
func (c *Cache) Ensure(ctx context.Context, images []generate.Image, next image.Builder, use Use) (*Ready, error) {
	unique, place := distinct(images)
	built := false
	for range 5 {
		ids, some, err := c.once(ctx, unique, next, use)
		if err != nil {
			return nil, err
		}
		built = built || some
		leases, held := c.hold(ctx, unique)
		r := &Ready{cache: c, leases: leases}
		stay, err := c.touch(ctx, images, use.Project, len(unique))
		if err != nil || !held || !stay {
			r.Release()
		}
		if err != nil {
			return nil, err
		}
		if held && stay {
			if built {
				c.tidy(ctx, unique)
			}
			for _, at := range place {
				r.IDs = append(r.IDs, ids[at])
			}
			return r, nil
		}
		// Another process has one in work, or has removed it, since the look.
		use.Always = false
	}
	return nil, errors.New("the images are removed again and again as they are made: who prunes them?")
}

// distinct are images without those that are the same: ids which differ in what
// no image can be called by give nodes of one recipe one image. place says where
// each of the images is.
func distinct(images []generate.Image) (unique []generate.Image, place []int) {
	at := map[string]int{}
	for _, img := range images {
		if _, ok := at[img.Ref]; !ok {
			at[img.Ref] = len(unique)
			unique = append(unique, img)
		}
		place = append(place, at[img.Ref])
	}
	return unique, place
}

// once looks, and makes and writes down what the look did not find; it says
// whether something was built.
func (c *Cache) once(ctx context.Context, images []generate.Image, next image.Builder, use Use) ([]image.ID, bool, error) {
	states, err := c.Look(ctx, images)
	if err != nil {
		return nil, false, err
	}
	ids := make([]image.ID, len(images))
	var missing, locked []generate.Image
	var at []int
	for i, s := range states {
		ids[i] = s.ID
		if s.ID == "" || use.Always {
			missing = append(missing, s.Image)
		}
		if s.ID == "" || use.Always || s.adopt {
			locked, at = append(locked, s.Image), append(at, i)
		}
	}
	if len(missing) > 0 && use.Before != nil {
		if err := use.Before(missing); err != nil {
			return nil, false, err
		}
	}
	got, err := image.BuildAll(ctx, exclusive{c, next, use.Always}, locked, use.Parallelism)
	if err != nil {
		return nil, false, err
	}
	for i, id := range got {
		ids[at[i]] = id
	}
	return ids, len(missing) > 0, nil
}

// tidy removes old images after a build. What cannot be removed now is removed
// after a later one.
func (c *Cache) tidy(ctx context.Context, needed []generate.Image) {
	gone, err := c.Prune(ctx, Selection{Keep: c.Keep, Needed: needed})
	if len(gone) > 0 {
		c.Say(fmt.Sprintf("removed what was used longest ago, to keep %d images: %s", c.Keep, refs(gone)))
	}
	if err != nil {
		c.Say("warning: old images stay for now: " + err.Error())
	}
}

// touch notes the use of images by their nodes; false if one of them, of which so
// many differ, was removed before.
func (c *Cache) touch(ctx context.Context, images []generate.Image, project string, differ int) (bool, error) {
	uses := make([]store.Use, len(images))
	for i, img := range images {
		uses[i] = store.Use{Ref: refOf(img.Ref), Project: project, Node: img.Node}
	}
	if err := c.Store.Touch(ctx, uses); err != nil {
		return false, fmt.Errorf("image cache: %w", err)
	}
	rows, err := c.Store.Get(ctx, refsOf(images))
	if err != nil {
		return false, fmt.Errorf("image cache: %w", err)
	}
	return len(rows) == differ, nil
}

// exclusive builds an image unless another process does it first.
type exclusive struct {
	cache  *Cache
	next   image.Builder
	always bool
}

// Build waits for whoever builds the same image now, and takes what is there
// then.
func (e exclusive) Build(ctx context.Context, img generate.Image) (image.ID, error) {
	c := e.cache
	lease, err := c.acquire(ctx, img)
	if err != nil {
		return "", err
	}
	defer lease.release()
	if !e.always {
		// The lock, which is ours, came later than the look before it.
		states, err := c.look(ctx, []generate.Image{img}, func(string) bool { return false })
		if err != nil {
			return "", err
		}
		if s := states[0]; s.ID != "" {
			if s.adopt {
				err = c.put(ctx, c.row(img, s.found))
			}
			return s.ID, err
		}
	}
	return c.build(ctx, img, e.next)
}

// build makes one image and writes down what became of it. No transaction is
// open meanwhile.
func (c *Cache) build(ctx context.Context, img generate.Image, next image.Builder) (image.ID, error) {
	before, err := c.Store.Get(ctx, []store.Ref{refOf(img.Ref)})
	if err != nil {
		return "", wrapped(err)
	}
	row := c.row(img, tagged{})
	row.Status, row.Holder = store.Building, me()
	if err := c.put(ctx, row); err != nil {
		return "", err
	}
	id, failure := next.Build(ctx, img)
	recording := context.WithoutCancel(ctx)
	var found tagged
	if failure == nil {
		found, failure = c.made(recording, img, id)
	}
	if failure == nil {
		return id, c.put(recording, c.row(img, found))
	}
	row.Status, row.Holder = store.Failed, ""
	row.Error = strings.ToValidUTF8(strings.ReplaceAll(failure.Error(), "\x00", ""), "?")
	return "", errors.Join(failure, c.unmade(recording, row, before[refOf(img.Ref)], ctx.Err() != nil))
}

// unmade writes down that a build gave nothing. An image that was there before it
// is there still: only a cache could not be written, say.
func (c *Cache) unmade(ctx context.Context, failed, before store.Row, cancelled bool) error {
	if before.Status == store.Available && before.EngineID == c.EngineID {
		return c.put(ctx, before)
	}
	if cancelled {
		return wrapped(c.Store.Delete(ctx, failed.Ref()))
	}
	return c.put(ctx, failed)
}

// made is what the engine has under the name of an image that was just built.
func (c *Cache) made(ctx context.Context, img generate.Image, id image.ID) (tagged, error) {
	tags, err := c.tags(ctx, []string{img.Ref})
	if err == nil && tags[img.Ref].id != id {
		err = fmt.Errorf("build %s: %s was taken by another image during the build: is another program building it?", img.Node, img.Ref)
	}
	return tags[img.Ref], err
}

func (c *Cache) put(ctx context.Context, row store.Row) error { return wrapped(c.Store.Put(ctx, row)) }

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("image cache: %w", err)
}
