package builtin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

func video(code, width, height, stride uint32, pts int64, payload []byte) taken {
	f := taken{payload: payload}
	f.header.Kind, f.header.PTS = channel.Video, pts
	*f.header.Video() = channel.VideoFormat{Width: width, Height: height, Stride: stride, FourCC: code}
	return f
}

func readVideo(t *testing.T, file string, params map[string]any) ([]taken, error) {
	t.Helper()
	dir := writeFile(t, "a.y4m", []byte(file))
	given := map[string]any{"path": "a.y4m"}
	for name, value := range params {
		given[name] = value
	}
	need, err := builtin.MaxFrame("VideoFileSource", given, dir)
	if err != nil {
		t.Fatal(err)
	}
	return runSource(t, "VideoFileSource", given, dir, int(need))
}

func TestVideoFileSource(t *testing.T) {
	for _, c := range []struct {
		name, file string
		want       channel.VideoFormat
		payloads   []string
	}{
		{
			"420 of odd size", "YUV4MPEG2 W3 H3 F30000:1001 Ip A0:0 C420mpeg2 XCOMMENT\nFRAME\n123456789aabbccddFRAME Ip XA\n987654321AABBCCDD",
			channel.VideoFormat{Width: 3, Height: 3, Stride: 3, FourCC: channel.I420}, []string{"123456789aabbccdd", "987654321AABBCCDD"},
		},
		{
			"no colour space", "YUV4MPEG2 W2 H2 F30000:1001\nFRAME\n1234ab", channel.VideoFormat{Width: 2, Height: 2, Stride: 2, FourCC: channel.I420}, []string{"1234ab"},
		},
		{
			"mono", "YUV4MPEG2 H1 W2 Cmono F30000:1001 I?\nFRAME I1pp\nabFRAME\n\n\nFRAME\nFR",
			channel.VideoFormat{Width: 2, Height: 1, Stride: 2, FourCC: channel.Gray8}, []string{"ab", "\n\n", "FR"},
		},
		{ // black, white, red, blue in video range
			"444", "YUV4MPEG2 W4 H1 F30000:1001 C444\nFRAME\n" + "\x10\xeb\x51\x29" + "\x80\x80\x5a\xf0" + "\x80\x80\xf0\x6e",
			channel.VideoFormat{Width: 4, Height: 1, Stride: 12, FourCC: channel.RGB24}, []string{"\x00\x00\x00\xff\xff\xff\xfe\x00\x00\x00\x00\xff"},
		},
		{
			"444 in full range", "YUV4MPEG2 W2 H1 F30000:1001 C444 XCOLORRANGE=FULL\nFRAME\n\x00\xff\x80\x80\x80\x80",
			channel.VideoFormat{Width: 2, Height: 1, Stride: 6, FourCC: channel.RGB24}, []string{"\x00\x00\x00\xff\xff\xff"},
		},
		{"no picture", "YUV4MPEG2 W2 H1 Cmono F1:1\n", channel.VideoFormat{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readVideo(t, c.file, nil)
			if err != nil || len(got) != len(c.payloads) {
				t.Fatalf("%d frames, %v", len(got), err)
			}
			for i, f := range got {
				if *f.header.Video() != c.want || string(f.payload) != c.payloads[i] || f.header.PTS != []int64{0, 33_366_666, 66_733_333}[i] {
					t.Errorf("frame %d: %+v at %d: %q", i, *f.header.Video(), f.header.PTS, f.payload)
				}
			}
		})
	}
}

func TestVideoFileSourceErrors(t *testing.T) {
	const head = "YUV4MPEG2 W2 H1 F25:1 Cmono\n"
	for _, c := range []struct{ file, want string }{
		{"", `a.y4m: not a Y4M file: begins with "", want "YUV4MPEG2"`},
		{"RIFF....WAVE", `a.y4m: not a Y4M file: begins with "RIFF....WAVE"`},
		{"YUV4MPEG2 W2", "a.y4m: header: unexpected EOF"},
		{"YUV4MPEG2 " + strings.Repeat("X", 5000) + "\n", "a.y4m: header: a line of more than 4096 bytes"},
		{"YUV4MPEG2 W2 F25:1\n", "a.y4m: header: no size"},
		{"YUV4MPEG2 W0 H1 F25:1\n", "a.y4m: header: W0: want 1 to 65536 pixels"},
		{"YUV4MPEG2 W2 H70000 F25:1\n", "a.y4m: header: H70000: want 1 to 65536 pixels"},
		{"YUV4MPEG2 W2 H1 F25\n", "a.y4m: header: F25: want frames a second as a fraction"},
		{"YUV4MPEG2 W2 H1 F-1:1\n", "a.y4m: header: F-1:1: want frames a second as a fraction"},
		{"YUV4MPEG2 W2 H1 F0:0\n", `a.y4m: header: no frame rate: "ffmpeg -r 25`},
		{"YUV4MPEG2 W2 H1 F25:1 It\n", "a.y4m: header: It: interlaced pictures are not read"},
		{"YUV4MPEG2 W2 H1 F25:1 C420p10\n", `a.y4m: header: C420p10: colour space is not read, only 420, 444 and mono of 8 bits: "ffmpeg -i IN -pix_fmt yuv420p OUT.y4m"`},
		{head + "FRAME\nabFRAME\nc", "a.y4m: picture 1 at byte 36: the file ends after 1 of its 2 bytes"},
		{head + "FRAME\nabFRA", "a.y4m: picture 1 at byte 36: the file ends in its header"},
		{head + "FRAME\nabc\n", `a.y4m: picture 1 at byte 36: begins with "c", want "FRAME"`},
		{head + "FRAME\nabFRAME It\nab", "a.y4m: picture 1 at byte 36: It: interlaced pictures are not read"},
	} {
		dir := writeFile(t, "a.y4m", []byte(c.file))
		params := map[string]any{"path": "a.y4m"}
		_, err := builtin.New(channel.Node{ID: "a", Type: "VideoFileSource"}, params, dir, nil)
		if strings.HasPrefix(c.file, head) {
			if err != nil {
				t.Errorf("%q: %v", c.file, err)
			}
			_, err = runSource(t, "VideoFileSource", params, dir, 2)
		}
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%.60q: error %v, want %s", c.file, err, c.want)
		}
	}
	_, err := runSource(t, "VideoFileSource", map[string]any{"path": "a.y4m"}, writeFile(t, "a.y4m", []byte(head)), 1)
	if !errors.Is(err, channel.ErrTooLarge) || !strings.HasPrefix(err.Error(), "a.y4m: a frame of 2x1 needs 2 bytes, max_frame of the output is 1: raise max_frame") {
		t.Errorf("error %v", err)
	}
	_, err = readVideo(t, head, map[string]any{"loop": true})
	if err == nil || err.Error() != "a.y4m: no frame to be sent again" {
		t.Errorf("error %v", err)
	}
}

// A file that is sent again and again has one time, and ends when it is told.
func TestVideoFileSourceLoops(t *testing.T) {
	dir := writeFile(t, "a.y4m", []byte("YUV4MPEG2 W1 H1 F25:1 Cmono\nFRAME\naFRAME\nb"))
	w := wire(t, "VideoFileSource", map[string]any{"path": "a.y4m", "loop": true}, dir, nil, 1)
	sub, err := channel.NewSubscriber(w.mem, w.spec, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := w.run(ctx)
	for i := range 7 {
		s, err := sub.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Header.PTS != int64(i)*40_000_000 || string(s.Payload) != "abababa"[i:i+1] {
			t.Errorf("frame %d at %d: %q", i, s.Header.PTS, s.Payload)
		}
		if err := s.Release(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A frame is written without what pads its rows, whatever its format.
func TestVideoFileSinkFormats(t *testing.T) {
	const black, white = "\x00\x00\x00", "\xff\xff\xff"
	for _, c := range []struct {
		name    string
		frame   taken
		space   string
		written string
	}{
		{"i420", video(channel.I420, 3, 3, 3, 0, []byte("123456789aabbccdd")), "420jpeg", "123456789aabbccdd"},
		{"i420 with padding", video(channel.I420, 3, 2, 5, 0, []byte("123..456..ab.cd.")), "420jpeg", "123456abcd"},
		{"nv12", video(channel.NV12, 3, 3, 4, 0, []byte("123.456.789.acbd"+"AC"+"BD")), "420jpeg", "123456789abABcdCD"},
		{"gray8", video(channel.Gray8, 2, 2, 3, 0, []byte("12.34.")), "mono", "1234"},
		{"rgb24", video(channel.RGB24, 2, 1, 8, 0, []byte("\xff\x00\x00"+black+"..")), "444", "\x51\x10" + "\x5a\x80" + "\xf0\x80"},
		{"bgr24", video(channel.BGR24, 2, 1, 6, 0, []byte("\x00\x00\xff"+white)), "444", "\x51\xeb" + "\x5a\x80" + "\xf0\x80"},
		{"rgba", video(channel.RGBA, 1, 2, 4, 0, []byte("\x00\x00\xff."+white+".")), "444", "\x29\xeb" + "\xf0\x80" + "\x6e\x80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			files, err := runSink(t, "VideoFileSink", map[string]any{"path": "a.y4m", "fps": 29.97}, dir, nil, []taken{c.frame, c.frame}, false)
			if err != nil {
				t.Fatal(err)
			}
			v := c.frame.header.Video()
			want := fmt.Sprintf("YUV4MPEG2 W%d H%d F30000:1001 Ip A1:1 C%s\nFRAME\n%[4]sFRAME\n%[4]s", v.Width, v.Height, c.space, c.written)
			if got, err := os.ReadFile(filepath.Join(dir, "a.y4m")); err != nil || string(got) != want {
				t.Errorf("%q, want %q; %v", got, want, err)
			}
			if len(files) != 1 || files[0].Frames != 2 || !files[0].Complete {
				t.Errorf("report %+v", files)
			}
		})
	}
}

// The frame rate comes from the first two frames.
func TestVideoFileSinkRate(t *testing.T) {
	for _, c := range []struct {
		first, second int64
		want          string
	}{
		{0, 40_000_000, "25:1"}, {7, 33_333_340, "30:1"}, {0, 33_366_666, "30000:1001"}, {0, 33_366_667, "30000:1001"},
		{0, 41_708_333, "24000:1001"}, {-5, 999_999_995, "1:1"}, {0, 33_000_000, "1000:33"}, {0, 10_000_000_000, "1:10"}, {0, 1_000_000, "1000:1"},
	} {
		dir := t.TempDir()
		frames := []taken{video(channel.Gray8, 1, 1, 1, c.first, []byte("a")), video(channel.Gray8, 1, 1, 1, c.second, []byte("b"))}
		if _, err := runSink(t, "VideoFileSink", map[string]any{"path": "a.y4m"}, dir, nil, frames, false); err != nil {
			t.Fatal(err)
		}
		want := "YUV4MPEG2 W1 H1 F" + c.want + " Ip A1:1 Cmono\nFRAME\naFRAME\nb"
		if got, err := os.ReadFile(filepath.Join(dir, "a.y4m")); err != nil || string(got) != want {
			t.Errorf("%d ns: %q, want %q; %v", c.second-c.first, got, want, err)
		}
	}
}

// Few frames and bad ones: what there is stays, under the name it deserves.
func TestVideoFileSinkEnds(t *testing.T) {
	one := video(channel.Gray8, 1, 1, 1, 5, []byte("a"))
	const head = "YUV4MPEG2 W1 H1 F25:1 Ip A1:1 Cmono\nFRAME\na"
	for _, c := range []struct {
		name   string
		frames []taken
		failed bool
		file   string
		want   string // content
		err    string
	}{
		{"none", nil, false, "a.y4m", "", ""},
		{"one", []taken{one}, false, "a.y4m", head, ""},
		{"incomplete", []taken{one}, true, "a.y4m.partial", head, node.ErrIncomplete.Error()},
		{"no time", []taken{one, one}, false, "a.y4m.partial", head, "a.y4m: the first two frames are at 5 and 5 ns, which is no frame rate: set param fps"},
		{
			"other size", []taken{one, video(channel.Gray8, 2, 1, 2, 9, []byte("ab"))}, false, "a.y4m.partial", head,
			"a.y4m: frame 1 from a is 2x1 gray8, and the file has 1x1 Cmono: all pictures of a Y4M file have one size and one colour space",
		},
		{"other format", []taken{one, video(channel.RGB24, 1, 1, 3, 9, []byte("abc"))}, false, "a.y4m.partial", head, "a.y4m: frame 1 from a is 1x1 rgb24, and"},
		{"no video", []taken{text("x")}, false, "a.y4m.partial", "", "frame 0 from a is text, want video"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			files, err := runSink(t, "VideoFileSink", map[string]any{"path": "a.y4m"}, dir, nil, c.frames, c.failed)
			if (err == nil) != (c.err == "") || err != nil && !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("error %v, want %s", err, c.err)
			}
			if got, err := os.ReadFile(filepath.Join(dir, c.file)); err != nil || string(got) != c.want {
				t.Errorf("%q, want %q; %v", got, c.want, err)
			}
			if len(files) != 1 || files[0].Complete != (c.err == "") {
				t.Errorf("report %+v", files)
			}
		})
	}
}

// What the sink writes the source reads: colours come back within two levels.
func TestVideoFileRoundTrip(t *testing.T) {
	params := map[string]any{"width": 97, "height": 31, "format": "rgb24", "frames": 3, "paced": false, "fps": 23.976}
	sent, err := runSource(t, "TestPatternSource", params, t.TempDir(), 97*31*3)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	path := map[string]any{"path": "a.y4m"}
	if _, err := runSink(t, "VideoFileSink", path, dir, nil, sent, false); err != nil {
		t.Fatal(err)
	}
	got, err := runSource(t, "VideoFileSource", path, dir, 97*31*3)
	if err != nil || len(got) != len(sent) {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i, f := range got {
		if *f.header.Video() != *sent[i].header.Video() || f.header.PTS-sent[i].header.PTS > 1 || sent[i].header.PTS-f.header.PTS > 1 {
			t.Errorf("frame %d: %+v at %d", i, *f.header.Video(), f.header.PTS)
		}
		for at := range f.payload {
			if d := int(f.payload[at]) - int(sent[i].payload[at]); d < -2 || d > 2 {
				t.Fatalf("frame %d, byte %d: %d, was %d", i, at, f.payload[at], sent[i].payload[at])
			}
		}
	}
}

// The number stands in the picture, and only there.
func TestPatternDigits(t *testing.T) {
	params := map[string]any{"width": 76, "height": 60, "format": "gray8", "frames": 43, "paced": false}
	got, err := runSource(t, "TestPatternSource", params, t.TempDir(), 76*60)
	if err != nil {
		t.Fatal(err)
	}
	const want = `
######## .....##. ..####..
######## ....###. .##..##.
##...... ....###. ##....##
##...... ...####. ......##
##...... ..##.##. ......##
#######. ..##.##. .....##.
#######. .##..##. ....##..
##...... ##...##. ...##...
##...... ######## ..##....
##...... .....##. .##.....
##...... .....##. ########
`
	var drawn bytes.Buffer
	for y := range 18 {
		row := got[42].payload[(20+y)*76:][:76]
		for x, luma := range row {
			if inside := y >= 4 && y < 15 && x >= 24 && x < 52; !inside && luma != 235 {
				t.Fatalf("%d, %d: luma %d", x, y, luma)
			}
		}
		if y < 4 || y >= 15 {
			continue
		}
		drawn.WriteByte('\n')
		for x, luma := range row[24:52] {
			switch {
			case x%10 == 8:
				drawn.WriteByte(' ')
			case x%10 < 8:
				drawn.WriteByte(map[byte]byte{16: '#', 235: '.'}[luma])
			}
		}
	}
	drawn.WriteByte('\n')
	if drawn.String() != want {
		t.Errorf("got\n%s", &drawn)
	}
}
