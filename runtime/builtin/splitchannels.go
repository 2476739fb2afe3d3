package builtin

import (
	"context"
	"fmt"
	"strconv"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// mostChannels is how many channels SplitChannels has ports for.
const mostChannels = 8

func channelPort(i int) string { return "channel_" + strconv.Itoa(i) }

func channelPorts() []pipeline.BuiltinPort {
	var ports []pipeline.BuiltinPort
	for i := range mostChannels {
		ports = append(ports, pipeline.BuiltinPort{Name: channelPort(i), Kind: channel.Audio.String()})
	}
	return ports
}

// newSplitChannels sends each channel of sound as mono sound of its own port.
// For a port that nothing reads nothing is done.
func newSplitChannels(setup) (node.Builtin, error) {
	return func(ctx context.Context, ports *node.Ports) error {
		var outs [mostChannels]*audioOut
		need := 0
		for _, o := range ports.Node().Outputs {
			for i := range outs {
				if o.Port == channelPort(i) && len(o.Channels) > 0 {
					outs[i], need = newAudioOut(ports, o.Port), max(need, i+1)
				}
			}
		}
		return each(ctx, ports, func(f node.Frame) error {
			if err := wantAudio(f); err != nil {
				return err
			}
			format := *f.Header.Audio()
			switch channels := int(format.Channels); {
			case channels > mostChannels:
				return fmt.Errorf("frame %d from %s has %d channels, there are ports for %d", f.Header.Sequence, f.Source, channels, mostChannels)
			case channels < need:
				return fmt.Errorf("frame %d from %s has %d channels, there is none for port %s", f.Header.Sequence, f.Source, channels, channelPort(need-1))
			}
			for i, out := range outs[:need] {
				if out == nil {
					continue
				}
				out.at(channel.AudioFormat{Rate: format.Rate, Channels: 1, Format: format.Format}, f.Header.PTS)
				out.inherit(f.Header)
				if err := out.picked(ctx, f.Payload, i, blockBytes(format)); err != nil {
					return err
				}
			}
			return nil
		})
	}, nil
}

// picked sends one channel of interleaved samples, of which a block has one of
// every channel.
func (o *audioOut) picked(ctx context.Context, payload []byte, index, block int) error {
	size := o.format.Format.Bytes()
	for len(payload) > 0 {
		l, n, err := o.loan(len(payload) / block)
		if err != nil {
			return err
		}
		pick(l.Payload, payload[index*size:], size, block)
		payload = payload[n*block:]
		if err := l.Send(ctx); err != nil {
			return err
		}
	}
	return nil
}

// pick copies every sample of size bytes that begins a block.
func pick(to, from []byte, size, block int) {
	for i := 0; i < len(to); i += size {
		copy(to[i:i+size], from[:size])
		from = from[min(block, len(from)):]
	}
}
