package channel

import (
	"slices"
	"sync"
)

// MaxTries is how often a reader gets one frame: what crashes a node so often
// would crash it for ever.
const MaxTries = 3

// rejoining is what a reader that comes back after its death knows.
type rejoining struct {
	back    bool
	over    bool   // the end of the stream was told
	resume  uint64 // before it everything was counted by the reader that died
	skipped *uint64
}

// comeBack is the attaching of a reader that was there and died. Its counters
// go on. What was in flight to it is lost and counted, or, with Retry, comes
// again from the writer's history. That a process may die between any two
// stores makes no difference: what is dropped follows from the other counters.
func (r *Subscriber) comeBack(reader Reader) {
	s := r.slot
	r.back, r.resume = true, s.counted()
	if reader.Retry {
		r.skip()
		s.Next().Store(s.Done().Load())
	} else {
		// The port is open: what is claimed from now on reaches it.
		base, frames := r.ledger.Next().Load(), r.ledger.Frames()
		if done := s.Done().Load(); r.resume > done {
			s.Unfinished().Store(s.Unfinished().Load() + min(r.resume-done, uint64(reader.Hold)))
		}
		if frames > r.resume {
			s.Dropped().Store(s.Dropped().Load() + frames - r.resume)
		}
		r.resume = base
		s.Done().Store(base)
		s.Next().Store(base)
	}
	_ = r.in.Wake() // what fails costs the writer checkEvery
}

// skip gives up a frame that the reader has died with often enough.
func (r *Subscriber) skip() {
	s, sequence := r.slot, r.slot.Done().Load()
	if s.Tried().Load() != sequence+1 || s.Tries().Load() < MaxTries || sequence >= r.resume {
		return
	}
	r.skipped = &sequence
	s.Received().Store(s.Received().Load() - 1)
	s.Dropped().Store(s.Dropped().Load() + 1)
	s.GivenUp().Store(s.GivenUp().Load() + 1)
	s.Done().Store(sequence + 1)
}

// Skipped is the frame that was not given again because the reader had died
// with it three times; false if there is none.
func (r *Subscriber) Skipped() (uint64, bool) {
	if r.skipped == nil {
		return 0, false
	}
	return *r.skipped, true
}

// miss counts the frames before a sequence that did not come.
func (r *Subscriber) miss(sequence uint64) {
	s := r.slot
	next := s.Next().Load()
	if from := max(next, r.resume); sequence > from {
		s.Dropped().Store(s.Dropped().Load() + sequence - from)
	}
	if until := min(sequence, r.resume); until > next {
		s.Unfinished().Store(s.Unfinished().Load() + until - next)
	}
}

// endedWithoutUs says whether the stream of a reader that came back has ended
// and its writer is gone.
func (r *Subscriber) endedWithoutUs() bool {
	return r.back && !r.over && r.ledger.Ended().Load() != 0 && !r.in.WriterAlive()
}

// nothing is called when no frame is there. Then those before start do not
// come: their writer died. The end of the stream is told here to a reader that
// came back too late for it, and where its writer died before it was sent.
func (r *Subscriber) nothing(into []Sample, start uint64, gone bool) int {
	s, ended, last := r.slot, r.ledger.Ended().Load(), r.ledger.Next().Load()
	// Who ended the stream is gone, and this is the writer after it.
	late := ended != 0 && start >= last
	if s.Next().Load() < start {
		if late {
			r.miss(start - 1) // the end is no frame that is lost
		} else {
			r.miss(start)
		}
		s.Next().Store(start)
		r.hands.pass(start)
		r.wakeWriter()
	}
	if r.over || ended == 0 || (!r.back && !late) {
		return 0
	}
	if s.Next().Load() < last {
		if !gone {
			return 0
		}
		r.miss(last - 1)
		s.Next().Store(last)
	}
	r.over = true
	h := &Header{Version: HeaderVersion, Kind: Control, Flags: EndOfStream, Sequence: last - 1}
	if ended == EndedFailed {
		h.Flags |= Failed
	}
	into[0] = Sample{Header: h, from: r}
	return 1
}

// hands keeps Done: which frames the reader has, and those it is done with. Nil
// keeps nothing.
type hands struct {
	slot  Slot
	retry bool
	mu    sync.Mutex
	out   []uint64 // in order
	last  uint64
}

func (h *hands) take(sequence uint64) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = sequence
	h.out = append(h.out, sequence)
	if len(h.out) == 1 {
		h.first(sequence)
	}
}

func (h *hands) finish(sequence uint64) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.Index(h.out, sequence)
	if i < 0 {
		return
	}
	h.out = slices.Delete(h.out, i, i+1)
	switch {
	case len(h.out) == 0:
		h.slot.Done().Store(h.last + 1)
	case i == 0:
		h.first(h.out[0])
	}
}

// pass is called when frames before a sequence do not come.
func (h *hands) pass(sequence uint64) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.out) == 0 {
		h.slot.Done().Store(sequence)
	}
}

// first notes the oldest frame that is not done with.
func (h *hands) first(sequence uint64) {
	h.slot.Done().Store(sequence)
	if !h.retry {
		return
	}
	if h.slot.Tried().Load() == sequence+1 {
		h.slot.Tries().Store(h.slot.Tries().Load() + 1)
		return
	}
	h.slot.Tries().Store(1)
	h.slot.Tried().Store(sequence + 1)
}
