package builtin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// videoFileSource sends the pictures of a Y4M file. The presentation time is
// counted in frames; of a file that is sent again and again it goes on.
type videoFileSource struct {
	file  source
	paced bool
	loop  bool
}

func videoSource(s setup) videoFileSource {
	return videoFileSource{
		file:  source{dir: s.dir, path: s.params.text("path")},
		paced: s.params.boolean("paced"),
		loop:  s.params.boolean("loop"),
	}
}

func newVideoFileSource(s setup) (node.Builtin, error) {
	v := videoSource(s)
	f, _, _, err := v.open()
	if err != nil {
		return nil, badPath(err)
	}
	return v.run, f.Close()
}

func videoMaxFrame(s setup) (int64, error) {
	f, _, h, err := videoSource(s).open()
	if err != nil {
		return 0, err
	}
	return int64(h.stored()), f.Close()
}

// open opens the file and reads its header.
func (v videoFileSource) open() (*os.File, *bufio.Reader, y4m, error) {
	f, _, err := v.file.open()
	if err != nil {
		return nil, nil, y4m{}, err
	}
	r := bufio.NewReaderSize(f, 1<<16)
	h, err := readY4M(r)
	if err == nil && h.rate == 0 {
		err = errors.New(`header: no frame rate: "ffmpeg -r 25 -i IN OUT.y4m" sets one`)
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, y4m{}, fmt.Errorf("%s: %w", v.file.path, err)
	}
	return f, r, h, nil
}

func (v videoFileSource) run(ctx context.Context, ports *node.Ports) error {
	f, r, h, err := v.open()
	if err != nil {
		return err
	}
	defer f.Close()
	if have := maxFrame(ports); int64(h.stored()) > have {
		return fmt.Errorf("%s: a frame of %dx%d needs %d bytes, max_frame of the output is %d: raise max_frame: %w",
			v.file.path, h.width, h.height, h.stored(), have, channel.ErrTooLarge)
	}
	pace := newPace(v.paced)
	for first := int64(0); ; {
		n, err := v.once(ctx, ports, r, h, pace, first)
		if err != nil || !v.loop {
			return err
		}
		if n == first {
			return fmt.Errorf("%s: no frame to be sent again", v.file.path)
		}
		first = n
		if _, err := f.Seek(int64(h.length), io.SeekStart); err != nil {
			return err
		}
		r.Reset(f)
	}
}

// once sends the pictures that are left, the first one as frame n, and says
// which frame comes next.
func (v videoFileSource) once(ctx context.Context, ports *node.Ports, r *bufio.Reader, h y4m, pace pace, n int64) (int64, error) {
	format, colours := h.sent(), videoRange()
	if h.full {
		colours = fullRange()
	}
	var planes []byte // of a picture that is not sent as it is
	if h.layout == y4m444 {
		planes = make([]byte, h.stored())
	}
	at := int64(h.length)
	for picture := 0; ; picture++ {
		l, err := ports.Loan(channel.DefaultOutput, h.stored())
		if err != nil {
			return n, err
		}
		to := l.Payload
		if planes != nil {
			to = planes
		}
		took, err := readPicture(r, to)
		if err != nil {
			_ = l.Release()
			if errors.Is(err, io.EOF) {
				return n, nil
			}
			return n, fmt.Errorf("%s: picture %d at byte %d: %w", v.file.path, picture, at, err)
		}
		at += int64(took)
		if planes != nil {
			colours.toRGB(l.Payload, planes, h.width*h.height)
		}
		l.Header.Kind, l.Header.PTS = channel.Video, h.time(n)
		*l.Header.Video() = format
		if err := pace.wait(ctx, l.Header.PTS); err != nil {
			_ = l.Release()
			return n, err
		}
		if err := l.Send(ctx); err != nil {
			return n, err
		}
		n++
	}
}
