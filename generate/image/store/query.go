package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
)

// The names come as one JSON array: one statement, prepared once, answers for
// all of them, and sees one state. Asking 20 times takes four times as long.
const (
	lookUp = selected + `WHERE (image_name, image_tag) IN (SELECT value->>0, value->>1 FROM json_each(?1))`
)

// Get looks images up. What the cache does not know, or knows in a damaged
// row, is missing in the answer.
func (s *Store) Get(ctx context.Context, refs []Ref) (map[Ref]Row, error) {
	names, err := namesOf(refs)
	if err != nil {
		return nil, err
	}
	var got map[Ref]Row
	err = s.with(ctx, func(db *sql.DB) error {
		if s.lookUp == nil {
			if s.lookUp, err = db.PrepareContext(ctx, lookUp); err != nil {
				return err
			}
		}
		rows, err := s.lookUp.QueryContext(ctx, names)
		if err != nil {
			return err
		}
		got, err = newest(rows)
		return err
	})
	return got, err
}

func namesOf(refs []Ref) (string, error) {
	names := make([][2]string, len(refs))
	for i, ref := range refs {
		names[i] = [2]string{ref.Name, ref.Tag}
	}
	data, err := json.Marshal(names)
	return string(data), err
}

// newest is the rows by their names. A damaged index can lead to several of
// one name: the latest counts. To a row of another name, too: it is known by
// its own, which the sum covers.
func newest(rows *sql.Rows) (map[Ref]Row, error) {
	defer rows.Close()
	got := map[Ref]Row{}
	err := eachRow(rows, func(row Row) {
		if best, ok := got[row.Ref()]; !ok || row.Used > best.Used {
			got[row.Ref()] = row
		}
	})
	return got, err
}

// known are the rows of refs as a transaction sees them.
func known(ctx context.Context, tx *sql.Tx, refs []Ref) (map[Ref]Row, error) {
	names, err := namesOf(refs)
	if err != nil {
		return nil, err
	}
	rows, err := tx.QueryContext(ctx, lookUp, names)
	if err != nil {
		return nil, err
	}
	return newest(rows)
}

// Put adds rows or replaces those of the same name: all or none. Each is given
// the next sequence. A zero Created or LastUsed becomes the present time.
func (s *Store) Put(ctx context.Context, rows ...Row) error {
	now := s.opt.now()
	rows = slices.Clone(rows)
	for i := range rows {
		row := &rows[i]
		if row.Created.IsZero() {
			row.Created = now
		}
		if row.LastUsed.IsZero() {
			row.LastUsed = now
		}
		if err := row.check(); err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		next, err := sequence(ctx, tx)
		if err != nil {
			return err
		}
		put, err := tx.PrepareContext(ctx, upsert)
		if err != nil {
			return err
		}
		defer put.Close()
		for i := range rows {
			rows[i].Used = next + int64(i)
			if _, err := put.ExecContext(ctx, rows[i].values()...); err != nil {
				return err
			}
		}
		return readBack(ctx, tx, rows)
	})
}

// Found adds rows of what somebody else has made, and leaves those that are there
// as they are. They count as never used.
func (s *Store) Found(ctx context.Context, rows ...Row) error {
	rows = slices.Clone(rows)
	for i := range rows {
		rows[i].Used = 0
		if err := rows[i].check(); err != nil {
			return err
		}
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		add, err := tx.PrepareContext(ctx, insert+" ON CONFLICT DO NOTHING")
		if err != nil {
			return err
		}
		defer add.Close()
		for i := range rows {
			if _, err := add.ExecContext(ctx, rows[i].values()...); err != nil {
				return err
			}
		}
		return nil
	})
}

// readBack finds what a damaged schema or index would never find again: the
// image would be built for ever.
func readBack(ctx context.Context, tx *sql.Tx, rows []Row) error {
	refs := make([]Ref, len(rows))
	for i, row := range rows {
		refs[i] = row.Ref()
	}
	got, err := known(ctx, tx, refs)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if got[row.Ref()].Used < row.Used { // more when a name was put twice
			return &damagedError{"damaged: what is written cannot be read"}
		}
	}
	return nil
}

// sequence is the next one. A damaged one that leaves no room is passed over.
func sequence(ctx context.Context, tx *sql.Tx) (int64, error) {
	var last int64
	err := tx.QueryRowContext(ctx, "SELECT CAST(used AS INTEGER) FROM image_metadata WHERE used < 1 << 62 ORDER BY used DESC LIMIT 1").Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return last + 1, err
}

// Use is a node of a project that is given an image.
type Use struct {
	Ref           Ref
	Project, Node string
}

// Touch records uses, in their order: the last one is the latest. A use of an
// image that the cache does not know is not recorded.
func (s *Store) Touch(ctx context.Context, uses []Use) error {
	if len(uses) == 0 {
		return nil
	}
	refs := refsOf(uses)
	now := s.opt.now()
	return s.write(ctx, func(tx *sql.Tx) error {
		next, err := sequence(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := known(ctx, tx, refs)
		if err != nil {
			return err
		}
		return touch(ctx, tx, rows, uses, func(row *Row) {
			row.Used, row.LastUsed = next, now
			next++
		})
	})
}

func refsOf(uses []Use) []Ref {
	refs := make([]Ref, len(uses))
	for i, use := range uses {
		refs[i] = use.Ref
	}
	return refs
}

func touch(ctx context.Context, tx *sql.Tx, known map[Ref]Row, uses []Use, mark func(*Row)) error {
	update, err := tx.PrepareContext(ctx, "UPDATE image_metadata SET used = ?3, last_used = ?4, sum = ?5 WHERE image_name = ?1 AND image_tag = ?2")
	if err != nil {
		return err
	}
	defer update.Close()
	record, err := tx.PrepareContext(ctx, `INSERT INTO image_use (image_name, image_tag, project, node, used, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT DO UPDATE SET used = ?5, sum = ?6`)
	if err != nil {
		return err
	}
	defer record.Close()
	for _, use := range uses {
		row, ok := known[use.Ref]
		if !ok {
			continue
		}
		mark(&row)
		texts := row.texts()
		if _, err := update.ExecContext(ctx, row.Name, row.Tag, row.Used, texts[colLastUsed], sum(texts)); err != nil {
			return err
		}
		seal := sum([]string{row.Name, row.Tag, use.Project, use.Node, texts[colUsed]})
		if _, err := record.ExecContext(ctx, row.Name, row.Tag, use.Project, use.Node, row.Used, seal); err != nil {
			return err
		}
	}
	return nil
}

// List is every row, the one that was used last first, with who used it.
func (s *Store) List(ctx context.Context) ([]Row, error) {
	var list []Row
	err := s.read(ctx, func(tx *sql.Tx) error {
		list = nil
		rows, err := tx.QueryContext(ctx, selected+"ORDER BY used DESC, last_used DESC")
		if err != nil {
			return err
		}
		defer rows.Close()
		at := map[Ref]int{}
		if err := eachRow(rows, func(row Row) {
			if _, ok := at[row.Ref()]; !ok { // an older one comes from a damaged index
				at[row.Ref()] = len(list)
				list = append(list, row)
			}
		}); err != nil {
			return err
		}
		return eachUse(ctx, tx, "", func(use Use) {
			if i, ok := at[use.Ref]; ok {
				list[i].UsedBy = append(list[i].UsedBy, use.Project+"/"+use.Node)
			}
		})
	})
	return list, err
}

// eachUse gives the uses of a project, or of all if it is empty, the latest first.
func eachUse(ctx context.Context, tx *sql.Tx, project string, yield func(Use)) error {
	rows, err := tx.QueryContext(ctx, `SELECT image_name, image_tag, project, node, used, sum FROM image_use
		WHERE ?1 = '' OR project = ?1 ORDER BY used DESC, project, node`, project)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var texts [6]string
		if err := rows.Scan(&texts[0], &texts[1], &texts[2], &texts[3], &texts[4], &texts[5]); err != nil {
			return err
		}
		if sum(texts[:5]) == texts[5] && (project == "" || texts[2] == project) {
			yield(Use{Ref{texts[0], texts[1]}, texts[2], texts[3]})
		}
	}
	return rows.Err()
}

// Delete removes rows, and who used them. Those that are not there are no error.
func (s *Store) Delete(ctx context.Context, refs ...Ref) error {
	if len(refs) == 0 {
		return nil
	}
	return s.write(ctx, func(tx *sql.Tx) error {
		for _, ref := range refs {
			if _, err := tx.ExecContext(ctx, "DELETE FROM image_metadata WHERE image_name = ? AND image_tag = ?", ref.Name, ref.Tag); err != nil {
				return err
			}
		}
		return nil
	})
}

// Claim removes a row that nobody has used since it was read, and says whether
// it did. A row that was never there, Used being 0, is claimed if it still is not.
func (s *Store) Claim(ctx context.Context, row Row) (claimed bool, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		done, err := tx.ExecContext(ctx, "DELETE FROM image_metadata WHERE image_name = ? AND image_tag = ? AND used = ?", row.Name, row.Tag, row.Used)
		if err != nil {
			return err
		}
		n, err := done.RowsAffected()
		if claimed = n > 0; claimed || err != nil || row.Used != 0 {
			return err
		}
		var there int
		err = tx.QueryRowContext(ctx, "SELECT count(*) FROM image_metadata WHERE image_name = ? AND image_tag = ?", row.Name, row.Tag).Scan(&there)
		claimed = there == 0
		return err
	})
	return claimed, err
}

// Vacuum gives the space of deleted rows back to the file system.
func (s *Store) Vacuum(ctx context.Context) error {
	return s.with(ctx, func(db *sql.DB) error {
		_, err := db.ExecContext(ctx, "VACUUM")
		return err
	})
}

// Facts are what PutFacts kept of a key; false when there are none.
func (s *Store) Facts(ctx context.Context, key string) (facts string, ok bool, err error) {
	err = s.read(ctx, func(tx *sql.Tx) error {
		var got, seal string
		err := tx.QueryRowContext(ctx, "SELECT key, facts, sum FROM image_facts WHERE key = ?", key).Scan(&got, &facts, &seal)
		if ok = err == nil && got == key && sum([]string{key, facts}) == seal; !ok {
			facts = ""
		}
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return facts, ok, err
}

// PutFacts keeps what was found out about something that its key names wholly,
// such as a base image by its id, as JSON. Of many that are kept, any may go:
// they can be found out again.
func (s *Store) PutFacts(ctx context.Context, key, facts string) error {
	const most = 200
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO image_facts (key, facts, sum) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET facts = ?2, sum = ?3",
			key, facts, sum([]string{key, facts}))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "DELETE FROM image_facts WHERE key IN (SELECT key FROM image_facts WHERE key <> ?1 LIMIT max(0, (SELECT count(*) FROM image_facts) - ?2))",
			key, most)
		return err
	})
}

func eachRow(rows *sql.Rows, yield func(Row)) error {
	texts := make([]string, colCount)
	into := pointers(texts)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if row, ok := rowOf(texts); ok {
			yield(row)
		}
	}
	return rows.Err()
}

func queryTexts(ctx context.Context, tx *sql.Tx, query string) ([][]string, error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][]string
	for rows.Next() {
		texts := make([]string, colCount)
		if err := rows.Scan(pointers(texts)...); err != nil {
			return nil, err
		}
		all = append(all, texts)
	}
	return all, rows.Err()
}

func pointers(texts []string) []any {
	into := make([]any, len(texts))
	for i := range texts {
		into[i] = &texts[i]
	}
	return into
}
