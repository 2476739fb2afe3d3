package cache

import (
	"fmt"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// State is what is known of an image of a plan.
type State struct {
	Image generate.Image
	ID    image.ID // the engine's image that does; empty: one has to be built
	Why   string   // it has to be built; in a few words
	found tagged
	adopt bool // it does, and the store does not know it
}

// knowledge is what a verdict is made of.
type knowledge struct {
	engine string     // the engine's id
	tagged tagged     // what it has under the image's reference; zero: nothing
	base   string     // id of what it has as the base image; empty: nothing
	row    *store.Row // what is remembered; nil: nothing
	busy   bool       // another process has it in work
}

// judge decides about one image. An image that is not exactly what was made
// from this recipe is made again: a build whose steps are cached takes a
// moment, a wrong image takes an afternoon.
func judge(img generate.Image, k knowledge) State {
	s := State{Image: img, found: k.tagged}
	remembered := k.row != nil && k.row.EngineID == k.engine && k.row.Key == img.Key
	switch {
	case k.busy && k.row != nil && k.row.Status == store.Building:
		s.Why = "is being built by " + k.row.Holder
	case k.busy:
		s.Why = "another process builds or removes it"
	case k.tagged.id == "":
		s.Why = missing(k.row, remembered)
	case k.tagged.key != img.Key:
		// The tag is the beginning of the key only, and anybody can set a tag.
		s.Why = "its tag is that of another image"
	case remembered && k.row.Status == store.Available && k.row.ImageID != string(k.tagged.id):
		s.Why = "the image was replaced by another program"
	case k.tagged.base != "" && k.base != "" && k.tagged.base != k.base:
		s.Why = fmt.Sprintf("%s is another image now", img.Base)
	case remembered && k.row.Status == store.Available:
		s.ID = k.tagged.id
	case !k.tagged.created.IsZero():
		// Whatever is built on an image of ours, or committed from a container of
		// one, inherits its labels, but not the time that our builds have: none.
		s.Why = "the image of its name may be another program's"
	default:
		s.ID, s.adopt = k.tagged.id, true
	}
	return s
}

// missing tells why the engine may not have an image.
func missing(row *store.Row, remembered bool) string {
	switch {
	case !remembered:
		return "not built yet"
	case row.Status == store.Failed:
		return "its last build failed"
	case row.Status == store.Building:
		return "its last build was interrupted"
	}
	return "it was removed from the engine"
}
