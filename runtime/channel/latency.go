package channel

// Latencies is the reader's histogram of times from send to receive, as it stands.
func (s Slot) Latencies() (counts [LatencyBuckets]uint64) {
	for i := range counts {
		counts[i] = s.ledger.at(s.offset + latencyOffset + 8*i).Load()
	}
	return counts
}

// LatencyBound is the time in ns that the frames of a histogram's counter did not
// exceed, and mostly exceeded the bound before.
func LatencyBound(counter int) uint64 { return latencyBound(counter) }

// Quantile is the time in ns that a share q (0 to 1) of the frames of a histogram
// did not exceed, to a quarter of an octave; 0 without frames. Histograms of one
// reader may be subtracted.
func Quantile(counts [LatencyBuckets]uint64, q float64) uint64 {
	var total uint64
	for _, n := range counts {
		total += n
	}
	if total == 0 {
		return 0
	}
	want := uint64(q * float64(total))
	var sum uint64
	for i, n := range counts {
		if sum += n; sum > want || sum == total {
			return latencyBound(i)
		}
	}
	return latencyBound(LatencyBuckets - 1)
}
