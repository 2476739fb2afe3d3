package builtin

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// videoFileSink writes a Y4M file. Its header has the frame rate, which the
// second frame tells unless the pipeline does: until then the first one waits.
type videoFileSink struct {
	*sink
	head    y4m // of the file; the size is that of the first frame
	begun   bool
	picture []byte // the last one; it waits if the file is not begun
	first   int64  // when the picture that waits is shown
}

func newVideoFileSink(s setup) (node.Builtin, error) {
	dir, path, fps := s.dir, s.params.text("path"), s.params.number("fps")
	return func(ctx context.Context, ports *node.Ports) error {
		file, err := createSink(dir, path)
		if err != nil {
			return err
		}
		v := videoFileSink{sink: file}
		v.head.rate, v.head.scale = rateOf(fps)
		err = each(ctx, ports, v.take)
		return file.close(ports, errors.Join(err, v.end()))
	}, nil
}

// take writes a frame.
func (v *videoFileSink) take(f node.Frame) error {
	if err := v.check(f); err != nil {
		return err
	}
	if !v.begun {
		if waits, err := v.begin(f); waits || err != nil {
			return err
		}
	}
	v.pack(f)
	return v.put(v.picture)
}

// check wants video, and every frame to be stored like the first one.
func (v *videoFileSink) check(f node.Frame) error {
	if f.Header.Kind != channel.Video {
		return fmt.Errorf("frame %d from %s is %s, want video", f.Header.Sequence, f.Source, f.Header.Kind)
	}
	format := f.Header.Video()
	h := y4m{rate: v.head.rate, scale: v.head.scale, width: int(format.Width), height: int(format.Height), layout: y4mOf(format.FourCC)}
	if v.head.width == 0 {
		v.head = h
	}
	if h != v.head {
		return fmt.Errorf("%s: frame %d from %s is %dx%d %s, and the file has %dx%d C%s: all pictures of a Y4M file have one size and one colour space",
			v.path, f.Header.Sequence, f.Source, h.width, h.height, videoName(format.FourCC), v.head.width, v.head.height, v.head.layout)
	}
	return nil
}

// begin writes the header before f, unless f is to wait.
func (v *videoFileSink) begin(f node.Frame) (waits bool, err error) {
	switch {
	case v.head.rate > 0:
		return false, v.start()
	case v.picture == nil:
		v.first = f.Header.PTS
		v.pack(f)
		return true, nil
	}
	rate, scale, ok := rateBetween(v.first, f.Header.PTS)
	if !ok {
		return false, fmt.Errorf("%s: the first two frames are at %d and %d ns, which is no frame rate: set param fps", v.path, v.first, f.Header.PTS)
	}
	v.head.rate, v.head.scale = rate, scale
	return false, v.start()
}

// start writes the header and the picture that waits.
func (v *videoFileSink) start() error {
	v.begun = true
	if _, err := v.file.Write(v.head.head()); err != nil {
		return fmt.Errorf("%s: header: %w", v.path, err)
	}
	if v.picture == nil {
		return nil
	}
	return v.put(v.picture)
}

// end writes the only picture of a file. Without one there is no size to write
// a header with, and the file stays empty.
func (v *videoFileSink) end() error {
	if v.begun || v.picture == nil {
		return nil
	}
	v.head.rate, v.head.scale = defaultRate, 1
	return v.start()
}

func (v *videoFileSink) pack(f node.Frame) {
	v.picture = append(v.picture[:0], y4mFrame+"\n"...)
	v.picture = appendPlanes(v.picture, f.Header.Video(), f.Payload)
}

// rateOf is a number of frames a second as a fraction; 0:0 of 0. What stands
// for a rate of television is that rate: 29.97 is 30000:1001.
func rateOf(fps float64) (rate, scale int64) {
	whole := math.Round(fps * 1.001)
	if fps > 0 && whole != fps && math.Abs(fps-whole/1.001) < 1e-3 {
		return int64(whole) * 1000, 1001
	}
	return reduce(int64(math.Round(fps*1000)), 1000)
}

// rateBetween is the frame rate of frames at two times in ns. Times are
// rounded: a common rate is found although it is a nanosecond beside.
func rateBetween(a, b int64) (rate, scale int64, ok bool) {
	const most, longest = 1000, 1e12 // frames a second that are common, ns
	apart := b - a
	if apart <= 0 || apart > longest {
		return 0, 0, false
	}
	for _, scale := range []int64{1, 1001} {
		step := min(scale, 1000) // 25:1, 25000:1001
		rate := int64(math.Round(1e9*float64(scale)/float64(apart*step))) * step
		if rate > 0 && rate <= most*step && math.Abs(1e9*float64(scale)/float64(rate)-float64(apart)) < 2 {
			return rate, scale, true
		}
	}
	rate, scale = 1e9, apart
	for scale >= y4mMaxRate { // less than a frame in two seconds
		rate, scale = rate/10, scale/10
	}
	rate, scale = reduce(rate, scale)
	return rate, scale, true
}

func reduce(rate, scale int64) (int64, int64) {
	if rate == 0 {
		return 0, 0
	}
	a, b := rate, scale
	for b != 0 {
		a, b = b, a%b
	}
	return rate / a, scale / a
}
