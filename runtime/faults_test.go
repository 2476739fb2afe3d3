package runtime

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/medianode/docker-medianode/runtime/node"
)

func TestBuiltinFailures(t *testing.T) {
	bad := errors.New("disk full")
	tests := map[string]struct {
		at   int
		body node.Builtin
		want string
	}{
		"source": {0, func(context.Context, *node.Ports) error { return bad }, "node src: disk full"},
		"sink": {2, func(ctx context.Context, p *node.Ports) error {
			f, err := p.Receive(ctx)
			f.Release()
			return errors.Join(err, bad)
		}, "node out: disk full"},
		"panic": {2, func(context.Context, *node.Ports) error { panic("oh") }, "node out: panic: oh"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 0)
			r.config.Nodes[test.at].Run = test.body
			s, err := Start(t.Context(), r.config)
			if err == nil {
				err = s.Wait(t.Context())
				r.end(s)
			}
			r.nothingLeft()
			var got *NodeError
			if !errors.As(err, &got) || got.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// TestEngineFaults lets every call to the engine fail, one run a call.
func TestEngineFaults(t *testing.T) {
	for k := 1; ; k++ {
		more := true
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			r := newRig(t, 20)
			r.engine.failAt = k
			s, err := Start(t.Context(), r.config)
			if err == nil {
				err = s.Wait(t.Context())
				if bad := s.Close(); bad != nil && !errors.Is(bad, errInjected) {
					t.Errorf("Close: %v", bad)
				}
			}
			r.engine.mu.Lock()
			calls := append([]string(nil), r.engine.calls...)
			r.engine.mu.Unlock()
			more = len(calls) >= k
			if more && calls[k-1] == "down" && k > 3 {
				r.engine.clear() // the engine keeps what it does not remove
			}
			r.nothingLeft()
			if err != nil && !errors.Is(err, errInjected) {
				t.Errorf("call %d (%s): %v", k, calls[k-1], err)
			}
			if more {
				t.Logf("call %d (%s): %v", k, calls[k-1], err)
			}
		})
		if !more || k > 50 {
			return
		}
	}
}
