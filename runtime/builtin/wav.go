package builtin

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// wave is where the samples of a WAV file are and how they are stored. WAV is
// little-endian, and so are the machines that iceoryx2 runs on: except for
// packed 24-bit ones, samples are sent as they are.
type wave struct {
	channel.AudioFormat
	packed int   // bytes of one sample in the file
	offset int64 // of the first sample
	size   int64 // bytes of all samples
}

// Format tags of a fmt chunk.
const (
	tagPCM        = 0x0001
	tagFloat      = 0x0003
	tagExtensible = 0xFFFE
)

// unknownSize is what a program writes that could not go back to the header;
// the samples then go on to the end of the file.
const unknownSize = 0xFFFFFFFF

// pipedSize is from where on a size is taken for such a one too, if the file is
// shorter: programs that read sizes as signed numbers write less than 2 GiB.
const pipedSize = 0x7FFF0000

// readWave reads the header of a WAV or RF64 file of size bytes. What the
// header says of the samples is true of the file, or is an error.
func readWave(r io.ReaderAt, size int64) (wave, error) {
	var head [12]byte
	if err := readAt(r, head[:], 0); err != nil {
		return wave{}, fmt.Errorf("not a WAV file: %d bytes", size)
	}
	kind := string(head[:4])
	switch {
	case kind == "RIFX":
		return wave{}, fmt.Errorf("a WAV file of the kind %s, which is not read: want RIFF or RF64", kind)
	case kind != "RIFF" && kind != "RF64" || string(head[8:]) != "WAVE":
		return wave{}, fmt.Errorf("not a WAV file: begins with %q", kind)
	}
	w, large := wave{}, int64(-1)
	riff := int64(binary.LittleEndian.Uint32(head[4:])) + 8
	for at := int64(len(head)); ; {
		var chunk [8]byte
		if err := readAt(r, chunk[:], at); err != nil {
			return wave{}, fmt.Errorf("WAV file ends after %d bytes without a data chunk", size)
		}
		length := int64(binary.LittleEndian.Uint32(chunk[4:]))
		at += int64(len(chunk))
		switch name := string(chunk[:4]); {
		case name == "fmt ":
			if err := w.readFormat(r, at, length); err != nil {
				return wave{}, err
			}
		case name == "ds64" && kind == "RF64":
			var sizes [16]byte
			if err := readAt(r, sizes[:], at); err != nil || length < int64(len(sizes)) {
				return wave{}, errors.New("WAV file ends inside its sizes")
			}
			large = int64(min(binary.LittleEndian.Uint64(sizes[8:]), math.MaxInt64/2))
		case name == "data":
			switch {
			case length == unknownSize && large >= 0:
				length = large
			case length == unknownSize, length >= pipedSize && at+length > size, length == 0 && (riff <= at || riff == unknownSize+8):
				length = unknownSize
			}
			return w, w.setData(at, length, size)
		}
		at += length + length%2
	}
}

// setData takes the place of the samples. Of a stream that says no length, what
// does not make up a whole sample at its end is left out.
func (w *wave) setData(at, length, size int64) error {
	if w.Rate == 0 {
		return errors.New("WAV file has its data before its format")
	}
	if length == unknownSize {
		length = size - at
		length -= length % w.block()
	}
	switch {
	case at+length > size:
		return fmt.Errorf("WAV file is truncated: %d bytes of samples, the header says %d", size-at, length)
	case length%w.block() != 0:
		return fmt.Errorf("WAV file: %d bytes of samples are no whole number of frames of %d bytes", length, w.block())
	}
	w.offset, w.size = at, length
	return nil
}

// block is the bytes in the file of one sample of every channel.
func (w *wave) block() int64 { return int64(w.packed) * int64(w.Channels) }

// frames is how many samples a channel has.
func (w *wave) frames() int64 { return w.size / w.block() }

// readFormat reads a fmt chunk.
func (w *wave) readFormat(r io.ReaderAt, at, length int64) error {
	var b [40]byte
	if length < 16 {
		return fmt.Errorf("WAV file: fmt chunk of %d bytes", length)
	}
	used := b[:min(length, int64(len(b)))]
	if err := readAt(r, used, at); err != nil {
		return errors.New("WAV file ends inside its format")
	}
	little := binary.LittleEndian
	tag := little.Uint16(b[0:])
	if tag == tagExtensible && len(used) >= 26 {
		tag = little.Uint16(b[24:]) // a GUID that begins with the tag
	}
	bits := little.Uint16(b[14:])
	format, ok := sampleFormat(tag, bits)
	if !ok {
		return fmt.Errorf("WAV file: format tag %#04x with %d bits: want PCM of 8, 16, 24 or 32 bits, or float of 32 or 64", tag, bits)
	}
	w.AudioFormat = channel.AudioFormat{Rate: little.Uint32(b[4:]), Channels: little.Uint16(b[2:]), Format: format}
	w.packed = int(bits / 8)
	if block := int64(little.Uint16(b[12:])); w.Rate == 0 || w.Channels == 0 || block != w.block() {
		return fmt.Errorf("WAV file: %d Hz, %d channels of %d bits, frames of %d bytes: these do not go together", w.Rate, w.Channels, bits, block)
	}
	return nil
}

func sampleFormat(tag, bits uint16) (channel.SampleFormat, bool) {
	switch [2]uint16{tag, bits} {
	case [2]uint16{tagPCM, 8}:
		return channel.U8, true
	case [2]uint16{tagPCM, 16}:
		return channel.S16, true
	case [2]uint16{tagPCM, 24}:
		return channel.S24, true
	case [2]uint16{tagPCM, 32}:
		return channel.S32, true
	case [2]uint16{tagFloat, 32}:
		return channel.F32, true
	case [2]uint16{tagFloat, 64}:
		return channel.F64, true
	}
	return 0, false
}

// read fills payload from r, which stands at a sample.
func (w *wave) read(r io.Reader, payload []byte) error {
	if w.Format != channel.S24 {
		_, err := io.ReadFull(r, payload)
		return err
	}
	// Three bytes a sample are read to the end of the payload and spread from
	// its start; a sample is read before its place is written over.
	samples := len(payload) / 4
	packed := payload[samples:]
	if _, err := io.ReadFull(r, packed); err != nil {
		return err
	}
	for i := range samples {
		p := packed[3*i : 3*i+3]
		value := int32(uint32(p[0])<<8|uint32(p[1])<<16|uint32(p[2])<<24) >> 8
		binary.LittleEndian.PutUint32(payload[4*i:], uint32(value))
	}
	return nil
}

func readAt(r io.ReaderAt, b []byte, at int64) error {
	if n, err := r.ReadAt(b, at); n < len(b) {
		return err
	}
	return nil
}
