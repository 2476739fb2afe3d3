package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed schema.sql
var schema1 string

//go:embed schema_2.sql
var schema2 string

// migrations lead from each version to the next; that of an empty file is 0.
func migrations() []string { return []string{schema1, schema2} }

// version is that of this schema (PRAGMA user_version), applicationID says
// that a file is ours (PRAGMA application_id).
const (
	version       = 2
	applicationID = 0x6d6e6963 // "mnic"
)

// connect opens the database. A file of the right version is not looked at
// further: SQLite and the sums of rows find damage where it is met.
func (s *Store) connect(ctx context.Context) error {
	if !s.memory {
		if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
			return err
		}
		unlock, err := s.guard(ctx, false)
		if err != nil {
			return err
		}
		defer unlock()
		if err := s.place(); err != nil {
			return err
		}
	}
	db, err := sql.Open("sqlite", s.dsn())
	if err != nil {
		return err
	}
	// One: a database in memory lives as long as its connection, and what a
	// process asks comes one after the other anyway.
	db.SetMaxOpenConns(1)
	s.db = db
	var got int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&got); err != nil {
		return err
	}
	if !s.memory && s.file == nil {
		if s.file, err = os.Stat(s.path); err != nil {
			return err
		}
	}
	if !s.memory && !s.walWorks {
		if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = DELETE"); err != nil {
			return err
		}
	}
	if got == version {
		return nil
	}
	return s.migrate(ctx, db)
}

// dsn is what to open, and the settings of the connection: the time to wait
// for locks comes first, as the other settings may meet one.
func (s *Store) dsn() string {
	query := "?_busy_timeout=1000&_foreign_keys=1&_synchronous=NORMAL&_txlock=immediate&_pragma=trusted_schema(0)&_pragma=cell_size_check(1)"
	if s.memory {
		return "file::memory:" + query
	}
	if s.opt.vfs != "" {
		query += "&vfs=" + s.opt.vfs
	}
	path := filepath.ToSlash(s.path)
	if !strings.HasPrefix(path, "/") { // a drive
		path = "/" + path
	}
	return "file://" + (&url.URL{Path: path}).EscapedPath() + query
}

// place looks at what is there, and refuses what is no file.
func (s *Store) place() error {
	s.file = nil
	info, err := os.Stat(s.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		s.file = info
	}
	switch {
	case s.file == nil: // to be made
	case info.IsDir():
		// A container engine makes an empty one where a file to mount is missing.
		if entries, err := os.ReadDir(s.path); err != nil || len(entries) > 0 {
			return &unusableError{"is a directory"}
		}
		return &damagedError{"was an empty directory"}
	case !info.Mode().IsRegular():
		return &unusableError{"is not a regular file"}
	case !writable(s.path):
		return &unusableError{"is read-only"}
	}
	// SQLite makes its journal beside the file.
	if !writable(filepath.Dir(s.path)) {
		return &unusableError{"is in a read-only directory"}
	}
	return nil
}

// migrate brings a database that is older than this program up to date, or
// refuses it.
func (s *Store) migrate(ctx context.Context, db *sql.DB) error {
	if foreign(ctx, db) {
		return &unusableError{"is a database of another program, and left as it is"}
	}
	if s.opt.pageSize != 0 {
		if _, err := db.ExecContext(ctx, "PRAGMA page_size = "+strconv.Itoa(s.opt.pageSize)); err != nil {
			return err
		}
	}
	if s.walWorks && !s.memory {
		// What it answers does not matter: the old journal is fine, too.
		if _, err := db.ExecContext(ctx, "PRAGMA journal_mode = WAL"); err != nil {
			return err
		}
	}
	return transact(ctx, db, nil, func(tx *sql.Tx) error {
		var from, tables int // another process may have been here meanwhile
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&from); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name = 'image_metadata'").Scan(&tables)
		if err != nil {
			return err
		}
		if from > version || from < 0 {
			return &damagedError{fmt.Sprintf("is of schema version %d, and this program knows %d", from, version)}
		}
		if from == 0 && tables > 0 {
			from = 1 // the table as it was before it had a version
		}
		if from == version {
			return nil
		}
		for _, statements := range migrations()[from:] {
			if _, err := tx.ExecContext(ctx, statements); err != nil {
				return err
			}
		}
		if err := s.seal(ctx, tx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, version))
		return err
	})
}

// seal gives the rows of an older version their sequence and their sum.
func (s *Store) seal(ctx context.Context, tx *sql.Tx) error {
	all, err := queryTexts(ctx, tx, selected+"WHERE sum IS NULL ORDER BY coalesce(last_used, created_at), id")
	if err != nil {
		return err
	}
	for i, texts := range all {
		texts[colUsed] = strconv.Itoa(i + 1)
		if texts[colSize] == "" {
			texts[colSize] = "0"
		}
		texts[colSum] = sum(texts[:colSum])
		row, ok := rowOf(texts)
		if !ok || row.check() != nil {
			continue // stays without a sum: never to be read
		}
		if _, err := tx.ExecContext(ctx, upsert, row.values()...); err != nil {
			return err
		}
	}
	return nil
}

// foreign tells a sound database of somebody else's.
func foreign(ctx context.Context, db *sql.DB) bool {
	var tables, ours, id int
	err := db.QueryRowContext(ctx, "SELECT count(*), coalesce(sum(name = 'image_metadata'), 0) FROM sqlite_schema").Scan(&tables, &ours)
	if err != nil || tables == 0 || ours > 0 {
		return false
	}
	err = db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id)
	return err == nil && id != applicationID
}

func (s *Store) disconnect() error {
	if s.db == nil {
		return nil
	}
	if s.lookUp != nil {
		_ = s.lookUp.Close()
		s.lookUp = nil
	}
	err := s.db.Close()
	s.db = nil
	return err
}
