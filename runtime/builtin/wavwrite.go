package builtin

import (
	"encoding/binary"
	"math"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// waveHeader is the header of a WAV file of frames samples a channel, -1 if
// that is not known yet. It is as long for every number: a place is kept for
// the sizes of 64 bits that RF64 has, which a file of 4 GiB and more becomes.
//
// More than two channels, and integers of more than 16 bits, are said in a
// format chunk of the kind EXTENSIBLE, as readers expect it.
func waveHeader(a channel.AudioFormat, frames int64) []byte {
	little := binary.LittleEndian
	format, float := waveFormat(a)
	block := int64(waveBytes(a.Format)) * int64(a.Channels)
	const reserved = 28 // of a ds64 chunk
	length := 12 + 8 + reserved + 8 + len(format) + 8
	if float {
		length += 12
	}
	size, count := max(0, frames)*block, max(0, frames)
	riff := int64(length) - 8 + size + size%2
	small := func(n int64) uint32 { return uint32(min(n, math.MaxUint32)) }

	b := make([]byte, 0, length)
	large := frames >= 0 && riff > math.MaxUint32
	switch {
	case large:
		b = append(b, "RF64\xff\xff\xff\xffWAVEds64"...)
		b = little.AppendUint32(b, reserved)
		b = little.AppendUint64(b, uint64(riff))
		b = little.AppendUint64(b, uint64(size))
		b = little.AppendUint64(b, uint64(count))
		b = little.AppendUint32(b, 0) // no table of other large chunks
	default:
		if frames < 0 {
			riff, size = math.MaxUint32, math.MaxUint32
		}
		b = append(b, "RIFF"...)
		b = little.AppendUint32(b, small(riff))
		b = append(b, "WAVEJUNK"...)
		b = little.AppendUint32(b, reserved)
		b = append(b, make([]byte, reserved)...)
	}
	b = append(b, "fmt "...)
	b = little.AppendUint32(b, uint32(len(format)))
	b = append(b, format...)
	if float { // what is not PCM has to say how many samples it has
		b = append(b, "fact"...)
		b = little.AppendUint32(b, 4)
		b = little.AppendUint32(b, small(count))
	}
	b = append(b, "data"...)
	if large {
		size = math.MaxUint32
	}
	return little.AppendUint32(b, small(size))
}

// waveFormat is the content of a format chunk.
func waveFormat(a channel.AudioFormat) (b []byte, float bool) {
	little := binary.LittleEndian
	size := waveBytes(a.Format)
	float = a.Format == channel.F32 || a.Format == channel.F64
	tag := uint16(tagPCM)
	if float {
		tag = tagFloat
	}
	extensible := a.Channels > 2 || !float && size > 2
	first := tag
	if extensible {
		first = tagExtensible
	}
	block := uint64(size) * uint64(a.Channels)
	b = little.AppendUint16(b, first)
	b = little.AppendUint16(b, a.Channels)
	b = little.AppendUint32(b, a.Rate)
	b = little.AppendUint32(b, uint32(min(block*uint64(a.Rate), math.MaxUint32)))
	b = little.AppendUint16(b, uint16(block))
	b = little.AppendUint16(b, uint16(size*8))
	switch {
	case extensible:
		b = little.AppendUint16(b, 22)
		b = little.AppendUint16(b, uint16(size*8))
		b = little.AppendUint32(b, speakers(a.Channels))
		b = little.AppendUint16(b, tag)
		b = append(b, extensibleGUID...)
	case float:
		b = little.AppendUint16(b, 0)
	}
	return b, float
}

// extensibleGUID is what follows the tag in an EXTENSIBLE format.
const extensibleGUID = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// speakers says where the channels belong; 0 of what nothing is known.
func speakers(channels uint16) uint32 {
	switch channels {
	case 1:
		return 0x4 // front centre
	case 2:
		return 0x3 // front left and right
	}
	return 0
}

// waveBytes is the size of one sample in a file.
func waveBytes(f channel.SampleFormat) int {
	if f == channel.S24 {
		return 3
	}
	return f.Bytes()
}

// packSamples appends the samples of a payload as a file has them.
func packSamples(b, payload []byte, f channel.SampleFormat) []byte {
	if f != channel.S24 {
		return append(b, payload...)
	}
	for ; len(payload) >= 4; payload = payload[4:] {
		b = append(b, payload[:3]...)
	}
	return b
}
