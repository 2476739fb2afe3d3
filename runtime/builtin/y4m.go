package builtin

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"
	"strings"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// y4m is the header of a Y4M file (YUV4MPEG2): raw pictures one after the
// other, each after a line that begins with FRAME.
type y4m struct {
	width, height int
	rate, scale   int64 // rate/scale frames a second
	layout        y4mLayout
	full          bool // samples of 0 to 255, not 16 to 235
	length        int  // bytes of the header line with its break
}

// y4mLayout is which planes a picture has.
type y4mLayout string

const (
	y4m420  y4mLayout = "420jpeg" // where chroma is sampled is told apart by no reader of a frame
	y4m444  y4mLayout = "444"
	y4mMono y4mLayout = "mono"
)

const (
	y4mMagic    = "YUV4MPEG2"
	y4mFrame    = "FRAME"
	y4mMaxLine  = 4096    // bytes of a header line
	y4mMaxSide  = 1 << 16 // pixels; a frame's header says no more
	y4mMaxRate  = 1 << 31 // of the numbers of the frame rate
	defaultRate = 25      // frames a second where there is nothing to tell by
)

// readY4M reads the header line. r has to buffer y4mMaxLine bytes.
func readY4M(r *bufio.Reader) (y4m, error) {
	line, err := readHeaderLine(r)
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case word != y4mMagic && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)):
		return y4m{}, fmt.Errorf("not a Y4M file: begins with %q, want %q", cut(word), y4mMagic)
	case err != nil:
		return y4m{}, fmt.Errorf("header: %w", err)
	}
	h := y4m{layout: y4m420, length: len(line) + 1}
	for _, field := range strings.Fields(rest) {
		if err := h.field(field[0], field[1:]); err != nil {
			return y4m{}, fmt.Errorf("header: %s: %w", cut(field), err)
		}
	}
	if h.width == 0 || h.height == 0 {
		return y4m{}, errors.New("header: no size: want W and H")
	}
	return h, nil
}

// readHeaderLine is a line without its break; io.ErrUnexpectedEOF comes with
// what there is of one that does not end.
func readHeaderLine(r *bufio.Reader) (string, error) {
	part, err := r.ReadSlice('\n')
	line := string(part)
	switch {
	case len(line) > y4mMaxLine || errors.Is(err, bufio.ErrBufferFull):
		return line, fmt.Errorf("a line of more than %d bytes", y4mMaxLine)
	case errors.Is(err, io.EOF):
		return line, io.ErrUnexpectedEOF
	case err != nil:
		return line, err
	}
	return line[:len(line)-1], nil
}

// field takes one field of the header. A pixel's shape (A) is nothing that a
// frame can say, and comments (X) are free; both are passed over.
func (h *y4m) field(name byte, value string) error {
	var err error
	switch name {
	case 'W':
		h.width, err = parseSide(value)
	case 'H':
		h.height, err = parseSide(value)
	case 'F':
		h.rate, h.scale, err = parseRate(value)
	case 'I':
		if value != "p" && value != "?" {
			return errors.New(`interlaced pictures are not read: write progressive ones with "ffmpeg -i IN -vf bwdif OUT.y4m"`)
		}
	case 'C':
		return h.space(value)
	case 'X':
		if value == "COLORRANGE=FULL" {
			h.full = true
		}
	}
	return err
}

func (h *y4m) space(name string) error {
	switch name {
	case "420", "420jpeg", "420mpeg2", "420paldv":
		h.layout = y4m420
	case "444":
		h.layout = y4m444
	case "mono":
		h.layout = y4mMono
	default:
		return errors.New(`colour space is not read, only 420, 444 and mono of 8 bits: "ffmpeg -i IN -pix_fmt yuv420p OUT.y4m" writes one`)
	}
	return nil
}

func parseSide(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > y4mMaxSide {
		return 0, fmt.Errorf("want 1 to %d pixels", y4mMaxSide)
	}
	return n, nil
}

// parseRate reads a fraction; 0:0 says that the rate is not known.
func parseRate(s string) (rate, scale int64, err error) {
	a, b, _ := strings.Cut(s, ":")
	rate, bad := strconv.ParseInt(a, 10, 64)
	scale, worse := strconv.ParseInt(b, 10, 64)
	if err := errors.Join(bad, worse); err != nil || rate < 0 || scale < 0 || rate >= y4mMaxRate || scale >= y4mMaxRate {
		return 0, 0, errors.New("want frames a second as a fraction, such as 30000:1001")
	}
	if rate == 0 || scale == 0 {
		return 0, 0, nil
	}
	return rate, scale, nil
}

// time is the presentation time of frame n in ns, rounded down. Whole turns of
// rate apart, so that no product overflows.
func (h y4m) time(n int64) int64 {
	high, low := bits.Mul64(uint64(n%h.rate)*uint64(h.scale), 1e9)
	part, _ := bits.Div64(high, low, uint64(h.rate))
	return n/h.rate*h.scale*1e9 + int64(part)
}

// stored is the bytes of a picture in the file.
func (h y4m) stored() int {
	n := h.width * h.height
	switch h.layout {
	case y4m444:
		return 3 * n
	case y4m420:
		return n + 2*((h.width+1)/2)*((h.height+1)/2)
	}
	return n
}

// sent is the format of the frame that a picture becomes. Its size is that of
// the file: 444 becomes rgb24, of three bytes a pixel too.
func (h y4m) sent() channel.VideoFormat {
	v := channel.VideoFormat{Width: uint32(h.width), Height: uint32(h.height), Stride: uint32(h.width)}
	switch h.layout {
	case y4m444:
		v.FourCC, v.Stride = channel.RGB24, 3*v.Width
	case y4mMono:
		v.FourCC = channel.Gray8
	default:
		v.FourCC = channel.I420
	}
	return v
}

// readPicture reads the next picture into a buffer of stored bytes; io.EOF if
// there is none. It says how many bytes of the file it took.
func readPicture(r *bufio.Reader, to []byte) (int, error) {
	if _, err := r.Peek(1); errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	line, err := readHeaderLine(r)
	word, rest, _ := strings.Cut(line, " ")
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return len(line), err
	case word != y4mFrame && (err == nil || !strings.HasPrefix(y4mFrame, word)):
		return len(line), fmt.Errorf("begins with %q, want %q", cut(word), y4mFrame)
	case err != nil:
		return len(line), errors.New("the file ends in its header")
	}
	for _, field := range strings.Fields(rest) {
		if field[0] == 'I' && !strings.ContainsAny(field[1:min(2, len(field))], "p123") { // progressive, or shown once, twice, three times
			return len(line), fmt.Errorf("%s: interlaced pictures are not read", cut(field))
		}
	}
	n, err := io.ReadFull(r, to)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the file ends after %d of its %d bytes", n, len(to))
	}
	return len(line) + 1 + n, err
}

// head is the header line of a file.
func (h y4m) head() []byte {
	return fmt.Appendf(nil, "%s W%d H%d F%d:%d Ip A1:1 C%s\n", y4mMagic, h.width, h.height, h.rate, h.scale, h.layout)
}

// cut is the beginning of what a file says, for an error.
func cut(s string) string {
	const most = 32
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
