package store

import (
	"context"
	"database/sql"
)

// Had is the available image that each node of a project used last, by the
// node's name.
func (s *Store) Had(ctx context.Context, project string) (map[string]Row, error) {
	var got map[string]Row
	err := s.read(ctx, func(tx *sql.Tx) error {
		got = map[string]Row{}
		uses, err := usesOf(ctx, tx, project)
		if err != nil {
			return err
		}
		refs := make([]Ref, len(uses))
		for i, use := range uses {
			refs[i] = use.Ref
		}
		names, err := namesOf(refs)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, lookUp, names)
		if err != nil {
			return err
		}
		known, err := newest(rows)
		if err != nil {
			return err
		}
		for _, use := range uses {
			row, ok := known[use.Ref]
			if _, later := got[use.Node]; !later && ok && row.Status == Available {
				got[use.Node] = row
			}
		}
		return nil
	})
	return got, err
}

// usesOf are the uses of a project, the latest first.
func usesOf(ctx context.Context, tx *sql.Tx, project string) ([]Use, error) {
	rows, err := tx.QueryContext(ctx, "SELECT image_name, image_tag, project, node, used, sum FROM image_use WHERE project = ? ORDER BY used DESC", project)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var uses []Use
	for rows.Next() {
		var texts [6]string
		if err := rows.Scan(&texts[0], &texts[1], &texts[2], &texts[3], &texts[4], &texts[5]); err != nil {
			return nil, err
		}
		if sum(texts[:5]) == texts[5] && texts[2] == project {
			uses = append(uses, Use{Ref: Ref{texts[0], texts[1]}, Project: project, Node: texts[3]})
		}
	}
	return uses, rows.Err()
}

// Renewed says whether a damaged database was set aside and a new one begun:
// what the old one knew has to be found out again.
func (s *Store) Renewed() bool {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.renewed > 0
}
