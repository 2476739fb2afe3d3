//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// wire is a connection of the pipeline: a channel with one reader.
type wire struct {
	from, to string // node.port, as a report has them
	channel  string // its name without the session
	most     uint64 // frames that may be on it when the runtime is killed
}

// counts are the counters of a session's channels, by open files: they are there
// after the session, whoever was killed.
type counts struct {
	dir, session string
	wires        []wire
	files        []*os.File
	last         []tally
}

// tally is what a ledger says of a connection.
type tally struct {
	sent, received, dropped, unfinished uint64
	there                               bool
}

func newCounts(dir, session string, wires []wire) *counts {
	return &counts{dir: dir, session: session, wires: wires, files: make([]*os.File, len(wires)), last: make([]tally, len(wires))}
}

// look reads the counters that there are.
func (c *counts) look() {
	for i, w := range c.wires {
		if c.files[i] == nil {
			f, err := os.Open(filepath.Join(c.dir, channel.LedgerName(c.session+"_"+w.channel)))
			if err != nil {
				continue // not yet
			}
			c.files[i] = f
		}
		mem := make([]byte, channel.LedgerSize(1))
		if _, err := c.files[i].ReadAt(mem, 0); err != nil {
			continue
		}
		ledger, err := channel.NewLedger(mem, 1)
		if err != nil {
			continue
		}
		s := ledger.Slot(0)
		c.last[i] = tally{ledger.Frames(), s.Received().Load(), s.Dropped().Load(), s.Unfinished().Load(), true}
	}
}

// flows says whether a frame has come through all connections.
func (c *counts) flows() bool {
	for _, t := range c.last {
		if t.received == 0 {
			return false
		}
	}
	return true
}

// beyond says whether on every connection more was sent and received than before.
func (c *counts) beyond(before []tally) bool {
	for i, t := range c.last {
		if t.sent <= before[i].sent || t.received <= before[i].received {
			return false
		}
	}
	return true
}

func (c *counts) close() {
	for _, f := range c.files {
		if f != nil {
			_ = f.Close()
		}
	}
}

// account is where the frames of a connection are.
type account struct {
	sent, received, lost, unfinished uint64
	owner                            uint64 // were on their way when the process of the session was killed
}

func (a *account) add(b account) {
	a.sent += b.sent
	a.received += b.received
	a.lost += b.lost
	a.unfinished += b.unfinished
	a.owner += b.owner
}

// accounts are those of a session that has ended, and what does not add up.
func (s *life) accounts(wires []wire) ([]account, error) {
	all := make([]account, len(wires))
	var errs []error
	r := s.report()
	for i, w := range wires {
		t := s.counts.last[i]
		if !t.there {
			continue // it has not come so far
		}
		a := account{sent: t.sent, received: t.received, lost: t.dropped, unfinished: t.unfinished}
		if r != nil {
			c, err := w.compare(t, r)
			errs = append(errs, err)
			a.lost = c.Dropped
		}
		switch rest := int64(a.sent) - int64(a.received) - int64(a.lost); {
		case rest == 0:
		case rest > 0 && uint64(rest) <= w.most && r == nil:
			a.owner = uint64(rest) // nobody was left to count them
		default:
			errs = append(errs, fmt.Errorf("%s → %s: %d sent, %d received, %d lost: %d are not accounted for", w.from, w.to, a.sent, a.received, a.lost, rest))
		}
		all[i] = a
	}
	if err := s.follow(wires, all, r); err != nil {
		errs = append(errs, err)
	}
	err := errors.Join(errs...)
	if err != nil {
		err = fmt.Errorf("session %s: %w", s.name, err)
	}
	return all, err
}

// compare wants the report to say what the ledger says. That of a session that was
// cut off has counted what nobody else could.
func (w wire) compare(t tally, r *runtime.Report) (runtime.ConnectionReport, error) {
	for _, c := range r.Connections {
		if c.From == w.from && c.To == w.to {
			if c.Frames != t.received || c.Dropped < t.dropped || (r.State != "failed" && c.Dropped != t.dropped) {
				return c, fmt.Errorf("%s → %s: the report has %d frames and %d dropped, the ledger %d and %d", w.from, w.to, c.Frames, c.Dropped, t.received, t.dropped)
			}
			return c, nil
		}
	}
	return runtime.ConnectionReport{}, fmt.Errorf("%s → %s: not in the report", w.from, w.to)
}

// arrived is a line of the sink.
type arrived struct {
	Sequence uint64 `json:"sequence"` // of last.output
	Value    struct {
		Session string `json:"session"`
		Mid     uint64 `json:"mid"`  // of src.output, as mid got it
		Last    uint64 `json:"last"` // of mid.output, as last got it
	} `json:"value"`
}

// follow checks the counters by what came out at the end: frames carry the
// numbers that they had on each connection. What was received on the first one
// and did not come out has to be counted on a later one.
func (s *life) follow(wires []wire, all []account, r *runtime.Report) error {
	lines, err := readLines(s.file)
	if err != nil {
		return err
	}
	first := map[uint64]bool{}
	var before *arrived
	for i, l := range lines {
		switch {
		case l.Value.Session != s.name:
			return fmt.Errorf("line %d is a frame of session %s", i, l.Value.Session)
		case before != nil && (l.Sequence <= before.Sequence || l.Value.Last <= before.Value.Last):
			return fmt.Errorf("line %d: %+v after %+v: out of order", i, l, *before)
		}
		first[l.Value.Mid] = true
		before = &l
	}
	if r == nil || r.State == "failed" {
		return nil // its sink was killed with it, or cut off
	}
	const src, mid, last = 0, 1, 2 // in wires
	if n := uint64(len(lines)); n != all[last].received {
		return fmt.Errorf("%d lines in the file, %d frames received", n, all[last].received)
	}
	missing := all[src].received - uint64(len(first))
	known := all[src].unfinished + all[mid].lost + all[mid].unfinished + all[last].lost
	if missing > known {
		return fmt.Errorf("%d of the frames that %s received did not come out, and %d are accounted for", missing, wires[src].to, known)
	}
	return nil
}

// readLines reads a sink's file, complete or not; its last line may be cut.
func readLines(path string) ([]arrived, error) {
	f, err := os.Open(path)
	if err != nil {
		f, err = os.Open(path + ".partial")
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // it has not come so far
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []arrived
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var l arrived
		if json.Unmarshal(lines.Bytes(), &l) == nil {
			all = append(all, l)
		}
	}
	return all, nil
}
