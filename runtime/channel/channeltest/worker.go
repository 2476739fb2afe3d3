// Package channeltest is one set of conformance cases for everything that
// carries frames: transports in Go, and programs in other languages that share
// channels with them.
//
// # Worker protocol
//
// A worker is a program that holds ends of channels and does what it is told.
// It reads requests from stdin and writes answers to stdout, one JSON object a
// line (UTF-8, flushed after each). Stderr is for people.
//
// A request has an id and an operation in do:
//
//	{"id":7,"do":"send","ports":["out"],"count":3,"length":64,"seed":5,"within_ms":1000}
//
// Its answer has the same id. It has error and kind if the operation failed, and
// may then still have results of what went well before:
//
//	{"id":7,"sent":3}
//	{"id":7,"sent":1,"kind":"timeout","error":"channel main_a_output: send: ..."}
//
// Requests that name the same port are done one after the other, in the order
// in which they came; of send it is the first port that counts. Only close,
// alive and counters are done at once; close ends what waits in the port. Other
// requests run at the same time, so answers may come in another order: a worker
// that waits in one port must answer requests about others meanwhile.
//
// kind is one of
//
//	closed     the port is closed, or was while the operation waited in it
//	released   a loan or sample was sent or released before
//	too_large  a frame larger than max_frame; error has both numbers
//	held       as many frames held as the reader's hold allows
//	loaned     as many loans out as the spec's loans allow
//	no_space   shared memory is full; error has need and have
//	corrupt    a peer's header cannot be true
//	timeout    within_ms is over
//	other      everything else
//
// # Operations
//
// hello is the first request. It has domain and dir: the iceoryx2 root and
// prefix, and the directory of segments and ledgers. A worker that can only
// reach /dev/shm answers with kind other if dir is another one. The answer has
// language ("go", "python") and iceoryx2 (version).
//
// publisher opens the writer's end of spec as ports[0]; subscriber opens
// spec's reader slot as ports[0]. Channels are created by the test.
//
// send sends count frames (default 1) to each of ports in turn: frame 0 to all
// ports, then frame 1. Frame i has length payload bytes, byte j of which is
// (seed+i+j) mod 256, and the header fields of frame, all optional: kind
// ("bytes"), flags, pts (plus i), trace_id (32 hex digits), audio, video,
// tensor. gap_us is slept after each frame. The answer has sent: the frames that
// every port has taken.
//
// receive receives until it has count frames (default 1), an end of stream, an
// error, or within_ms is over, which is no error. Every frame is released at
// once unless keep is set. gap_us is slept after each frame. The answer has
// frames: for each frame sequence, kind, flags, pts, trace_id, length, crc32 of
// the payload (IEEE, as zlib), and audio, video or tensor by its kind. With
// brief it has instead received (how many), first and last (sequences), ordered
// (sequences rise) and ended (end of stream came). The end of stream is a frame
// too. An error about frames between good ones (corrupt) does not end the
// receiving; its kind and text are in the answer.
//
// release releases what receive kept on ports[0], oldest first: count frames, or
// all. With again it releases the newest of them a second time, which must be
// kind released.
//
// loan takes count loans of length bytes from ports[0] and keeps them; discard
// releases them, and with again the last of them a second time.
//
// corrupt sends one frame whose header cannot be true, on ports[0]; what says
// which: version (2), kind (99), audio (3 bytes of 2-channel S16), video (a
// picture larger than the payload), tensor (rank 9), sequence (2^62). Everything
// else is done as for a good frame of Kind bytes and length 3: waiting for
// credits, the claim in the ledger, the wake-up.
//
// end sends the end of the stream on ports[0], failed if failed is set. drain
// waits until every reader has taken everything.
//
// alive answers alive: for a publisher, whether somebody holds the lock of
// reader slot; for a subscriber, whether somebody holds the writer's.
//
// counters answers counters, the ledger of ports[0]: next, bytes, ended,
// blocked_ns and slots with state, next, received, bytes, dropped.
//
// close closes ports[0]; its name stays, so that use after close can be tried.
//
// leave ends ports[0] as the death of its process does. Only a worker that has no
// process of its own, which the test could kill, needs it.
//
// ticks answers ticks: how often a thread that does nothing but sleep 1 ms and
// count has counted since hello. It shows that a wait in one port does not stop
// the rest of the process.
//
// exit closes everything, leaves the domain, answers, and ends the process with
// code 0; so does the end of stdin, without an answer.
package channeltest

import (
	"encoding/hex"
	"fmt"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Request is one line to a worker.
type Request struct {
	ID uint64 `json:"id"`
	Do string `json:"do"`

	Ports []string `json:"ports,omitempty"`

	Domain *channel.Domain `json:"domain,omitempty"` // hello
	Dir    string          `json:"dir,omitempty"`    // hello
	Spec   *channel.Spec   `json:"spec,omitempty"`   // publisher, subscriber
	Slot   int             `json:"slot,omitempty"`   // subscriber, alive

	Count    int    `json:"count,omitempty"`
	Length   int    `json:"length,omitempty"`
	Seed     int    `json:"seed,omitempty"`
	Frame    *Frame `json:"frame,omitempty"`
	GapUS    int    `json:"gap_us,omitempty"`
	WithinMS int    `json:"within_ms,omitempty"` // 0: for ever
	Keep     bool   `json:"keep,omitempty"`      // receive
	Brief    bool   `json:"brief,omitempty"`     // receive
	Again    bool   `json:"again,omitempty"`     // release, discard
	Failed   bool   `json:"failed,omitempty"`    // end
	What     string `json:"what,omitempty"`      // corrupt
}

// Frame is a frame as a worker reports it, and the header of what it sends.
type Frame struct {
	Sequence uint64  `json:"sequence,omitempty"`
	Kind     string  `json:"kind,omitempty"`
	Flags    uint8   `json:"flags,omitempty"`
	PTS      int64   `json:"pts,omitempty"`
	TraceID  string  `json:"trace_id,omitempty"`
	Length   int     `json:"length,omitempty"`
	CRC32    uint32  `json:"crc32,omitempty"`
	Audio    *Audio  `json:"audio,omitempty"`
	Video    *Video  `json:"video,omitempty"`
	Tensor   *Tensor `json:"tensor,omitempty"`
}

// Audio is channel.AudioFormat.
type Audio struct {
	Rate     uint32 `json:"rate"`
	Channels uint16 `json:"channels"`
	Format   uint16 `json:"format"`
}

// Video is channel.VideoFormat.
type Video struct {
	Width  uint32 `json:"width"`
	Height uint32 `json:"height"`
	Stride uint32 `json:"stride"`
	FourCC uint32 `json:"fourcc"`
}

// Tensor is channel.TensorFormat; shape has rank numbers.
type Tensor struct {
	Code  uint8   `json:"code"`
	Bits  uint8   `json:"bits"`
	Lanes uint16  `json:"lanes"`
	Shape []int64 `json:"shape"`
}

// Answer is one line from a worker.
type Answer struct {
	ID    uint64 `json:"id"`
	Kind  string `json:"kind,omitempty"`
	Error string `json:"error,omitempty"`

	Language string `json:"language,omitempty"`
	Iceoryx2 string `json:"iceoryx2,omitempty"`

	Sent     int       `json:"sent,omitempty"`
	Frames   []Frame   `json:"frames,omitempty"`
	Received int       `json:"received,omitempty"`
	First    uint64    `json:"first,omitempty"`
	Last     uint64    `json:"last,omitempty"`
	Ordered  bool      `json:"ordered,omitempty"`
	Ended    bool      `json:"ended,omitempty"`
	Alive    bool      `json:"alive,omitempty"`
	Ticks    uint64    `json:"ticks,omitempty"`
	Counters *Counters `json:"counters,omitempty"`
}

// Counters is a ledger.
type Counters struct {
	Next      uint64         `json:"next"`
	Bytes     uint64         `json:"bytes"`
	Ended     uint64         `json:"ended"`
	BlockedNS uint64         `json:"blocked_ns"`
	Slots     []SlotCounters `json:"slots"`
}

// SlotCounters is a reader's part of a ledger.
type SlotCounters struct {
	State    uint64 `json:"state"`
	Next     uint64 `json:"next"`
	Received uint64 `json:"received"`
	Bytes    uint64 `json:"bytes"`
	Dropped  uint64 `json:"dropped"`
}

// Put writes the header fields of a frame that is to be sent.
func (f *Frame) Put(h *channel.Header) error {
	if f.Kind != "" {
		kind, ok := channel.ParseKind(f.Kind)
		if !ok {
			return fmt.Errorf("kind %q", f.Kind)
		}
		h.Kind = kind
	}
	h.Flags, h.PTS = f.Flags, f.PTS
	if n := len(f.TraceID); n != 0 && n != 32 {
		return fmt.Errorf("trace id of %d digits, want 32", n)
	}
	if _, err := hex.Decode(h.TraceID[:], []byte(f.TraceID)); err != nil {
		return fmt.Errorf("trace id: %w", err)
	}
	switch {
	case f.Audio != nil:
		*h.Audio() = channel.AudioFormat{Rate: f.Audio.Rate, Channels: f.Audio.Channels, Format: channel.SampleFormat(f.Audio.Format)}
	case f.Video != nil:
		*h.Video() = channel.VideoFormat(*f.Video)
	case f.Tensor != nil:
		t := channel.TensorFormat{Code: f.Tensor.Code, Bits: f.Tensor.Bits, Lanes: f.Tensor.Lanes, Rank: uint32(len(f.Tensor.Shape))}
		copy(t.Shape[:], f.Tensor.Shape)
		*h.Tensor() = t
	}
	return nil
}

// Take reads the header fields of a frame that was received.
func Take(h *channel.Header) Frame {
	f := Frame{Sequence: h.Sequence, Kind: h.Kind.String(), Flags: h.Flags, PTS: h.PTS}
	if h.TraceID != [16]byte{} {
		f.TraceID = hex.EncodeToString(h.TraceID[:])
	}
	switch h.Kind {
	case channel.Audio:
		a := h.Audio()
		f.Audio = &Audio{a.Rate, a.Channels, uint16(a.Format)}
	case channel.Video:
		v := Video(*h.Video())
		f.Video = &v
	case channel.Tensor:
		t := h.Tensor()
		f.Tensor = &Tensor{t.Code, t.Bits, t.Lanes, append([]int64{}, t.Shape[:t.Rank]...)}
	}
	return f
}
