//go:build race

package pipeline_test

// The race detector's own cost is not the parser's.
const slowdown = 10
