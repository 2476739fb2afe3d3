//go:build race

package store

// raceEnabled: the race detector slows SQLite, which is Go here, down tenfold.
const raceEnabled = true
