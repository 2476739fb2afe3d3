package builtin

import (
	"fmt"
	"testing"
)

func noiseOf(n int) []float64 {
	x := make([]float64, n)
	state := uint32(1)
	for i := range x {
		state = state*1664525 + 1013904223
		x[i] = float64(int32(state)) / (1 << 31)
	}
	return x
}

// Once its buffers have their size, a filter allocates nothing.
func TestResamplerAllocates(t *testing.T) {
	r := newResampler(44100, 16000, 2, qualities()[0])
	x, y := noiseOf(1764), make([]float64, 0, 4096)
	work := func() {
		r.write(x)
		y = y[:2*r.ready()]
		r.read(y)
	}
	for range 10 {
		work()
	}
	if n := testing.AllocsPerRun(100, work); n > 0 {
		t.Errorf("%g allocations a frame", n)
	}
}

func BenchmarkResampler(b *testing.B) {
	for _, q := range qualities() {
		for _, c := range [][2]uint32{{44100, 16000}, {8000, 48000}, {48000, 44101}} {
			b.Run(fmt.Sprintf("%s/%d-%d", q.name, c[0], c[1]), func(b *testing.B) {
				r := newResampler(c[0], c[1], 1, q)
				x, y := noiseOf(int(c[0]/50)), make([]float64, 2*c[1])
				b.ReportAllocs()
				for b.Loop() {
					r.write(x)
					r.read(y[:r.ready()])
				}
				b.ReportMetric(float64(b.N)*0.02/b.Elapsed().Seconds(), "x-real-time")
			})
		}
	}
}
