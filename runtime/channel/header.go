package channel

import (
	"fmt"
	"unsafe"
)

// HeaderVersion is the layout's version; a peer with another one is refused.
const HeaderVersion = 1

// HeaderTypeName is the name under which iceoryx2 knows Header. Both ends of a
// service compare name, size and alignment when they open it.
const HeaderTypeName = "MedianodeFrame"

// Kind says what the payload of a frame is.
type Kind uint8

// The kinds of a frame.
const (
	Bytes   Kind = iota // any bytes
	Text                // UTF-8
	JSON                // UTF-8, one JSON value
	Audio               // interleaved samples, shape (frames, channels)
	Video               // one picture
	Tensor              // row-major array, shape in the header
	Control             // nothing for a node: end of stream, or a message between runtime and node
)

// String is the kind as the pipeline language writes it.
func (k Kind) String() string {
	switch k {
	case Bytes:
		return "bytes"
	case Text:
		return "text"
	case JSON:
		return "json"
	case Audio:
		return "audio"
	case Video:
		return "video"
	case Tensor:
		return "tensor"
	case Control:
		return "control"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the inverse of String; false for an unknown name.
func ParseKind(name string) (Kind, bool) {
	for k := Bytes; k <= Control; k++ {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// Flags of a frame.
const (
	EndOfStream   uint8 = 1 << iota // the last frame of a channel; no payload
	Discontinuity                   // something before this frame is missing
	Failed                          // the producer ended by an error
)

// SampleFormat is the format of one audio sample.
type SampleFormat uint16

// The sample formats. S24 travels in 32 bits.
const (
	U8 SampleFormat = iota + 1
	S16
	S24
	S32
	F32
	F64
)

// Bytes is the size of one sample in the payload; 0 for an unknown format.
func (f SampleFormat) Bytes() int {
	switch f {
	case U8:
		return 1
	case S16:
		return 2
	case S24, S32, F32:
		return 4
	case F64:
		return 8
	}
	return 0
}

// MaxRank is the largest number of dimensions of a tensor.
const MaxRank = 8

// Header stands before each payload in shared memory. It is C layout, the same
// 128 bytes in Go, Rust and Python; all fields are native-endian, because both
// ends are on one machine.
type Header struct {
	Version  uint16
	Kind     Kind
	Flags    uint8
	_        uint32
	Sequence uint64   // counts from 0 per output port and session
	PTS      int64    // presentation time, ns
	Sent     uint64   // CLOCK_MONOTONIC at send, ns
	TraceID  [16]byte // W3C trace id, zero if none
	// Media is read by kind:
	//   audio  rate, channels, format
	//   video  width, height, stride (bytes), FourCC
	//   tensor DLPack dtype and shape
	Media [80]byte
}

// AudioFormat is Media of an audio frame.
type AudioFormat struct {
	Rate     uint32 // samples per second and channel
	Channels uint16
	Format   SampleFormat
}

// VideoFormat is Media of a video frame.
type VideoFormat struct {
	Width, Height uint32 // pixels
	Stride        uint32 // bytes from one row of the first plane to the next
	FourCC        uint32
}

// TensorFormat is Media of a tensor frame; the type code is DLPack's.
type TensorFormat struct {
	Code  uint8  // 0 int, 1 uint, 2 float, 4 bfloat, 5 complex, 6 bool
	Bits  uint8  // of one lane
	Lanes uint16 // 1
	Rank  uint32
	Shape [MaxRank]int64
}

// FourCC codes of the video formats.
const (
	RGB24 = uint32('R') | 'G'<<8 | 'B'<<16 | '3'<<24
	BGR24 = uint32('B') | 'G'<<8 | 'R'<<16 | '3'<<24
	RGBA  = uint32('R') | 'G'<<8 | 'B'<<16 | 'A'<<24
	Gray8 = uint32('G') | 'R'<<8 | 'E'<<16 | 'Y'<<24
	I420  = uint32('I') | '4'<<8 | '2'<<16 | '0'<<24
	NV12  = uint32('N') | 'V'<<8 | '1'<<16 | '2'<<24
)

// Audio is Media as an audio format; it aliases the header.
func (h *Header) Audio() *AudioFormat { return (*AudioFormat)(unsafe.Pointer(&h.Media)) }

// Video is Media as a video format; it aliases the header.
func (h *Header) Video() *VideoFormat { return (*VideoFormat)(unsafe.Pointer(&h.Media)) }

// Tensor is Media as a tensor format; it aliases the header.
func (h *Header) Tensor() *TensorFormat { return (*TensorFormat)(unsafe.Pointer(&h.Media)) }

// Check says whether header and payload length can be true together. Headers
// come from other processes: nothing may be indexed by them before this.
func (h *Header) Check(length int) error {
	switch {
	case h.Version != HeaderVersion:
		return fmt.Errorf("%w: version %d, want %d", ErrCorrupt, h.Version, HeaderVersion)
	case h.Kind > Control:
		return fmt.Errorf("%w: %s", ErrCorrupt, h.Kind)
	case h.Flags&EndOfStream != 0:
		return nil
	}
	switch h.Kind {
	case Audio:
		a := h.Audio()
		frame := a.Format.Bytes() * int(a.Channels)
		if frame == 0 || a.Rate == 0 || length%frame != 0 {
			return fmt.Errorf("%w: %d bytes of audio with %d channels of format %d at %d Hz", ErrCorrupt, length, a.Channels, a.Format, a.Rate)
		}
	case Video:
		v := h.Video()
		if want, ok := v.size(); !ok || want != uint64(length) {
			return fmt.Errorf("%w: %d bytes of video, %dx%d stride %d FourCC %#x", ErrCorrupt, length, v.Width, v.Height, v.Stride, v.FourCC)
		}
	case Tensor:
		t := h.Tensor()
		if want, ok := t.size(); !ok || want != uint64(length) {
			return fmt.Errorf("%w: %d bytes of tensor, rank %d, %d bits", ErrCorrupt, length, t.Rank, t.Bits)
		}
	}
	return nil
}

// size is the payload's length that the format asks for, rows without padding
// between planes.
func (v *VideoFormat) size() (uint64, bool) {
	const limit = 1 << 16 // pixels a side: keeps the products below inside 64 bits
	if v.Width == 0 || v.Height == 0 || v.Width > limit || v.Height > limit || v.Stride > limit*8 {
		return 0, false
	}
	luma := uint64(v.Stride) * uint64(v.Height)
	half := (uint64(v.Height) + 1) / 2
	switch v.FourCC {
	case RGB24, BGR24:
		return luma, v.Stride >= 3*v.Width
	case RGBA:
		return luma, v.Stride >= 4*v.Width
	case Gray8:
		return luma, v.Stride >= v.Width
	case I420:
		return luma + 2*half*((uint64(v.Stride)+1)/2), v.Stride >= v.Width
	case NV12:
		return luma + half*(uint64(v.Stride)+uint64(v.Stride)%2), v.Stride >= v.Width
	}
	return 0, false
}

func (t *TensorFormat) size() (uint64, bool) {
	if t.Rank > MaxRank || t.Lanes != 1 || t.Bits == 0 || t.Bits%8 != 0 {
		return 0, false
	}
	size := uint64(t.Bits / 8)
	for _, n := range t.Shape[:t.Rank] {
		if n < 0 || (n > 0 && size > (1<<40)/uint64(n)) {
			return 0, false
		}
		size *= uint64(n)
	}
	return size, true
}
