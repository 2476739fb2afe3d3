package runtime

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Usage is what a node's container used, as its SDK saw it last in its cgroup:
// a sample of four a second. Sizes are bytes.
type Usage struct {
	Time       time.Time `json:"time"`                  // of the sample
	Memory     uint64    `json:"memory"`                // without the cache of files, which is given up first
	MemoryMost uint64    `json:"memory_most"`           // of all samples
	MemoryPeak uint64    `json:"memory_peak,omitempty"` // the kernel's own, with the cache of files
	RSSPeak    uint64    `json:"rss_peak,omitempty"`    // of the node's process, the kernel's own; with what it maps of files and of others' frames
	Frames     uint64    `json:"frames"`                // of Memory: shared memory but for files in /tmp
	Files      uint64    `json:"files,omitempty"`       // of Memory: files in /tmp
	Limit      uint64    `json:"limit,omitempty"`       // 0: none
	CPUS       float64   `json:"cpu_s"`
	CPUMost    float64   `json:"cpu_most"`  // cores, in the busiest second
	Throttled  float64   `json:"throttled"` // share of the periods in which the CPU limit held it back
	ThrottledS float64   `json:"throttled_s"`

	Periods uint64 `json:"-"` // of the CPU limit, in which the container ran
	Held    uint64 `json:"-"` // of Periods: in which the limit held it back
}

// usageMagic begins a sample; the SDK's _cgroup.py has the layout.
const usageMagic = 0x3147535F_4E444D

const usageWords = 16

// usagePath is the file of a node's samples; dir is the project's directory.
func usagePath(dir, node string) string {
	return filepath.Join(dir, "iox", "medianode_usage_"+node)
}

// readUsage is the last sample of a node's container, or nil: a finished image
// takes none.
func readUsage(dir, node string) *Usage {
	for range 3 { // it may be written just now
		f, err := os.OpenFile(usagePath(dir, node), os.O_RDONLY|noFollow, 0)
		if err != nil {
			return nil
		}
		raw := make([]byte, 8*usageWords)
		_, err = f.ReadAt(raw, 0)
		_ = f.Close()
		if err != nil {
			return nil
		}
		if u, whole := parseUsage(raw); whole {
			return u
		}
	}
	return nil
}

// parseUsage takes a sample apart; false if it is half of one and half of the next.
func parseUsage(raw []byte) (*Usage, bool) {
	var w [usageWords]uint64
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	if w[0] != usageMagic || w[1] != w[15] {
		return nil, false
	}
	u := &Usage{
		Time: time.Unix(0, int64(w[2])), Memory: w[3], MemoryMost: w[4], MemoryPeak: w[5], Limit: w[8], RSSPeak: w[14],
		CPUS: float64(w[9]) / 1e9, CPUMost: float64(w[10]) / 1000, ThrottledS: float64(w[13]) / 1e9,
		Periods: w[11], Held: w[12],
	}
	u.Files = min(w[7], w[6])
	u.Frames = w[6] - u.Files
	if w[11] > 0 {
		u.Throttled = float64(w[12]) / float64(w[11])
	}
	return u, true
}

// usageOf is the last sample of a node's present container, or of its dead one.
func (s *Session) usageOf(m *member) *Usage {
	switch {
	case !m.Container:
		return nil
	case m.dead != nil && m.usage != nil:
		return m.usage
	}
	return readUsage(s.c.Dir, m.ID)
}

// A node that its CPU limit holds back now and then is as it was meant.
const (
	heldBack    = 0.05 // share of the periods from which on it is said
	leastPeriod = 20   // periods of 0.1 s, mostly, before a share says something
)

// throttled are the lines about nodes that their CPU limit has held back.
func (r Report) throttled() []string {
	var lines []string
	for _, n := range r.Nodes {
		if u := n.Usage; u != nil && u.Throttled >= heldBack && u.Periods >= leastPeriod {
			lines = append(lines, fmt.Sprintf("%s: held back by its CPU limit in %.0f %% of the time, %s in all; it used at most %.2f cores",
				n.Node, 100*u.Throttled, seconds(u.ThrottledS), u.CPUMost))
		}
	}
	return lines
}
