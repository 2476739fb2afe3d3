// Package enginetest starts Docker engines for tests: engines that may be
// stopped, killed and frozen, because nobody else uses them.
package enginetest
