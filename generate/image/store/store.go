// Package store is the image cache's data: what is known of the images that
// nodes were given, in one SQLite file that several processes share. It knows
// nothing of engines and builds.
//
// The cache is advisory: whoever uses a row confirms it with the engine. So
// trouble with the file is no error here. A damaged database is set aside and
// a new one begun; where none can be had, the Store keeps in memory what it is
// told and forgets it when it is closed. Notes says so, in words for the user.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Store is an open cache. Its methods may be called at once; they answer one
// after the other. Their errors are the caller's: an ended context, or values
// that the table must not have.
type Store struct {
	path string
	opt  options

	turn chan struct{} // held by the method that works; guards what follows
	db   *sql.DB       // nil: to be opened
	file fs.FileInfo   // what was opened; nil: there was none yet
	// lookUp is prepared by the first Get.
	lookUp *sql.Stmt
	// walWorks until the file system refuses write-ahead logging.
	walWorks bool
	lockable bool // once it was tried
	memory   bool // the file is given up
	renewed  int  // how often a database was set aside
	closed   bool

	noting sync.Mutex
	notes  []string
	slow   func()
}

// options are what only tests change.
type options struct {
	now      func() time.Time
	patience time.Duration // how long locks of others are waited for
	pageSize int           // bytes; 0: SQLite's own
	vfs      string        // SQLite's way to files; empty: its own
}

func defaults() options { return options{now: time.Now, patience: 15 * time.Second} }

// ErrClosed is the error of a method of a closed Store.
var ErrClosed = errors.New("image cache: closed")

// Open opens the cache of a file, and makes it and its directory. What goes
// wrong with the file is a note, not an error.
func Open(ctx context.Context, path string) (*Store, error) { return open(ctx, path, defaults()) }

func open(ctx context.Context, path string, opt options) (*Store, error) {
	if path == "" {
		return nil, errors.New("image cache: no path")
	}
	// A link stays: what is set aside and begun anew is the file behind it.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	s := &Store{path: path, opt: opt, turn: make(chan struct{}, 1), walWorks: !remote(path)}
	if err := s.with(ctx, func(*sql.DB) error { return nil }); err != nil {
		return nil, err
	}
	return s, nil
}

// Close gives the file back. It is safe to call twice.
func (s *Store) Close() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.closed = true
	return s.disconnect()
}

// Path is the file itself, where Open was given a link.
func (s *Store) Path() string { return s.path }

// Tell has slow called once, when another process keeps the file locked for
// longer than a moment.
func (s *Store) Tell(slow func()) {
	s.noting.Lock()
	defer s.noting.Unlock()
	s.slow = slow
}

// isSlow tells, once.
func (s *Store) isSlow() {
	s.noting.Lock()
	slow := s.slow
	s.slow = nil
	s.noting.Unlock()
	if slow != nil {
		slow()
	}
}

// Notes are what the user should know of the state of the cache, one line
// each: what was set aside, or that nothing is kept. Each is given once.
func (s *Store) Notes() []string {
	s.noting.Lock()
	defer s.noting.Unlock()
	notes := s.notes
	s.notes = nil
	return notes
}

func (s *Store) note(format string, args ...any) {
	s.noting.Lock()
	defer s.noting.Unlock()
	if text := fmt.Sprintf("image cache "+s.path+": "+format, args...); !slices.Contains(s.notes, text) {
		s.notes = append(s.notes, text)
	}
}

// Tries that end in what is not a lock: setting aside, doing without
// write-ahead logging, memory. More would be going round in circles.
const maxTries = 8

// with runs f on an open database, again when something was in its way that
// could be removed. f may therefore run more than once.
func (s *Store) with(ctx context.Context, f func(*sql.DB) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return fmt.Errorf("image cache: %w", ctx.Err())
	}
	if s.closed {
		return ErrClosed
	}
	begun, pause := time.Now(), time.Millisecond
	for try := 0; ; {
		err := s.attempt(ctx, f)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("image cache: %w", ctx.Err())
		}
		why := diagnose(err)
		if try == maxTries {
			return err
		}
		if why != busy {
			try++
			s.repair(ctx, why, err)
			continue
		}
		if !s.lockable && !lockable(filepath.Dir(s.path)) {
			try++
			s.giveUp("the file system has no locks")
			continue
		}
		s.lockable = true
		if time.Since(begun) > s.opt.patience {
			try++
			s.giveUp(fmt.Sprintf("locked by another process for %s", s.opt.patience))
			continue
		}
		if time.Since(begun) > time.Second {
			s.isSlow()
		}
		// Waiters that woke together would meet again.
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return fmt.Errorf("image cache: %w", err)
		}
		pause = min(2*pause, 100*time.Millisecond)
	}
}

func (s *Store) attempt(ctx context.Context, f func(*sql.DB) error) error {
	if s.db != nil && !s.memory && !s.current() { // what is written there, nobody would find
		_ = s.disconnect()
	}
	if s.db == nil {
		if err := s.connect(ctx); err != nil {
			_ = s.disconnect()
			return err
		}
	}
	return f(s.db)
}

// read runs f in a transaction that sees one state and takes no lock that
// keeps writers out.
func (s *Store) read(ctx context.Context, f func(*sql.Tx) error) error {
	return s.with(ctx, func(db *sql.DB) error { return transact(ctx, db, &sql.TxOptions{ReadOnly: true}, f) })
}

// write runs f in a transaction that has the write lock from its beginning:
// one that asks for it later is refused without waiting.
func (s *Store) write(ctx context.Context, f func(*sql.Tx) error) error {
	return s.with(ctx, func(db *sql.DB) error { return transact(ctx, db, nil, f) })
}

func transact(ctx context.Context, db *sql.DB, opt *sql.TxOptions, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, opt)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
