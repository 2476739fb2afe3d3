package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
)

// Get looks images up. What the cache does not know, or knows in a damaged
// row, is missing in the answer.
func (s *Store) Get(ctx context.Context, refs []Ref) (map[Ref]Row, error) {
	var got map[Ref]Row
	err := s.read(ctx, func(tx *sql.Tx) error {
		got = make(map[Ref]Row, len(refs))
		look, err := tx.PrepareContext(ctx, selected+"WHERE image_name = ? AND image_tag = ?")
		if err != nil {
			return err
		}
		defer look.Close()
		for _, ref := range refs {
			row, ok, err := one(ctx, look, ref)
			if err != nil {
				return err
			}
			if ok {
				got[ref] = row
			}
		}
		return nil
	})
	return got, err
}

// one is the row of a name. A damaged index can lead to several, of which the
// latest counts, or to that of another name, which does not.
func one(ctx context.Context, look *sql.Stmt, ref Ref) (best Row, ok bool, err error) {
	rows, err := look.QueryContext(ctx, ref.Name, ref.Tag)
	if err != nil {
		return Row{}, false, err
	}
	defer rows.Close()
	err = eachRow(rows, func(row Row) {
		if row.Ref() == ref && (!ok || row.Used > best.Used) {
			best, ok = row, true
		}
	})
	return best, ok, err
}

// Latest is the available image of each name that was used last.
func (s *Store) Latest(ctx context.Context, names []string) (map[string]Row, error) {
	var got map[string]Row
	err := s.read(ctx, func(tx *sql.Tx) error {
		got = make(map[string]Row, len(names))
		look, err := tx.PrepareContext(ctx, selected+"WHERE image_name = ? AND status = 'available'")
		if err != nil {
			return err
		}
		defer look.Close()
		for _, name := range names {
			if err := latest(ctx, look, name, got); err != nil {
				return err
			}
		}
		return nil
	})
	return got, err
}

func latest(ctx context.Context, look *sql.Stmt, name string, got map[string]Row) error {
	rows, err := look.QueryContext(ctx, name)
	if err != nil {
		return err
	}
	defer rows.Close()
	return eachRow(rows, func(row Row) {
		if best, ok := got[name]; row.Name == name && row.Status == Available && (!ok || row.Used > best.Used) {
			got[name] = row
		}
	})
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
		return nil
	})
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
	now := s.opt.now()
	return s.write(ctx, func(tx *sql.Tx) error {
		next, err := sequence(ctx, tx)
		if err != nil {
			return err
		}
		look, err := tx.PrepareContext(ctx, selected+"WHERE image_name = ? AND image_tag = ?")
		if err != nil {
			return err
		}
		defer look.Close()
		for i, use := range uses {
			row, ok, err := one(ctx, look, use.Ref)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			row.Used, row.LastUsed = next+int64(i), now
			if err := touch(ctx, tx, row, use); err != nil {
				return err
			}
		}
		return nil
	})
}

func touch(ctx context.Context, tx *sql.Tx, row Row, use Use) error {
	texts := row.texts()
	_, err := tx.ExecContext(ctx, `UPDATE image_metadata SET used = ?3, last_used = ?4, sum = ?5 WHERE image_name = ?1 AND image_tag = ?2`,
		row.Name, row.Tag, row.Used, texts[colLastUsed], sum(texts))
	if err != nil || use.Project == "" && use.Node == "" {
		return err
	}
	used := []string{row.Name, row.Tag, use.Project, use.Node, texts[colUsed]}
	_, err = tx.ExecContext(ctx, `INSERT INTO image_use (image_name, image_tag, project, node, used, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
		ON CONFLICT DO UPDATE SET used = ?5, sum = ?6`, row.Name, row.Tag, use.Project, use.Node, row.Used, sum(used))
	return err
}

// List is every row, the one that was used last first, with who used it.
func (s *Store) List(ctx context.Context) ([]Row, error) {
	var list []Row
	err := s.read(ctx, func(tx *sql.Tx) error {
		list = nil
		rows, err := tx.QueryContext(ctx, selected+"ORDER BY used DESC")
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
		return usedBy(ctx, tx, func(ref Ref, user string) {
			if i, ok := at[ref]; ok {
				list[i].UsedBy = append(list[i].UsedBy, user)
			}
		})
	})
	return list, err
}

func usedBy(ctx context.Context, tx *sql.Tx, yield func(Ref, string)) error {
	rows, err := tx.QueryContext(ctx, "SELECT image_name, image_tag, project, node, used, sum FROM image_use ORDER BY used DESC, project, node")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var texts [6]string
		if err := rows.Scan(&texts[0], &texts[1], &texts[2], &texts[3], &texts[4], &texts[5]); err != nil {
			return err
		}
		if sum(texts[:5]) == texts[5] {
			yield(Ref{texts[0], texts[1]}, texts[2]+"/"+texts[3])
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
// such as a base image by its id, as JSON.
func (s *Store) PutFacts(ctx context.Context, key, json string) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO image_facts (key, facts, sum) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET facts = ?2, sum = ?3",
			key, json, sum([]string{key, json}))
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
