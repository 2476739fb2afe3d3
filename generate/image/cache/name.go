package cache

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// pushSuffix ends the file of a name that an image has while it is pushed. What
// is written in it is the name, if it is to go afterwards: also if who pushes is
// killed.
const pushSuffix = ".push"

// Name is the right to call an image of the engine ref while it is pushed: of
// several processes that push the same, none takes another's name away. The name
// is temporary if the engine does not have it already; done must be called when
// it is gone.
func (c *Cache) Name(ctx context.Context, node, ref string) (temporary bool, done func(), err error) {
	path := strings.TrimSuffix(c.lockPath(ref), lockSuffix) + pushSuffix
	l, err := c.await(ctx, path, func() func() { return c.Wait(node, "waiting for another process, which pushes the same image") })
	if err != nil {
		return false, nil, err
	}
	own := familiar(ref)
	tags, err := c.tags(ctx, []string{own})
	if err != nil {
		l.release()
		return false, nil, err
	}
	left, _ := os.ReadFile(path) // of who was killed
	temporary = tags[own].id == "" || string(left) == ref
	if temporary && l.file != nil {
		_ = os.WriteFile(path, []byte(ref), 0o600) // without it only kill -9 leaves something
	}
	return temporary, l.release, nil
}

// forget removes the name that a push left which was killed.
func (c *Cache) forget(path string) {
	ref, err := os.ReadFile(path)
	if err != nil || len(ref) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, _ = c.Engine.ImageRemove(ctx, string(ref), client.ImageRemoveOptions{})
}
