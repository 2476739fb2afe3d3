package builtin

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/node"
)

// newJSONLinesSink writes a line a frame: the value of a json frame, the string
// of a text frame, the header of another. With envelope each line is an object
// that says which frame it was.
func newJSONLinesSink(s setup) (node.Builtin, error) {
	form := appendJSON
	if s.params.boolean("envelope") {
		form = appendEnvelope
	}
	return fileSink(s, form)
}

// frameHeader is the header of a frame in JSON, without times of this run, so
// that equal runs write equal lines.
type frameHeader struct {
	frameName
	frameMedia
}

// frameName says which frame it is.
type frameName struct {
	Kind     string `json:"kind"`
	Sequence uint64 `json:"sequence"`
	PTS      int64  `json:"pts_ns"`
	Source   string `json:"source"`
}

// frameMedia says what is in the payload.
type frameMedia struct {
	Bytes         int    `json:"bytes"`
	Discontinuity bool   `json:"discontinuity,omitempty"`
	TraceID       string `json:"trace_id,omitempty"`

	SampleRate uint32  `json:"sample_rate,omitempty"`
	Channels   uint16  `json:"channels,omitempty"`
	Width      uint32  `json:"width,omitempty"`
	Height     uint32  `json:"height,omitempty"`
	Stride     uint32  `json:"stride,omitempty"`
	Format     string  `json:"format,omitempty"`
	DType      string  `json:"dtype,omitempty"`
	Shape      []int64 `json:"shape,omitzero"` // of a scalar: []
}

// frameEnvelope is a frame with its value.
type frameEnvelope struct {
	frameName
	Value json.RawMessage `json:"value"`
}

func appendJSON(line []byte, f node.Frame) ([]byte, error) {
	switch f.Header.Kind {
	case channel.JSON:
		return appendValue(line, f)
	case channel.Text:
		return encode(line, string(f.Payload))
	}
	return encode(line, frameHeader{nameOf(f), mediaOf(f)})
}

func appendEnvelope(line []byte, f node.Frame) ([]byte, error) {
	var value []byte
	var err error
	switch f.Header.Kind {
	case channel.JSON:
		value, err = appendValue(nil, f)
	case channel.Text:
		value, err = encode(nil, string(f.Payload))
	default:
		value, err = encode(nil, mediaOf(f))
	}
	if err != nil {
		return line, err
	}
	return encode(line, frameEnvelope{nameOf(f), value})
}

// appendValue appends the JSON of a frame as it is, without white space: no
// number is rounded and no key moves.
func appendValue(line []byte, f node.Frame) ([]byte, error) {
	out := bytes.NewBuffer(line)
	if err := json.Compact(out, bytes.ToValidUTF8(f.Payload, []byte("\ufffd"))); err != nil {
		return line, fmt.Errorf("frame %d from %s is not JSON: %w", f.Header.Sequence, f.Source, err)
	}
	return out.Bytes(), nil
}

// encode appends v without a line break, and without the escapes that only
// HTML needs.
func encode(line []byte, v any) ([]byte, error) {
	out := bytes.NewBuffer(line)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return line, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func nameOf(f node.Frame) frameName {
	h := f.Header
	return frameName{Kind: h.Kind.String(), Sequence: h.Sequence, PTS: h.PTS, Source: f.Source}
}

func mediaOf(f node.Frame) frameMedia {
	h := f.Header
	m := frameMedia{Bytes: len(f.Payload), Discontinuity: h.Flags&channel.Discontinuity != 0}
	if h.TraceID != [16]byte{} {
		m.TraceID = hex.EncodeToString(h.TraceID[:])
	}
	switch h.Kind {
	case channel.Audio:
		a := h.Audio()
		m.SampleRate, m.Channels, m.Format = a.Rate, a.Channels, sampleName(a.Format)
	case channel.Video:
		v := h.Video()
		m.Width, m.Height, m.Stride, m.Format = v.Width, v.Height, v.Stride, videoName(v.FourCC)
	case channel.Tensor:
		t := h.Tensor()
		m.DType, m.Shape = dtypeName(t), append([]int64{}, t.Shape[:t.Rank]...)
	}
	return m
}

func sampleName(f channel.SampleFormat) string {
	names := [...]string{channel.U8: "u8", channel.S16: "s16", channel.S24: "s24", channel.S32: "s32", channel.F32: "f32", channel.F64: "f64"}
	if f > 0 && int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("format(%d)", f)
}

// videoName is the name of a FourCC; an unknown one is written as it is.
func videoName(code uint32) string {
	for _, f := range videoFormats() {
		if f.code == code {
			return f.name
		}
	}
	return strings.ToValidUTF8(string([]byte{byte(code), byte(code >> 8), byte(code >> 16), byte(code >> 24)}), "?")
}

// dtypeName is numpy's name of a DLPack type, bfloat16 besides.
func dtypeName(t *channel.TensorFormat) string {
	names := map[uint8]string{0: "int", 1: "uint", 2: "float", 4: "bfloat", 5: "complex"}
	name, ok := names[t.Code]
	switch {
	case t.Code == 6 && t.Bits == 8:
		return "bool"
	case !ok:
		name = fmt.Sprintf("code(%d)", t.Code)
	}
	return fmt.Sprintf("%s%d", name, t.Bits)
}
