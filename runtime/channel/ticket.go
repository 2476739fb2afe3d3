package channel

import "sync"

// Tickets hands out names for values that may be taken back once. Using a name
// twice, or after its value is gone, is found out, because a name also counts
// how often its place was used. It allocates only to grow.
type Tickets[T any] struct {
	mu     sync.Mutex
	places []place[T]
	free   []uint32
}

type place[T any] struct {
	value T
	uses  uint32 // odd while taken
}

// Put keeps a value and returns its ticket, never 0.
func (t *Tickets[T]) Put(v T) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.free) == 0 {
		t.places = append(t.places, place[T]{})
		t.free = append(t.free, uint32(len(t.places)-1))
	}
	i := t.free[len(t.free)-1]
	t.free = t.free[:len(t.free)-1]
	p := &t.places[i]
	p.uses++
	p.value = v
	return uint64(p.uses)<<32 | uint64(i)
}

// Take gives the value back and ends the ticket; false if it ended before.
func (t *Tickets[T]) Take(ticket uint64) (T, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var none T
	i, uses := uint32(ticket), uint32(ticket>>32)
	if int(i) >= len(t.places) || t.places[i].uses != uses || uses%2 == 0 {
		return none, false
	}
	p := &t.places[i]
	v := p.value
	p.value = none
	p.uses++
	t.free = append(t.free, i)
	return v, true
}

// Drain ends all tickets and returns their values.
func (t *Tickets[T]) Drain() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	var values []T
	var none T
	for i := range t.places {
		if p := &t.places[i]; p.uses%2 == 1 {
			values = append(values, p.value)
			p.value = none
			p.uses++
			t.free = append(t.free, uint32(i))
		}
	}
	return values
}

// Len is how many tickets are out.
func (t *Tickets[T]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.places) - len(t.free)
}
