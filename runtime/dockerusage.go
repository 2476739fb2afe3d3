package runtime

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
)

// Usage is one answer, not a stream: rates are made by who asks twice.
func (d *docker) Usage(ctx context.Context, id string) (*Usage, error) {
	got, err := d.cli.Client().ContainerStats(ctx, id, client.ContainerStatsOptions{})
	if err != nil {
		return nil, err
	}
	defer got.Body.Close()
	var r container.StatsResponse
	if err := json.NewDecoder(got.Body).Decode(&r); err != nil {
		return nil, fmt.Errorf("stats of container %s: %w", id, err)
	}
	return usageFrom(r), nil
}

// usageFrom has the same meaning as the SDK's samples, but for files in /tmp,
// which the engine does not tell from frames.
func usageFrom(r container.StatsResponse) *Usage {
	m, c := r.MemoryStats, r.CPUStats
	stat := func(name string) uint64 {
		if v, ok := m.Stats["total_"+name]; ok { // version 1
			return v
		}
		return m.Stats[name]
	}
	u := &Usage{
		Time: r.Read, Memory: m.Usage - min(m.Usage, stat("active_file")+stat("inactive_file")), MemoryPeak: m.MaxUsage,
		Frames: stat("shmem"), Limit: m.Limit, CPUS: float64(c.CPUUsage.TotalUsage) / 1e9,
		ThrottledS: float64(c.ThrottlingData.ThrottledTime) / 1e9, Periods: c.ThrottlingData.Periods, Held: c.ThrottlingData.ThrottledPeriods,
	}
	if u.Periods > 0 {
		u.Throttled = float64(u.Held) / float64(u.Periods)
	}
	return u
}
