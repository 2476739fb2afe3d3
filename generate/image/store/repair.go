package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// diagnosis is what an error means for the database.
type diagnosis int

const (
	damaged  diagnosis = iota // never to be used again
	busy                      // somebody else has a lock
	moved                     // the file is no longer there, or another one
	noShared                  // the file system has no shared memory for write-ahead logging
	unusable                  // read-only, full, forbidden, …
)

// unusableError is a file that must stay as it is; damagedError one that goes.
type (
	unusableError struct{ why string }
	damagedError  struct{ why string }
)

func (e *unusableError) Error() string { return e.why }
func (e *damagedError) Error() string  { return e.why }

// diagnose takes what it does not know for damage: the statements and what is
// bound to them are right, so it is what was read that surprised.
func diagnose(err error) diagnosis {
	var (
		code    *sqlite.Error
		refused *unusableError
		path    *fs.PathError
	)
	switch {
	case errors.As(err, &refused), errors.As(err, &path):
		return unusable
	case errors.As(err, &code):
		return diagnoseCode(code.Code())
	}
	return damaged
}

func diagnoseCode(code int) diagnosis {
	switch code {
	case lib.SQLITE_READONLY_DBMOVED, lib.SQLITE_IOERR_DELETE_NOENT: // the latter: its journal went, set aside by another
		return moved
	case lib.SQLITE_IOERR_SHMOPEN, lib.SQLITE_IOERR_SHMSIZE, lib.SQLITE_IOERR_SHMLOCK, lib.SQLITE_IOERR_SHMMAP:
		return noShared
	case lib.SQLITE_IOERR_SHORT_READ, lib.SQLITE_IOERR_CORRUPTFS, lib.SQLITE_IOERR_DATA:
		return damaged
	}
	switch code & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return busy
	// All statements are ours and right, so an error in one, or a value that
	// does not fit, comes from a schema or an index that is not what we made.
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB, lib.SQLITE_ERROR, lib.SQLITE_SCHEMA, lib.SQLITE_CONSTRAINT,
		lib.SQLITE_MISMATCH, lib.SQLITE_INTERNAL, lib.SQLITE_FORMAT, lib.SQLITE_EMPTY, lib.SQLITE_TOOBIG, lib.SQLITE_RANGE:
		return damaged
	}
	return unusable
}

// repair removes what an error says is in the way: with is to try again.
func (s *Store) repair(ctx context.Context, why diagnosis, err error) {
	if s.memory { // nothing to save
		_ = s.disconnect()
		return
	}
	switch {
	// Errors of a file that was set aside meanwhile say nothing of the new one.
	case why == moved, s.db != nil && !s.current():
		_ = s.disconnect()
	// Without room SQLite's own words are of whatever it could not make.
	case isKind(err, lib.SQLITE_IOERR) && crowded(s.path):
		s.giveUp("the disk is full")
	case why == noShared && s.walWorks:
		s.walWorks = false
		_ = s.disconnect()
	// A file that may be written and that SQLite takes for read-only says so
	// itself, in a byte of its header.
	case why == damaged, isKind(err, lib.SQLITE_READONLY) && writable(s.path) && writable(filepath.Dir(s.path)):
		s.setAside(ctx, err)
	default:
		s.giveUp(reason(err))
	}
}

// isKind compares the primary code of an error of SQLite's.
func isKind(err error, kind int) bool {
	var code *sqlite.Error
	return errors.As(err, &code) && code.Code()&0xff == kind
}

// current tells whether what was opened is still the file at the path.
func (s *Store) current() bool {
	now, err := os.Stat(s.path)
	return err == nil && s.file != nil && os.SameFile(s.file, now)
}

// giveUp goes on in memory.
func (s *Store) giveUp(why string) {
	_ = s.disconnect()
	s.memory = true
	s.note("%s; nothing is kept of this run (set %s to a file that can be written)", why, EnvPath)
}

// asideTime is what follows ".corrupt-" in the name of a database set aside.
const asideTime = "20060102-150405.000"

// journals are what SQLite appends to the database's name.
func journals() []string { return []string{"-wal", "-shm", "-journal"} }

// setAside renames the database and its journals, for a new one to be made.
// Nobody opens one meanwhile: a new database must not get an old journal, nor
// lose its own.
func (s *Store) setAside(ctx context.Context, cause error) {
	if s.db != nil && foreign(ctx, s.db) {
		s.giveUp("is a database of another program, and left as it is")
		return
	}
	_ = s.disconnect()
	unlock, err := s.guard(ctx, true)
	if err != nil { // with meets it again
		return
	}
	defer unlock()
	if !s.current() { // another process found the same and was faster
		return
	}
	if s.renewed++; s.renewed > 2 {
		s.giveUp("damaged again and again: " + reason(cause))
		return
	}
	aside := s.path + ".corrupt-" + s.opt.now().UTC().Format(asideTime)
	if err := os.Rename(s.path, aside); err != nil {
		s.giveUp(fmt.Sprintf("damaged (%s) and cannot be renamed: %s", reason(cause), reason(err)))
		return
	}
	for _, suffix := range journals() {
		_ = os.Rename(s.path+suffix, aside+suffix)
	}
	s.forgetOldest()
	s.note("%s; set aside as %s, a new one begun", reason(cause), filepath.Base(aside))
}

// forgetOldest leaves the last three of what was set aside: enough to look into.
func (s *Store) forgetOldest() {
	const kept = 3
	begin := filepath.Base(s.path) + ".corrupt-"
	entries, err := os.ReadDir(filepath.Dir(s.path))
	if err != nil {
		return
	}
	var times []string // sorted, as the entries are
	for _, entry := range entries {
		when, ok := strings.CutPrefix(entry.Name(), begin)
		if ok && len(when) == len(asideTime) { // journals have more
			times = append(times, when)
		}
	}
	for _, when := range times[:max(0, len(times)-kept)] {
		for _, suffix := range append(journals(), "") {
			_ = os.Remove(s.path + ".corrupt-" + when + suffix)
		}
	}
}

// guard keeps a database from being set aside while others open it: who opens
// shares the lock, who sets aside has it alone. It ends with its process. A
// place without locks, or where no file can be made, goes without.
func (s *Store) guard(ctx context.Context, alone bool) (unlock func(), err error) {
	file := flock.New(s.path + ".lock")
	try := file.TryRLockContext
	if alone {
		try = file.TryLockContext
	}
	soon, cancel := context.WithTimeout(ctx, s.opt.patience)
	defer cancel()
	if _, err := try(soon, time.Millisecond); err != nil && soon.Err() != nil {
		_ = file.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &unusableError{fmt.Sprintf("locked by another process for %s", s.opt.patience)}
	}
	return func() { _ = file.Close() }, nil
}

// reason is an error in the user's words, on one line.
func reason(err error) string {
	var (
		code *sqlite.Error
		path *fs.PathError
		link *os.LinkError
	)
	switch {
	case errors.As(err, &path):
		return path.Op + " " + path.Path + ": " + path.Err.Error()
	case errors.As(err, &link):
		return link.Err.Error()
	case !errors.As(err, &code):
		return err.Error()
	}
	switch code.Code() & 0xff {
	case lib.SQLITE_READONLY:
		return "is read-only"
	case lib.SQLITE_FULL:
		return "the disk is full"
	case lib.SQLITE_CANTOPEN:
		return "cannot be opened"
	case lib.SQLITE_NOTADB:
		return "is no SQLite database"
	case lib.SQLITE_IOERR:
		return "the file system does not do what SQLite needs: " + code.Error()
	}
	text, _, _ := strings.Cut(code.Error(), "\n")
	return "damaged: " + text
}
