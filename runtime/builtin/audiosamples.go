package builtin

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// keepFormat is the param that leaves the sample format as it comes.
const keepFormat = "keep"

// formatNames are the words for the sample formats that a param takes.
func formatNames() []string {
	var names []string
	for f := channel.U8; f <= channel.F64; f++ {
		names = append(names, sampleName(f))
	}
	return names
}

// formatNamed is the format of a word, or have for keepFormat.
func formatNamed(word string, have channel.SampleFormat) channel.SampleFormat {
	if i := slices.Index(formatNames(), word); i >= 0 {
		return channel.U8 + channel.SampleFormat(i)
	}
	return have
}

// blockBytes is the payload bytes of one sample of every channel.
func blockBytes(a channel.AudioFormat) int { return a.Format.Bytes() * int(a.Channels) }

// fullScale is the value of an integer sample that stands for 1.
func fullScale(f channel.SampleFormat) float64 {
	switch f {
	case channel.U8:
		return 1 << 7
	case channel.S16:
		return 1 << 15
	case channel.S24:
		return 1 << 23
	case channel.S32:
		return 1 << 31
	}
	return 1
}

// decodeSamples appends the samples of a payload to x as numbers from -1 to 1.
// Numbers of 64 bits hold every sample of every format exactly.
func decodeSamples(x []float64, payload []byte, f channel.SampleFormat) []float64 {
	little, unit := binary.LittleEndian, 1/fullScale(f)
	x = slices.Grow(x, len(payload)/f.Bytes())
	switch f {
	case channel.U8:
		for _, b := range payload {
			x = append(x, (float64(b)-128)*unit)
		}
	case channel.S16:
		for ; len(payload) >= 2; payload = payload[2:] {
			x = append(x, float64(int16(little.Uint16(payload)))*unit)
		}
	case channel.S24, channel.S32:
		for ; len(payload) >= 4; payload = payload[4:] {
			x = append(x, float64(int32(little.Uint32(payload)))*unit)
		}
	case channel.F32:
		for ; len(payload) >= 4; payload = payload[4:] {
			x = append(x, float64(math.Float32frombits(little.Uint32(payload))))
		}
	case channel.F64:
		for ; len(payload) >= 8; payload = payload[8:] {
			x = append(x, math.Float64frombits(little.Uint64(payload)))
		}
	}
	return x
}

// encodeSamples writes numbers as the samples of a payload of their length.
// Integer formats round and saturate; floats keep what is beyond -1 and 1.
func encodeSamples(payload []byte, x []float64, f channel.SampleFormat) {
	little, scale := binary.LittleEndian, fullScale(f)
	switch f {
	case channel.U8:
		for i, v := range x {
			payload[i] = byte(saturate(v, scale) + 128)
		}
	case channel.S16:
		for i, v := range x {
			little.PutUint16(payload[2*i:], uint16(saturate(v, scale)))
		}
	case channel.S24, channel.S32:
		for i, v := range x {
			little.PutUint32(payload[4*i:], uint32(saturate(v, scale)))
		}
	case channel.F32:
		for i, v := range x {
			little.PutUint32(payload[4*i:], math.Float32bits(float32(v)))
		}
	case channel.F64:
		for i, v := range x {
			little.PutUint64(payload[8*i:], math.Float64bits(v))
		}
	}
}

// saturate is the nearest integer sample; what is no number is silence.
func saturate(v, scale float64) int32 {
	v *= scale
	switch {
	case v >= scale-1:
		return int32(scale - 1)
	case v <= -scale:
		return int32(-scale)
	case v != v:
		return 0
	}
	return int32(math.Floor(v + 0.5))
}

// silence fills a payload with the zero of its format.
func silence(payload []byte, f channel.SampleFormat) {
	clear(payload)
	if f == channel.U8 {
		for i := range payload {
			payload[i] = 128
		}
	}
}
