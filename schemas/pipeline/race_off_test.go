//go:build !race

package pipeline_test

const slowdown = 1
