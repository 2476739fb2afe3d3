//go:build !linux

package store

// remote is not known here: SQLite's own refusal must do.
func remote(string) bool { return false }

// crowded is not known here.
func crowded(string) bool { return false }
