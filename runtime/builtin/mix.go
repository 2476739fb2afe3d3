package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// mixer adds up the sound of several connections, each sample with those of
// the same time. It waits until it has sound of every connection that has not
// ended, so the slowest one sets the pace; a connection that has ended, has
// not begun or has a gap is silent. Where none has sound, nothing is sent. What
// comes for a time that has been sent already is left out.
type mixer struct {
	gain    float64
	sources []*mixSource
	out     *audioOut
	format  channel.AudioFormat // of all sources, once one has sent
	first   *mixSource          // the one that has
	at      int64               // samples before it have been sent; samples count from time 0
	sum     []float64
}

// mixSource is one connection. It keeps the frames that are not added yet,
// which holds its producer back.
type mixSource struct {
	port, name, output string
	in                 streamed
	frames             []mixFrame
	x                  []float64 // the samples of the first frame, once they were needed
	ended              bool
}

type mixFrame struct {
	node.Frame
	begin, end int64 // samples
}

func newMix(s setup) (node.Builtin, error) {
	gain := decibel(s.params.number("gain_db"))
	return func(ctx context.Context, ports *node.Ports) error {
		m := mixer{gain: gain, out: newAudioOut(ports, channel.DefaultOutput), at: math.MinInt64}
		for _, in := range ports.Node().Inputs {
			m.sources = append(m.sources, &mixSource{port: in.Port, name: in.Source, output: in.SourcePort})
		}
		defer m.release()
		return m.run(ctx, ports)
	}, nil
}

func (m *mixer) run(ctx context.Context, ports *node.Ports) error {
	for {
		for m.complete() {
			if err := m.step(ctx); err != nil {
				return err
			}
		}
		f, ended, err := ports.ReceiveOrEnd(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		s := m.sources[slices.IndexFunc(m.sources, func(s *mixSource) bool {
			return s.port == f.Port && s.name == f.Source && s.output == f.SourcePort
		})]
		if ended {
			s.ended = true
			continue
		}
		if err := m.take(s, f); err != nil {
			f.Release()
			return err
		}
	}
}

// take puts a frame to the others of its source.
func (m *mixer) take(s *mixSource, f node.Frame) error {
	anew, err := s.in.take(f)
	if err != nil {
		return err
	}
	if s.in.format.Rate > highestRate {
		return fmt.Errorf("frame %d from %s is at %d Hz: want at most %d", f.Header.Sequence, f.Source, s.in.format.Rate, highestRate)
	}
	if m.first == nil {
		m.first, m.format = s, s.in.format
	}
	if have, want := s.in.format, m.format; anew && have != want {
		return fmt.Errorf("frame %d from %s is %s, that from %s is %s: put a Resample between, or SplitChannels",
			f.Header.Sequence, f.Source, soundName(have), m.first.name, soundName(want))
	}
	end := sampleAt(s.in.base, m.format.Rate) + s.in.count
	s.frames = append(s.frames, mixFrame{Frame: f, begin: end - s.in.length, end: end})
	s.drop(m.at)
	return nil
}

// complete says whether there is sound of every source that has not ended.
func (m *mixer) complete() bool {
	some := false
	for _, s := range m.sources {
		if len(s.frames) == 0 && !s.ended {
			return false
		}
		some = some || len(s.frames) > 0
	}
	return some
}

// step sends what all sources have sound for: to the end of the frame that
// ends first.
func (m *mixer) step(ctx context.Context) error {
	from, to := int64(math.MaxInt64), int64(math.MaxInt64)
	for _, s := range m.sources {
		if len(s.frames) > 0 {
			from = min(from, max(m.at, s.frames[0].begin))
			to = min(to, s.frames[0].end)
		}
	}
	channels := int64(m.format.Channels)
	m.sum = slices.Grow(m.sum[:0], int((to-from)*channels))[:(to-from)*channels]
	clear(m.sum)
	for _, s := range m.sources {
		if len(s.frames) > 0 {
			s.add(m.sum, from, to, m.format)
		}
	}
	if m.gain != 1 {
		for i := range m.sum {
			m.sum[i] *= m.gain
		}
	}
	if from != m.at {
		m.out.anew(m.format, sampleTime(from, m.format.Rate))
	}
	m.at = to
	for _, s := range m.sources {
		s.drop(to)
	}
	return m.out.floats(ctx, m.sum)
}

// add adds the part of the first frame that lies between two times.
func (s *mixSource) add(sum []float64, from, to int64, format channel.AudioFormat) {
	f := &s.frames[0]
	first, last := max(from, f.begin), min(to, f.end)
	if first >= last {
		return
	}
	if len(s.x) == 0 {
		s.x = decodeSamples(s.x, f.Payload, format.Format)
	}
	channels := int64(format.Channels)
	sum = sum[(first-from)*channels:]
	for i, v := range s.x[(first-f.begin)*channels : (last-f.begin)*channels] {
		sum[i] += v
	}
}

// drop gives back the frames that end at or before a time.
func (s *mixSource) drop(at int64) {
	gone := 0
	for gone < len(s.frames) && (s.frames[gone].end <= at || s.frames[gone].begin == s.frames[gone].end) {
		s.frames[gone].Release()
		gone++
		s.x = s.x[:0]
	}
	s.frames = slices.Delete(s.frames, 0, gone)
}

func (m *mixer) release() {
	for _, s := range m.sources {
		s.drop(math.MaxInt64)
	}
}

// sampleAt is the sample that is nearest to a time in ns.
func sampleAt(pts int64, rate uint32) int64 {
	r, second := int64(rate), pts/1e9
	return second*r + int64(math.Round(float64(pts%1e9)*float64(r)/1e9))
}

// soundName says what sound is like.
func soundName(a channel.AudioFormat) string {
	return fmt.Sprintf("%s of %d channels at %d Hz", sampleName(a.Format), a.Channels, a.Rate)
}
