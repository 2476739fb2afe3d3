package channel

import "fmt"

// Policy says what a writer does when a reader has no room.
type Policy uint8

// The policies of a channel.
const (
	Block      Policy = iota // the writer waits: nothing is lost
	DropOldest               // the reader's oldest unread frame is replaced and counted
)

// String is the policy as the pipeline language writes it.
func (p Policy) String() string {
	if p == DropOldest {
		return "drop_oldest"
	}
	return "block"
}

// MarshalText writes the policy as String does.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (p *Policy) UnmarshalText(text []byte) error {
	switch string(text) {
	case "block":
		*p = Block
	case "drop_oldest":
		*p = DropOldest
	default:
		return fmt.Errorf("policy %q: want block or drop_oldest", text)
	}
	return nil
}

// Reader is one planned reader of a channel; its index in Spec.Readers is its
// slot in the ledger.
type Reader struct {
	Node   string `json:"node"`
	Port   string `json:"port"`
	Buffer int    `json:"buffer"` // frames that wait for it at most
	Hold   int    `json:"hold"`   // frames it may keep at once
	// Retry says that a reader which comes back after its death gets the frames
	// again that it had not finished.
	Retry bool `json:"retry,omitempty"`
}

// Spec is everything that both ends of a channel must know beforehand. Every
// quality of service is set from it, never left to a default.
type Spec struct {
	Name     string   `json:"name"`
	MaxFrame int      `json:"max_frame"` // payload bytes
	Policy   Policy   `json:"policy"`
	Readers  []Reader `json:"readers"`
	Loans    int      `json:"loans"` // unsent frames a writer may have at once
}

// Queue is how many frames wait in shared memory for the reader at most: its
// buffer, and, where it gets frames again, those that it had not finished.
func (r Reader) Queue() int {
	if r.Retry {
		return r.Buffer + r.Hold
	}
	return r.Buffer
}

// Queue is the largest queue of the readers.
func (s Spec) Queue() int { return s.most(Reader.Queue) }

// History is how many sent frames the writer keeps for readers that come back
// and get frames again: what may wait for one and be in its hands.
func (s Spec) History() int {
	n := 0
	for _, r := range s.Readers {
		if r.Retry {
			n = max(n, r.Queue())
		}
	}
	return n
}

// Hold is the largest hold of the readers.
func (s Spec) Hold() int { return s.most(func(r Reader) int { return r.Hold }) }

func (s Spec) most(of func(Reader) int) int {
	n := 1
	for _, r := range s.Readers {
		n = max(n, of(r))
	}
	return n
}

// MaxSubscribers is how many readers the service admits; a service for nobody
// still has one, because iceoryx2 asks for at least that.
func (s Spec) MaxSubscribers() int { return max(1, len(s.Readers)) }

// MaxNodes is how many processes may have the service open: writer, readers
// and runtime, each once more for a dead one that is not cleaned yet.
func (s Spec) MaxNodes() int { return 2 * (s.MaxSubscribers() + 2) }

// Validate says what is wrong with a spec that was not made by a plan.
func (s Spec) Validate() error {
	switch {
	case s.Name == "" || len(s.Name) > 200:
		return fmt.Errorf("channel name %q: want 1 to 200 bytes", s.Name)
	case s.MaxFrame < 0 || s.MaxFrame > 1<<32:
		return fmt.Errorf("channel %s: max_frame %d: want 0 to 4 GiB", s.Name, s.MaxFrame)
	case s.Loans < 1:
		return fmt.Errorf("channel %s: loans %d: want at least 1", s.Name, s.Loans)
	}
	for _, r := range s.Readers {
		if r.Buffer < 1 || r.Hold < 1 {
			return fmt.Errorf("channel %s: reader %s: buffer %d, hold %d: want at least 1", s.Name, r.Node, r.Buffer, r.Hold)
		}
	}
	return nil
}

// page is the unit in which tmpfs gives memory.
const page = 4096

// Sizes are the bytes of shared memory that a channel takes, each rounded up
// to pages. Source of the formulas: iceoryx2 0.10.0, publish_subscribe.rs
// (preallocation), message_type_details.rs (sample layout), data_segment.rs
// and pool_allocator.rs (allocator); a test holds them to the real files.
type Sizes struct {
	Data       int // the writer's segment: charged to the writer's memory limit
	Connection int // queues, one a reader
	Service    int // dynamic configuration and events
	Ledger     int
}

// Total is the sum.
func (z Sizes) Total() int { return z.Data + z.Connection + z.Service + z.Ledger }

// Sizes of the channel.
func (s Spec) Sizes() Sizes {
	const (
		align      = 8
		iceoryx    = 48 // iceoryx2's own header
		headerSize = 128
	)
	subscribers := s.MaxSubscribers()
	chunks := subscribers*(s.Queue()+s.Hold()) + s.History() + s.Loans
	chunk := up(up(iceoryx, align)+headerSize+max(1, s.MaxFrame), align)
	data := chunks*chunk + (align - 1) + (4*(chunks+1) + 3) + 136
	connection := 252 + 16*s.Queue() + 8*s.Hold() + chunks
	dynamic := 327 + 144*subscribers + 152 + 32*s.MaxNodes()
	// Two event services: to the readers, with a listener each and two notifiers,
	// and to the writer, the other way round but for one notifier more. Each
	// listener has a bit set of its own.
	event := 327 + 128*(subscribers+2) + 32*s.MaxNodes()
	events := 2*up(event, page) + (subscribers+1)*page
	return Sizes{
		Data:       up(data, page),
		Connection: subscribers * up(connection, page),
		Service:    up(dynamic, page) + events,
		Ledger:     up(LedgerSize(len(s.Readers)), page),
	}
}

func up(n, to int) int { return (n + to - 1) / to * to }
