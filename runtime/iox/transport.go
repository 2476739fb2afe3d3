//go:build cgo && linux

package iox

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Transport is one process's part in a domain.
type Transport struct {
	dir string

	mu   sync.RWMutex // held for reading during a call of the library
	node *cNode       // nil once closed

	cleaning sync.Mutex

	endsMu sync.Mutex
	ends   map[io.Closer]struct{} // what is open and will be closed with it
}

var _ channel.Transport = (*Transport)(nil)

// Open joins a domain whose segments and ledgers are in dir.
func Open(d channel.Domain, dir string) (*Transport, error) {
	node, err := openNode(d, dir)
	if err != nil {
		return nil, err
	}
	return &Transport{dir: dir, node: node, ends: map[io.Closer]struct{}{}}, nil
}

// open runs dial with the node. If the channel is full or there already, that
// may be by processes that died: it then cleans up and tries again. Somebody
// else may be cleaning at the same time, so it tries more than once.
func (t *Transport) open(s channel.Spec, end io.Closer, dial func(*cNode, *cSpec) error) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.node == nil {
		return channel.ErrClosed
	}
	err := withSpec(s, func(c *cSpec) error {
		err := dial(t.node, c)
		for range 2 {
			var e *Error
			if !errors.As(err, &e) || e.Code != Occupied && e.Code != Exists {
				return err
			}
			if n, _ := t.clean(); n == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			err = dial(t.node, c)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("channel %s: %w", s.Name, err)
	}
	t.endsMu.Lock()
	t.ends[end] = struct{}{}
	t.endsMu.Unlock()
	return nil
}

func (t *Transport) forget(end io.Closer) {
	t.endsMu.Lock()
	delete(t.ends, end)
	t.endsMu.Unlock()
}

// created is a channel that this process keeps.
type created struct {
	owner *Transport
	spec  channel.Spec
	once  sync.Once
	raw   *cChannel
}

// Create makes the channel and its ledger and keeps them until closed.
func (t *Transport) Create(s channel.Spec) (io.Closer, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	c := &created{owner: t, spec: s}
	err := t.open(s, c, func(n *cNode, spec *cSpec) (err error) {
		if c.raw, err = createChannel(n, spec); err != nil {
			return err
		}
		// Only who could create the services may replace the ledger.
		if err = createLedger(t.dir, s); err != nil {
			dropChannel(c.raw)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Close removes the ledger and lets the services go; ends that are open go on.
func (c *created) Close() error {
	var err error
	c.once.Do(func() {
		err = removeLedger(c.owner.dir, c.spec)
		dropChannel(c.raw)
		c.owner.forget(c)
	})
	return err
}

// Leave lets the services go and keeps the ledger: others go on with the channel,
// and whoever ends it removes the directory.
func (c *created) Leave() error {
	c.once.Do(func() {
		dropChannel(c.raw)
		c.owner.forget(c)
	})
	return nil
}

// Clean removes what dead processes left behind, connections to open ends of
// this process included, and says how many dead there were and how many files
// that belonged to nobody.
func (t *Transport) Clean() (int, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.node == nil {
		return 0, channel.ErrClosed
	}
	// Before, so that what a dead writer has sent is not lost to a reader that
	// had not looked yet; after, so that open ends let go of the dead.
	_ = t.refresh()
	n, err := t.clean()
	return n, errors.Join(err, t.refresh())
}

// clean is the library's, once at a time: it keeps processes from cleaning up
// after the same dead one, but not the threads of one process.
func (t *Transport) clean() (int, error) {
	t.cleaning.Lock()
	defer t.cleaning.Unlock()
	return clean(t.node)
}

func (t *Transport) refresh() error {
	var err error
	for _, end := range t.opened() {
		if port, ok := end.(interface{ Refresh() error }); ok {
			err = errors.Join(err, port.Refresh())
		}
	}
	return err
}

// opened are the ends and channels that are open.
func (t *Transport) opened() []io.Closer {
	t.endsMu.Lock()
	defer t.endsMu.Unlock()
	return slices.Collect(maps.Keys(t.ends))
}

// Close leaves the domain, safe twice. It closes what is open; frames that are
// out stay good until they are ended.
func (t *Transport) Close() error {
	t.mu.Lock()
	node := t.node
	t.node = nil
	t.mu.Unlock()
	if node == nil {
		return nil
	}
	var err error
	for _, end := range t.opened() {
		err = errors.Join(err, end.Close())
	}
	dropNode(node)
	return err
}
