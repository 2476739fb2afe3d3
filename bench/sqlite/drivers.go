package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"

	_ "github.com/mattn/go-sqlite3" // the driver "sqlite3"
	ncruces "github.com/ncruces/go-sqlite3/driver"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/medianode/docker-medianode/generate/image/store"
)

// subjects are the store, and the drivers below it and in its place without
// what it adds: sums, repair, reading back what was written.
func subjects() []subject {
	const settings = "_busy_timeout=1000&_foreign_keys=1&_synchronous=NORMAL&_txlock=immediate"
	named := func(driver string) func(string) (*sql.DB, error) {
		return func(path string) (*sql.DB, error) { return sql.Open(driver, fileURL(path, settings)) }
	}
	return []subject{
		{"ours (store over modernc)", func(ctx context.Context, path string) (cache, error) {
			s, err := store.Open(ctx, path)
			return ours{s}, err
		}},
		{"modernc.org/sqlite alone", bare(named("sqlite"))},
		{"mattn/go-sqlite3 (C)", bare(named("sqlite3"))},
		{"ncruces/go-sqlite3", bare(func(path string) (*sql.DB, error) {
			return ncruces.Open(fileURL(path, "_pragma=busy_timeout(1000)&_pragma=foreign_keys(1)&_pragma=synchronous(normal)&_txlock=immediate"))
		})},
	}
}

func fileURL(path, query string) string {
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + query
}

type ours struct{ *store.Store }

func (o ours) lookUp(ctx context.Context, refs []store.Ref) (int, error) {
	got, err := o.Get(ctx, refs)
	return len(got), err
}

func (o ours) upsert(ctx context.Context, row store.Row) error { return o.Put(ctx, row) }

// driver is a driver with the store's statements.
type driver struct {
	db      *sql.DB
	prepare *sql.Stmt
}

const (
	lookUp = `SELECT coalesce(image_name,''), coalesce(image_tag,''), coalesce(image_id,''), coalesce(digest,''),
		coalesce(size_bytes,''), coalesce(created_at,''), coalesce(last_pulled,''), coalesce(last_used,''),
		coalesce(build_config,''), coalesce(dependencies,''), coalesce(python_version,''), coalesce(base_image,''),
		coalesce(status,''), coalesce(error_message,''), coalesce(key,''), coalesce(platform,''), coalesce(engine_id,''),
		coalesce(iceoryx2,''), coalesce(base_digest,''), coalesce(holder,''), coalesce(used,''), coalesce(sum,'')
		FROM image_metadata WHERE (image_name, image_tag) IN (SELECT value->>0, value->>1 FROM json_each(?1))`
	upsert = `INSERT INTO image_metadata (image_name, image_tag, image_id, digest, size_bytes, created_at, last_pulled, last_used,
		build_config, dependencies, python_version, base_image, status, error_message, key, platform, engine_id, iceoryx2, base_digest, holder, used, sum)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
		ON CONFLICT(image_name, image_tag) DO UPDATE SET
		image_id = ?3, digest = ?4, size_bytes = ?5, created_at = ?6, last_pulled = ?7, last_used = ?8,
		build_config = ?9, dependencies = ?10, python_version = ?11, base_image = ?12, status = ?13,
		error_message = ?14, key = ?15, platform = ?16, engine_id = ?17, iceoryx2 = ?18, base_digest = ?19,
		holder = ?20, used = ?21, sum = ?22`
	columns = 22
)

func bare(open func(path string) (*sql.DB, error)) func(context.Context, string) (cache, error) {
	return func(ctx context.Context, path string) (cache, error) {
		db, err := open(path)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(1)
		prepared, err := db.PrepareContext(ctx, lookUp)
		if err != nil {
			return nil, errors.Join(err, db.Close())
		}
		return &driver{db, prepared}, nil
	}
}

func (d *driver) Close() error { return errors.Join(d.prepare.Close(), d.db.Close()) }

func (d *driver) lookUp(ctx context.Context, refs []store.Ref) (int, error) {
	names := make([][2]string, len(refs))
	for i, ref := range refs {
		names[i] = [2]string{ref.Name, ref.Tag}
	}
	data, err := json.Marshal(names)
	if err != nil {
		return 0, err
	}
	rows, err := d.prepare.QueryContext(ctx, string(data))
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	texts, into := make([]string, columns), make([]any, columns)
	for i := range texts {
		into[i] = &texts[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		n++
	}
	return n, rows.Err()
}

func (d *driver) upsert(ctx context.Context, row store.Row) error {
	tx, err := d.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after a commit it does nothing
	var last int64
	if err := tx.QueryRowContext(ctx, "SELECT used FROM image_metadata ORDER BY used DESC LIMIT 1").Scan(&last); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, upsert, row.Name, row.Tag, row.ImageID, row.Digest, row.Size, row.Created.Format("2006-01-02 15:04:05.000"), nil,
		row.LastUsed.Format("2006-01-02 15:04:05.000"), row.BuildConfig, row.Dependencies, row.PythonVersion, row.BaseImage, string(row.Status), nil,
		row.Key, row.Platform, row.EngineID, row.Iceoryx2, row.BaseDigest, nil, last+1, strconv.FormatInt(last, 16)); err != nil {
		return err
	}
	return tx.Commit()
}
