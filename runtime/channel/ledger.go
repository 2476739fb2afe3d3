package channel

import (
	"fmt"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// The ledger is a small file of shared counters beside a channel's segments.
// Each counter has one writer, so plain aligned 64-bit stores are enough and
// Python can keep it too. It carries three things: the credits of block, the
// figures of the report (they survive a crash of who wrote them), and, by
// kernel locks on its bytes, who is alive: byte 0 is locked by the writer, byte
// 1+i by reader i, with open-file-description locks, which a killed process
// releases, and which opening and closing the file elsewhere does not.
//
//	  0 magic   8 slots     16 next      24 bytes   32 state   40 starved  48 blocked ns  56 ended
//	 64 expected  72 start
//	128 + 1152*i, reader i:
//	  0 state   8 capacity  16 next      24 received  32 bytes  40 dropped  48 waiting  56 base
//	 64 latency histogram, 128 counters
//	1088 expected  1096 done  1104 tried  1112 tries  1120 unfinished  1128 given up
//
// The two words "expected" are the runtime's: the end at this side comes back
// if it dies, so its peer waits for it.
const (
	ledgerMagic    = 0x3147444C_4E444D // "MDNLDG1"
	ledgerHeader   = 128
	ledgerSlot     = 1152
	latencyOffset  = 64
	expectedOffset = latencyOffset + 8*LatencyBuckets

	// LatencyBuckets is how many counters a latency histogram has.
	LatencyBuckets = 128
)

// States of a writer or a reader.
const (
	Vacant   uint64 = iota // never there
	Attached               // there, or dead without having said so: see the lock
	Detached               // gone
)

// LedgerSize is the bytes of a ledger for so many readers.
func LedgerSize(readers int) int { return ledgerHeader + ledgerSlot*max(1, readers) }

// Ledger is a channel's ledger, mapped.
type Ledger struct{ mem []byte }

// NewLedger is a view of mapped memory; fresh memory, all zero, is formatted.
func NewLedger(mem []byte, readers int) (*Ledger, error) {
	if len(mem) < LedgerSize(readers) {
		return nil, fmt.Errorf("ledger of %d bytes: %d readers need %d", len(mem), readers, LedgerSize(readers))
	}
	l := &Ledger{mem: mem}
	if l.at(0).CompareAndSwap(0, ledgerMagic) {
		l.at(8).Store(uint64(readers))
	}
	if got := l.at(0).Load(); got != ledgerMagic {
		return nil, fmt.Errorf("ledger magic %#x: made by another version", got)
	}
	return l, nil
}

func (l *Ledger) at(offset int) *atomic.Uint64 {
	return (*atomic.Uint64)(unsafe.Pointer(&l.mem[offset]))
}

// Writer's counters.

// Next is the sequence of the next frame: how many the writer has sent.
func (l *Ledger) Next() *atomic.Uint64 { return l.at(16) }

// Bytes is the payload bytes sent.
func (l *Ledger) Bytes() *atomic.Uint64 { return l.at(24) }

// State is the writer's state.
func (l *Ledger) State() *atomic.Uint64 { return l.at(32) }

// Starved is 1 while the writer waits for room and wants to be woken.
func (l *Ledger) Starved() *atomic.Uint64 { return l.at(40) }

// Blocked is the nanoseconds that the writer waited for room.
func (l *Ledger) Blocked() *atomic.Uint64 { return l.at(48) }

// Ended is EndedWell or EndedFailed when the last frame was the end of the
// stream, which Next counts.
func (l *Ledger) Ended() *atomic.Uint64 { return l.at(56) }

// The values of Ended.
const (
	EndedWell   uint64 = 1
	EndedFailed uint64 = 2
)

// Expected is 1 while the runtime will start a writer again that dies.
func (l *Ledger) Expected() *atomic.Uint64 { return l.at(64) }

// Start is the sequence from which the present writer sends: what is before it
// was sent by one that is gone, or was claimed and never sent.
func (l *Ledger) Start() *atomic.Uint64 { return l.at(72) }

// Frames is how many frames with content the writer has sent.
func (l *Ledger) Frames() uint64 { return l.Next().Load() - min(1, l.Ended().Load()) }

// Slot is the part of reader i.
func (l *Ledger) Slot(i int) Slot { return Slot{l, ledgerHeader + ledgerSlot*i} }

// Slots is how many readers the ledger is made for.
func (l *Ledger) Slots() int {
	return min(int(l.at(8).Load()), (len(l.mem)-ledgerHeader)/ledgerSlot)
}

// Slot is one reader's part of a ledger.
type Slot struct {
	ledger *Ledger
	offset int
}

// State is Vacant, Attached or Detached.
func (s Slot) State() *atomic.Uint64 { return s.ledger.at(s.offset) }

// Capacity is how many frames wait for the reader at most.
func (s Slot) Capacity() *atomic.Uint64 { return s.ledger.at(s.offset + 8) }

// Next is the sequence the reader expects: all before are received or dropped.
func (s Slot) Next() *atomic.Uint64 { return s.ledger.at(s.offset + 16) }

// Received is how many frames the reader got.
func (s Slot) Received() *atomic.Uint64 { return s.ledger.at(s.offset + 24) }

// Bytes is the payload bytes the reader got.
func (s Slot) Bytes() *atomic.Uint64 { return s.ledger.at(s.offset + 32) }

// Dropped is how many frames were sent to the reader and not received.
func (s Slot) Dropped() *atomic.Uint64 { return s.ledger.at(s.offset + 40) }

// Waiting is 1 while the reader sleeps and wants to be woken.
func (s Slot) Waiting() *atomic.Uint64 { return s.ledger.at(s.offset + 48) }

// Base is the sequence from which frames are the reader's: Base + Received +
// Dropped is the first that is not counted yet. A reader that comes back after
// its death goes on with it.
func (s Slot) Base() *atomic.Uint64 { return s.ledger.at(s.offset + 56) }

// Expected is 1 while the runtime will start a reader again that dies.
func (s Slot) Expected() *atomic.Uint64 { return s.ledger.at(s.offset + expectedOffset) }

// Done is the sequence before which the reader has nothing in its hands.
func (s Slot) Done() *atomic.Uint64 { return s.ledger.at(s.offset + expectedOffset + 8) }

// Tried is the sequence, plus one, of the frame that Tries counts.
func (s Slot) Tried() *atomic.Uint64 { return s.ledger.at(s.offset + expectedOffset + 16) }

// Tries is how often a reader that gets frames again has got that frame.
func (s Slot) Tries() *atomic.Uint64 { return s.ledger.at(s.offset + expectedOffset + 24) }

// Unfinished is how many frames the reader had in its hands when it died and
// did not get again. They count as received.
func (s Slot) Unfinished() *atomic.Uint64 { return s.ledger.at(s.offset + expectedOffset + 32) }

// GivenUp is how many of the dropped frames the reader did not get again because
// it had died with them often enough.
func (s Slot) GivenUp() *atomic.Uint64 { return s.ledger.at(s.offset + expectedOffset + 40) }

// Missing is how many of the frames that were sent to the reader are neither
// received nor dropped: they wait for it, or nobody is left to count them.
func (s Slot) Missing() uint64 {
	sent, counted := s.ledger.Frames(), s.counted()
	if s.State().Load() == Vacant || sent < counted {
		return 0
	}
	return sent - counted
}

// counted is the first sequence that is neither received nor dropped.
func (s Slot) counted() uint64 {
	return s.Base().Load() + s.Received().Load() + s.Dropped().Load()
}

// CountLatency adds one frame's time from send to receive, in ns.
func (s Slot) CountLatency(ns uint64) {
	c := s.ledger.at(s.offset + latencyOffset + 8*latencyBucket(ns))
	c.Store(c.Load() + 1) // one writer: no read-modify-write needed
}

// latencyBucket has four buckets an octave from 256 ns to 2^39 ns (nine minutes).
func latencyBucket(ns uint64) int {
	const first = 8 // 2^8 ns
	if ns < 1<<first {
		return 0
	}
	octave := bits.Len64(ns) - 1
	quarter := int(ns>>(octave-2)) & 3
	return min((octave-first)*4+quarter+1, LatencyBuckets-1)
}

// latencyBound is the upper bound in ns of a bucket.
func latencyBound(bucket int) uint64 {
	if bucket == 0 {
		return 256
	}
	octave, quarter := 8+(bucket-1)/4, (bucket-1)%4
	return 1<<octave + uint64(quarter+1)<<(octave-2)
}

// Latency is the time in ns that a share q (0 to 1) of the frames did not
// exceed, to a quarter of an octave; 0 without frames.
func (s Slot) Latency(q float64) uint64 { return Quantile(s.Latencies(), q) }
