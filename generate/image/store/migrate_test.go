package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const oldRows = `INSERT INTO image_metadata (image_name, image_tag, image_id, size_bytes, status, last_used) VALUES
	('late', '1', 'sha256:1', 7, 'available', '2026-01-31 12:00:00'),
	('early', '1', 'sha256:2', NULL, 'available', '2025-01-31 12:00:00'),
	('odd', '1', 'sha256:3', 7, 'exploded', '2025-01-31 12:00:00');`

// The table as it was before versions, and each version, with rows in it.
func TestOlderVersionsAreBroughtUpToDate(t *testing.T) {
	for _, from := range []int{0, 1} {
		t.Run(fmt.Sprint(from), func(t *testing.T) {
			path := temporary(t)
			os.MkdirAll(filepath.Dir(path), 0o700)
			execSQL(t, path, schema1+oldRows+fmt.Sprintf("PRAGMA user_version = %d", from))
			s := openTest(t, path, testOptions())
			if got := names(t, s); got != "late early" {
				t.Errorf("rows %q", got)
			}
			row := get(t, s, Ref{"late", "1"})[Ref{"late", "1"}]
			if row.Size != 7 || !row.LastUsed.Equal(noon()) || row.Created.IsZero() || time.Since(row.Created) > time.Hour {
				t.Errorf("%+v", row)
			}
			put(t, s, full("odd", "1"))
			if got := names(t, s); got != "odd late early" {
				t.Errorf("rows %q", got)
			}
			quiet(t, s)
			s.Close()
			if got := names(t, openTest(t, path, testOptions())); got != "odd late early" {
				t.Errorf("rows of the next process %q", got)
			}
		})
	}
}

// Every column, constraint and index of the document that asks for them.
func TestSchemaIsTheOneAskedFor(t *testing.T) {
	path := temporary(t)
	s := openTest(t, path, testOptions())
	var schema string
	if err := s.db.QueryRowContext(t.Context(), "SELECT group_concat(sql, char(10)) FROM sqlite_schema").Scan(&schema); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"id INTEGER PRIMARY KEY AUTOINCREMENT", "image_name TEXT NOT NULL", "image_tag TEXT NOT NULL", "image_id TEXT NOT NULL",
		"digest TEXT", "size_bytes INTEGER", "created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP", "last_pulled TIMESTAMP", "last_used TIMESTAMP",
		"build_config TEXT", "dependencies TEXT", "python_version TEXT", "base_image TEXT", "status TEXT NOT NULL", "error_message TEXT",
		"UNIQUE(image_name, image_tag)",
		"CREATE INDEX idx_image_lookup ON image_metadata(image_name, image_tag)",
		"CREATE INDEX idx_last_used ON image_metadata(last_used DESC)",
		"CREATE INDEX idx_status ON image_metadata(status)",
	} {
		if !strings.Contains(schema, want) {
			t.Errorf("no %q in\n%s", want, schema)
		}
	}
	if len(migrations()) != version {
		t.Errorf("%d migrations lead to version %d", len(migrations()), version)
	}
	var settings string
	err := s.db.QueryRowContext(t.Context(), `SELECT user_version || ' ' || journal_mode || ' ' || foreign_keys || ' ' || synchronous
		FROM pragma_user_version, pragma_journal_mode, pragma_foreign_keys, pragma_synchronous`).Scan(&settings)
	if err != nil || settings != "2 wal 1 1" {
		t.Errorf("settings %q, %v", settings, err)
	}
}
