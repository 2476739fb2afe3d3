package channel_test

import (
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/channel/channeltest"
)

// shared is the one transport that the workers of a test have in common.
type shared struct{ channel.Transport }

func (shared) Close() error { return nil }

func TestMemory(t *testing.T) {
	m := channel.NewMemory()
	worker := func(t *testing.T) *channeltest.Worker {
		return channeltest.Inside(t, channel.Domain{}, "", func(channel.Domain, string) (channel.Transport, error) {
			return shared{m}, nil
		})
	}
	channeltest.Run(t, "main_", channeltest.Harness{Transport: m, Writer: worker, Reader: worker})
}
