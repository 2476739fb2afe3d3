package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"

	"github.com/medianode/docker-medianode/generate"
)

// tree is a build context in memory: what was hashed is what is sent. All its
// times are zero.
type tree struct {
	entries []*types.Stat // parents before children, as fsutil wants them sorted
	data    map[string][]byte
}

// newTree adds the directories that the paths imply.
func newTree(files []generate.File) *tree {
	t := &tree{data: map[string][]byte{}}
	stats := map[string]*types.Stat{}
	for _, f := range files {
		for i, c := range f.Path {
			if c == '/' {
				stats[f.Path[:i]] = &types.Stat{Path: f.Path[:i], Mode: uint32(fs.ModeDir | 0o755)}
			}
		}
		stats[f.Path] = &types.Stat{Path: f.Path, Mode: uint32(f.Mode), Size: int64(len(f.Data))}
		t.data[f.Path] = f.Data
	}
	for _, s := range stats {
		t.entries = append(t.entries, s)
	}
	// A directory's content comes right after it: "/" sorts before all else.
	order := func(path string) string { return strings.ReplaceAll(path, "/", "\x00") }
	slices.SortFunc(t.entries, func(a, b *types.Stat) int { return strings.Compare(order(a.Path), order(b.Path)) })
	return t
}

var _ fsutil.FS = (*tree)(nil)

// Walk calls back for target and what is below it; the empty target is all.
func (t *tree) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	target = strings.Trim(target, "/")
	skipped := ""
	for _, s := range t.entries {
		if target != "" && s.Path != target && !strings.HasPrefix(s.Path, target+"/") {
			continue
		}
		if skipped != "" && strings.HasPrefix(s.Path, skipped) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		entry := s.Clone() // who walks may change it
		switch err := fn(s.Path, &fsutil.DirEntryInfo{Stat: entry}, nil); {
		case errors.Is(err, fs.SkipAll):
			return nil
		case errors.Is(err, fs.SkipDir) && fs.FileMode(s.Mode).IsDir():
			skipped = s.Path + "/"
		case errors.Is(err, fs.SkipDir): // the rest of the file's directory
			skipped = s.Path[:strings.LastIndexByte(s.Path, '/')+1]
			if skipped == "" {
				return nil
			}
		case err != nil:
			return err
		}
	}
	return nil
}

// Open gives the bytes of a file.
func (t *tree) Open(path string) (io.ReadCloser, error) {
	data, ok := t.data[strings.TrimPrefix(path, "/")]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}
