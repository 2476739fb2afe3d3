package builtin

import (
	"math"
	"slices"
)

// resampler changes the rate of sound by a ratio of whole numbers: a polyphase
// filter, whose kernel is a sinc in a Kaiser window. It has no delay: the
// kernel is symmetric around the time of each sample it makes, and what would
// be before the first and after the last sample is silence.
//
// What comes out does not depend on how the input is cut into pieces.
type resampler struct {
	up, down int64 // output samples for input samples, without common factor
	kernel   kernel
	in       [][]float64 // of each channel: input from sample first on
	first    int64       // negative ones are the silence before the stream
	taken    int64       // input samples in all
	made     int64       // output samples in all
	base     int64       // the last input sample at or before the next output
	phase    int64       // how far it is after that, in 1/up of an input sample
	ended    bool
}

func newResampler(from, to uint32, channels int, q quality) *resampler {
	common := commonDivisor(int64(from), int64(to))
	r := &resampler{up: int64(to) / common, down: int64(from) / common, in: make([][]float64, channels)}
	r.kernel = newKernel(r.up, r.down, q)
	r.reset()
	return r
}

func commonDivisor(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// reset makes it as new.
func (r *resampler) reset() {
	before := r.kernel.taps/2 - 1
	for c := range r.in {
		r.in[c] = append(r.in[c][:0], make([]float64, before)...)
	}
	r.first, r.taken, r.made, r.base, r.phase, r.ended = -int64(before), 0, 0, 0, 0, false
}

// write takes interleaved samples.
func (r *resampler) write(x []float64) {
	channels := len(r.in)
	used := int(min(r.base-int64(r.kernel.taps/2-1)-r.first, int64(len(r.in[0]))))
	for c := range r.in {
		kept := slices.Delete(r.in[c], 0, used)
		kept = slices.Grow(kept, len(x)/channels)
		for i := c; i < len(x); i += channels {
			kept = append(kept, x[i])
		}
		r.in[c] = kept
	}
	r.first += int64(used)
	r.taken += int64(len(x) / channels)
}

// end says that nothing comes any more: the length of the output is then that
// of the input at the new rate, rounded.
func (r *resampler) end() {
	r.ended = true
	for c := range r.in {
		r.in[c] = append(r.in[c], make([]float64, r.kernel.taps/2+1)...)
	}
}

// ready is how many samples of a channel can be made of what there is.
func (r *resampler) ready() int64 {
	if r.ended {
		return (2*r.taken*r.up+r.down)/(2*r.down) - r.made
	}
	bases := r.taken - int64(r.kernel.taps/2) - r.base // of the outputs that have all their input
	if bases <= 0 {
		return 0
	}
	return (bases*r.up - r.phase + r.down - 1) / r.down
}

// read makes the next interleaved samples, no more than are ready.
func (r *resampler) read(x []float64) {
	channels := len(r.in)
	for i := 0; i < len(x); i += channels {
		at := int(r.base - int64(r.kernel.taps/2-1) - r.first)
		for c, in := range r.in {
			x[i+c] = r.kernel.at(in[at:at+r.kernel.taps], r.phase)
		}
		r.phase += r.down
		r.base += r.phase / r.up
		r.phase %= r.up
	}
	r.made += int64(len(x) / channels)
}

// quality is how good a kernel is.
type quality struct {
	name string
	stop float64 // attenuation of what would alias, dB
	pass float64 // the band that is kept, of the lower one of both Nyquist frequencies
}

func qualities() []quality {
	return []quality{{"high", 120, 0.92}, {"medium", 100, 0.85}, {"low", 90, 0.7}}
}

func qualityNames() []string {
	var names []string
	for _, q := range qualities() {
		names = append(names, q.name)
	}
	return names
}

// kernel is the table of a filter: a row of coefficients for each of the times
// between two input samples that outputs fall on. Where these are very many,
// the rows are equidistant, and what is between two is interpolated: the error
// is below -115 dB.
type kernel struct {
	taps  int
	up    int64
	steps int64 // rows in an input sample
	exact bool  // a row for every phase
	rows  []float64
}

const (
	fineSteps = 1024 // rows in one period of the lower rate, for interpolation
	fewSteps  = 16
)

func newKernel(up, down int64, q quality) kernel {
	narrow := min(1, float64(up)/float64(down)) // the lower Nyquist frequency, in those of the input
	stop := 0.5 * narrow
	pass := stop * q.pass
	// Kaiser's formulas for length and shape, which fall a little short.
	const margin = 5
	taps := math.Ceil((q.stop+margin-7.95)/(2.285*2*math.Pi*(stop-pass))) + 1
	beta := 0.1102 * (q.stop + margin - 8.7)
	k := kernel{taps: 4 * int(math.Ceil(taps/4)), up: up, steps: max(fewSteps, int64(math.Ceil(fineSteps*narrow)))}
	if up <= k.steps {
		k.steps, k.exact = up, true
	}
	rows := k.steps
	if !k.exact {
		rows++ // the end of the last step
	}
	k.rows = make([]float64, rows*int64(k.taps))
	for i := range rows {
		fillRow(k.rows[i*int64(k.taps):][:k.taps], float64(i)/float64(k.steps), (stop+pass)/2, beta)
	}
	return k
}

// fillRow computes the coefficients for an output that is a fraction of an
// input sample after the middle one. Their sum is 1, so that a constant stays
// what it is.
func fillRow(row []float64, fraction, cutoff, beta float64) {
	half := float64(len(row) / 2)
	sum := 0.0
	for i := range row {
		d := float64(i) - half + 1 - fraction
		row[i] = sinc(2*cutoff*d) * kaiser(d/half, beta)
		sum += row[i]
	}
	for i := range row {
		row[i] /= sum
	}
}

// at is the value of the output whose window of input is x.
func (k *kernel) at(x []float64, phase int64) float64 {
	if k.exact {
		return dot(x, k.rows[int(phase)*k.taps:])
	}
	position := phase * k.steps
	row, rest := int(position/k.up), float64(position%k.up)/float64(k.up)
	rows := k.rows[row*k.taps:]
	return dot(x, rows)*(1-rest) + dot(x, rows[k.taps:])*rest
}

// dot sums the products of x, of a multiple of four, with as many of y. Four
// sums do not wait for each other.
func dot(x, y []float64) float64 {
	y = y[:len(x)]
	var a, b, c, d float64
	for len(x) >= 4 && len(y) >= 4 {
		a += x[0] * y[0]
		b += x[1] * y[1]
		c += x[2] * y[2]
		d += x[3] * y[3]
		x, y = x[4:], y[4:]
	}
	return (a + b) + (c + d)
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// kaiser is the window at x, from -1 to 1, of any height.
func kaiser(x, beta float64) float64 {
	if x < -1 || x > 1 {
		return 0
	}
	return bessel(beta * math.Sqrt(1-x*x))
}

// bessel is the modified Bessel function of the first kind and order 0.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for n := 1.0; term > sum*1e-17; n++ {
		term *= (x / (2 * n)) * (x / (2 * n))
		sum += term
	}
	return sum
}
