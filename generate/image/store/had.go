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
		var uses []Use
		if err := eachUse(ctx, tx, project, func(use Use) { uses = append(uses, use) }); err != nil {
			return err
		}
		rows, err := known(ctx, tx, refsOf(uses))
		if err != nil {
			return err
		}
		for _, use := range uses {
			row, ok := rows[use.Ref]
			if _, later := got[use.Node]; !later && ok && row.Status == Available {
				got[use.Node] = row
			}
		}
		return nil
	})
	return got, err
}

// Renewed says whether a damaged database was set aside and a new one begun:
// what the old one knew has to be found out again.
func (s *Store) Renewed() bool {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.renewed > 0
}
