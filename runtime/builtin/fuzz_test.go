package builtin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// Whatever a file holds, its pictures lie inside it, and what is taken for a
// whole file is read to its last byte.
func FuzzY4M(f *testing.F) {
	for _, seed := range []string{
		"YUV4MPEG2 W2 H2 F25:1 Ip A1:1 C420jpeg XYSCSS=420JPEG\nFRAME\nabcdefFRAME Ip\nghijkl",
		"YUV4MPEG2 W3 H1 F30000:1001 C444 XCOLORRANGE=FULL\nFRAME\nabcdefghi",
		"YUV4MPEG2 H1 W1 Cmono\nFRAME I1pp\nx",
		"YUV4MPEG2 W2147483648 H1 F0:0\n", "YUV4MPEG2 W1 H1 It\n", "YUV4MPEG2", "FRAME\n", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(b), 1<<16)
		h, err := readY4M(r)
		if err != nil {
			return
		}
		size := h.stored()
		if format := h.sent(); size < 1 || size > 3<<32 || format.Width < 1 || format.Height < 1 || h.length > len(b) {
			t.Fatalf("%+v: %d bytes", h, size)
		}
		if h.rate > 0 && (h.time(0) != 0 || h.time(1) < 0 || h.time(h.rate) != h.scale*1e9) {
			t.Errorf("%+v: frames at %d, %d, %d", h, h.time(0), h.time(1), h.time(h.rate))
		}
		if size > 1<<20 {
			return
		}
		picture, took := make([]byte, size), h.length
		for {
			n, err := readPicture(r, picture)
			took += n
			if took > len(b) {
				t.Fatalf("took %d bytes of %d", took, len(b))
			}
			if errors.Is(err, io.EOF) && took != len(b) {
				t.Fatalf("ended after %d bytes of %d", took, len(b))
			}
			if err != nil {
				return
			}
			if h.layout == y4m444 {
				videoRange().toRGB(make([]byte, size), picture, h.width*h.height)
			}
		}
	})
}

// Every line before the first bad one is sent, blank ones are not.
func FuzzJSONLines(f *testing.F) {
	for _, seed := range []string{
		"{\"a\": [1, 2.5e3]}\r\n\n \t\n\"\u00e9\"\nnull", "\ufeff1\n2", "{\n", "NaN\n", "1 2\n", "\"\xff\"\n", "\r\n\r1\r\n", "",
		"[" + strings.Repeat("1,", 100) + "1]\n3\n",
	} {
		f.Add([]byte(seed))
	}
	const most = 100
	f.Fuzz(func(t *testing.T, b []byte) {
		ports, err := node.Open(channel.NewMemory(), channel.Node{ID: "a", Outputs: []channel.Output{{Port: channel.DefaultOutput, MaxFrame: most}}}, "main")
		if err != nil {
			t.Fatal(err)
		}
		err = lines{name: "a.jsonl", from: bytes.NewReader(b), kind: channel.JSON}.send(t.Context(), ports)
		sent, bad := uint64(0), false
		for line := range bytes.SplitAfterSeq(bytes.TrimPrefix(b, []byte("\ufeff")), []byte("\n")) {
			if text, ok := bytes.CutSuffix(line, []byte("\n")); ok {
				line = bytes.TrimSuffix(text, []byte("\r"))
			}
			if bad = len(line) > most || !utf8.Valid(line); bad {
				break
			}
			if len(bytes.Trim(line, " \t\r")) == 0 {
				continue
			}
			if bad = !json.Valid(line); bad {
				break
			}
			sent++
		}
		if got := ports.Unread()[channel.DefaultOutput]; got != sent || (err != nil) != bad {
			t.Errorf("%d frames, want %d; error %v, want one: %v", got, sent, err, bad)
		}
	})
}
