//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memory is what the processes of a project use, over time.
type memory struct {
	project    string
	containers int     // that are to be seen
	pids       []int   // of the processes that were started: a docker CLI, or plugins
	drift      float64 // bytes by which the last third may be above the first
	began      time.Time
	series     map[string][]float64 // bytes, by process
}

func newMemory(project string, containers int, pids ...int) *memory {
	return &memory{project: project, containers: containers, pids: pids, drift: soakDrift, began: time.Now(), series: map[string][]float64{}}
}

// watch samples until the run has ended, and returns the run's error.
func (m *memory) watch(ctx context.Context, ended <-chan error) error {
	tick := time.NewTicker(soakEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			m.sample(ctx)
		}
	}
}

// sample misses a process that is not there yet, or no longer.
func (m *memory) sample(ctx context.Context) {
	for i, first := range m.pids {
		for _, pid := range family(first) {
			if name, rss, ok := resident(pid); ok {
				if len(m.pids) > 1 {
					name += fmt.Sprintf(" %d", i+1)
				}
				m.add(name+" (resident)", rss)
			}
		}
	}
	ids, err := docker(ctx, "", "ps", "-q", "--filter", "label=com.docker.compose.project="+m.project)
	if err != nil || strings.TrimSpace(ids) == "" {
		return
	}
	args := append([]string{"stats", "--no-stream", "--format", "{{.Name}}\t{{.MemUsage}}"}, strings.Fields(ids)...)
	stats, err := docker(ctx, "", args...)
	if err != nil {
		return
	}
	for line := range strings.Lines(stats) {
		name, usage, _ := strings.Cut(strings.TrimSpace(line), "\t")
		used, _, _ := strings.Cut(usage, " / ")
		if bytes, err := parseSize(used); err == nil && bytes > 0 {
			m.add(strings.TrimPrefix(name, m.project+"-")+" (container)", bytes)
		}
	}
}

func (m *memory) add(name string, bytes float64) { m.series[name] = append(m.series[name], bytes) }

// check wants what is after the warm-up to be flat.
func (m *memory) check(w io.Writer) error {
	t := newTable("memory", "samples", "median", "least", "most", "spread", "drift")
	var err error
	names := make([]string, 0, len(m.series))
	for name := range m.series {
		names = append(names, name)
	}
	slices.Sort(names)
	containers := 0
	for _, name := range names {
		if strings.HasSuffix(name, "(container)") {
			containers++
		}
		all := m.series[name]
		warm := all[int(float64(len(all))*soakWarmUp):]
		if len(warm) < 2 {
			t.row(name, len(all), mib(median(all)), "", "", "", "")
			continue
		}
		third := max(1, len(warm)/3)
		least, most := slices.Min(warm), slices.Max(warm)
		drift := median(warm[len(warm)-third:]) - median(warm[:third])
		t.row(name, len(all), mib(median(warm)), mib(least), mib(most), mib(most-least), mib(drift))
		if most-least > soakSpread || (len(warm) >= soakSamples && drift > m.drift) {
			err = errors.Join(err, fmt.Errorf("memory of %s is not flat: spread %s, drift %s", name, mib(most-least), mib(drift)))
		}
	}
	t.print(w)
	if containers != m.containers {
		err = errors.Join(err, fmt.Errorf("memory of %d containers was seen, want %d", containers, m.containers))
	}
	return err
}

// widest is the largest difference between two samples of one process after the
// warm-up.
func (m *memory) widest() float64 {
	most := 0.0
	for _, all := range m.series {
		if warm := all[int(float64(len(all))*soakWarmUp):]; len(warm) > 0 {
			most = max(most, slices.Max(warm)-slices.Min(warm))
		}
	}
	return most
}

func mib(bytes float64) string { return fmt.Sprintf("%.1f MiB", bytes/(1<<20)) }

// family is a process and its children: the docker CLI and the plugin.
func family(pid int) []int {
	all := []int{pid}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, task := range tasks {
		if task.Name() != strconv.Itoa(pid) {
			more, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
			text = append(append(text, ' '), more...)
		}
	}
	for _, child := range strings.Fields(string(text)) {
		if n, err := strconv.Atoi(child); err == nil {
			all = append(all, family(n)...)
		}
	}
	return all
}

// resident is a process's name and the bytes it keeps in memory, without those
// of shared memory, which belong to the channels and are all there at once.
func resident(pid int) (string, float64, bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", 0, false
	}
	var name string
	var bytes float64
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Name":
			name = value
		case "RssAnon", "RssFile":
			kib, _ := strconv.ParseFloat(strings.TrimSuffix(value, " kB"), 64)
			bytes += kib * 1024
		}
	}
	return name, bytes, bytes > 0
}

// parseSize reads what docker stats writes: 35.2MiB.
func parseSize(text string) (float64, error) {
	units := []struct {
		suffix string
		bytes  float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"B", 1}}
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.suffix); ok {
			n, err := strconv.ParseFloat(number, 64)
			return n * u.bytes, err
		}
	}
	return 0, fmt.Errorf("size %q", text)
}
