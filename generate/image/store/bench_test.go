package store

import (
	"fmt"
	"path/filepath"
	"testing"
)

// A pipeline of 20 nodes, in a cache that is full.
const benchNodes, benchRows = 20, 50

func benchCache(b *testing.B) (path string, refs []Ref) {
	b.Helper()
	path = filepath.Join(b.TempDir(), "image_cache.db")
	s, err := Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchRows {
		row := full(fmt.Sprintf("medianode/node-%d", i), "1f2e3d4c5b6a")
		if err := s.Put(b.Context(), row); err != nil {
			b.Fatal(err)
		}
		if i < benchNodes {
			refs = append(refs, row.Ref())
		}
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path, refs
}

func benchGet(b *testing.B, s *Store, refs []Ref) {
	b.Helper()
	if got, err := s.Get(b.Context(), refs); err != nil || len(got) != len(refs) {
		b.Fatal(len(got), err)
	}
}

// BenchmarkCold is what a warm `up` pays: open, look 20 nodes up, close.
func BenchmarkCold(b *testing.B) {
	path, refs := benchCache(b)
	for b.Loop() {
		s, err := Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		benchGet(b, s, refs)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenClose(b *testing.B) {
	path, _ := benchCache(b)
	for b.Loop() {
		s, err := Open(b.Context(), path)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	path, refs := benchCache(b)
	s, err := Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, n := range []int{1, benchNodes} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				benchGet(b, s, refs[:n])
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	path, refs := benchCache(b)
	s, err := Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		if err := s.Put(b.Context(), full(refs[0].Name, refs[0].Tag)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTouch20(b *testing.B) {
	path, refs := benchCache(b)
	s, err := Open(b.Context(), path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	uses := make([]Use, len(refs))
	for i, ref := range refs {
		uses[i] = Use{ref, "captions", fmt.Sprint(i)}
	}
	for b.Loop() {
		if err := s.Touch(b.Context(), uses); err != nil {
			b.Fatal(err)
		}
	}
}
