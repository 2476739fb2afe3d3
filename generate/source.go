package generate

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"
)

const (
	// maxSource bounds the code of a node: models and data belong in a volume.
	maxSource = 64 * mib
	maxFiles  = 20_000
)

var (
	errOutside = errors.New("leads out of the project through a symbolic link")
	errLoop    = errors.New("symbolic links lead in a circle")
)

// follow is the path of a file with every symbolic link on its way resolved.
// None may leave the root of fsys.
func follow(fsys fs.FS, name string) (string, error) {
	done, left := ".", strings.Split(path.Clean(name), "/")
	for hops := 0; len(left) > 0; {
		next := path.Join(done, left[0])
		left = left[1:]
		if next == ".." || strings.HasPrefix(next, "../") {
			return "", errOutside
		}
		info, err := fs.Lstat(fsys, next)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		target, err := fs.ReadLink(fsys, next)
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			return "", errOutside
		}
		if hops++; hops > 40 {
			return "", errLoop
		}
		left = append(strings.Split(target, "/"), left...)
	}
	return done, nil
}

// explain is what an error of follow means to who wrote the path.
func explain(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%q does not exist", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%q cannot be read: permission denied", name)
	}
	return fmt.Errorf("%q %w", name, err)
}

// contents are the files of a node's source, read once: what is hashed and what
// is sent are these bytes, whatever becomes of the files.
type contents struct {
	files []File // sorted by path
	left  []left // sorted by path
}

// left is something that was left out. A directory ends with a slash; all of it
// is meant, but for what a .dockerignore brings back.
type left struct {
	path     string
	ignoring bool // by .dockerignore, not by its own name
}

// snapshot reads the files below dir that go into an image. A link to a file is
// copied as the file.
func snapshot(fsys fs.FS, dir string) (*contents, error) {
	root, err := follow(fsys, dir)
	if err != nil {
		return nil, explain(dir, err)
	}
	if info, err := fs.Stat(fsys, root); err != nil {
		return nil, explain(dir, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%q is not a directory", dir)
	}
	rules, err := readIgnore(fsys, root)
	if err != nil {
		return nil, err
	}
	l := listing{fsys: fsys, root: root, rules: rules, parents: map[string]patternmatcher.MatchInfo{}, clutter: map[string][]negation{}}
	if err := fs.WalkDir(fsys, root, l.visit); err != nil {
		return nil, err
	}
	out := &contents{left: l.left}
	room := int64(maxSource)
	for _, f := range l.found {
		file, err := f.load(fsys, room)
		if errors.Is(err, errTooLarge) {
			return nil, l.tooLarge(dir)
		}
		if err != nil {
			return nil, err
		}
		room -= int64(len(file.Data))
		file.Path = strings.TrimPrefix(f.name, root+"/")
		out.files = append(out.files, file)
	}
	slices.SortFunc(out.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(out.left, func(a, b left) int { return strings.Compare(a.path, b.path) })
	return out, nil
}

// listing walks a source and decides what goes into an image.
type listing struct {
	fsys    fs.FS
	root    string
	rules   ignoreRules
	found   []located
	left    []left
	parents map[string]patternmatcher.MatchInfo // of the directories that were entered
	clutter map[string][]negation               // directories of clutter, entered for what these bring back
}

// visit is an fs.WalkDirFunc.
func (l *listing) visit(name string, entry fs.DirEntry, err error) error {
	if name == l.root {
		if err != nil {
			return explain(name, err)
		}
		return nil
	}
	rel := strings.TrimPrefix(name, l.root+"/")
	if err != nil {
		if l.isLeft(rel) { // nobody wants what is in there
			return fs.SkipDir
		}
		return explain(name, err)
	}
	out, enter, ignoring := l.decide(name, rel, entry)
	if out && !l.isLeft(path.Dir(rel)) {
		shown := rel
		if entry.IsDir() {
			shown += "/"
		}
		l.left = append(l.left, left{shown, ignoring})
	}
	switch {
	case out && entry.IsDir() && !enter:
		return fs.SkipDir
	case out || entry.IsDir():
		return nil
	}
	f, err := locate(l.fsys, name, entry.Type())
	if err != nil {
		return err
	}
	if inside := strings.TrimPrefix(f.real, l.root+"/"); f.real != name && slices.ContainsFunc(strings.Split(inside, "/"), isSecret) {
		return fmt.Errorf("%q is a symbolic link to %q, which may hold secrets", name, f.real)
	}
	l.found = append(l.found, f)
	if len(l.found) > maxFiles {
		return fmt.Errorf("%q holds more than %d files: keep data elsewhere and mount it with docker.volumes, or leave it out with a %s", l.root, maxFiles, ignoreFile)
	}
	return nil
}

// decide tells whether an entry is left out, whether a directory that is left
// out must be entered all the same, and whether .dockerignore is the reason.
func (l *listing) decide(name, rel string, entry fs.DirEntry) (out, enter, ignoring bool) {
	base := path.Base(rel)
	if isSecret(base) {
		return true, false, false
	}
	pattern := matching(clutter(), base)
	if pattern != "" || entry.IsDir() && isVenv(l.fsys, name) {
		l.clutter[rel] = l.rules.naming(base, pattern)
	}
	for at := rel; at != "."; at = path.Dir(at) {
		back, is := l.clutter[at]
		if is && !bringsBack(back, rel) {
			return true, len(back) > 0, false
		}
	}
	if l.rules.matcher == nil {
		return false, false, false
	}
	out, info, _ := l.rules.matcher.MatchesUsingParentResults(rel, l.parents[path.Dir(rel)]) // compiled before
	if entry.IsDir() {
		l.parents[rel] = info
	}
	return out, l.rules.mayBringBack(rel), out
}

// isLeft tells whether an entry was left out, or a directory that it is in.
func (l *listing) isLeft(rel string) bool { return leaver(l.left, rel) != nil }

// leaver is what says that an entry was left out: itself, or a directory that it
// is in.
func leaver(list []left, rel string) *left {
	for i, x := range list {
		if x.path == rel || strings.HasSuffix(x.path, "/") && strings.HasPrefix(rel+"/", x.path) {
			return &list[i]
		}
	}
	return nil
}

func isSecret(base string) bool { return matching(secrets(), base) != "" }

// isVenv tells a Python virtual environment, whatever it is called.
func isVenv(fsys fs.FS, dir string) bool {
	_, err := fs.Lstat(fsys, path.Join(dir, "pyvenv.cfg"))
	return err == nil
}

// tooLarge names the files that make a source too large.
func (l *listing) tooLarge(dir string) error {
	type sized struct {
		name string
		size int64
	}
	var all []sized
	var total int64
	for _, f := range l.found {
		if info, err := fs.Stat(l.fsys, f.real); err == nil {
			all = append(all, sized{strings.TrimPrefix(f.name, l.root+"/"), info.Size()})
			total = add(total, info.Size())
		}
	}
	slices.SortStableFunc(all, func(a, b sized) int { return cmp.Compare(b.size, a.size) })
	const named = 3
	var names []string
	for _, f := range all[:min(named, len(all))] {
		if f.size >= total/100 {
			names = append(names, fmt.Sprintf("%s (%s)", f.name, size(f.size)))
		}
	}
	return fmt.Errorf("%q holds %s, more than %s, most of it in %s: keep models and data elsewhere and mount them with docker.volumes, or leave them out with a %s",
		dir, size(total), size(maxSource), strings.Join(names, ", "), ignoreFile)
}

var (
	errTooLarge = errors.New("too large")
	errChanging = errors.New("changes while it is read: try again")
)

// located is a file, by the name it was found under and its real path.
type located struct{ name, real string }

// locate follows links. A file of which a walk says that it is a regular one has
// none on its way: no look at the disk is needed for it.
func locate(fsys fs.FS, name string, kind fs.FileMode) (located, error) {
	if kind.IsRegular() {
		return located{name, name}, nil
	}
	real, err := follow(fsys, name)
	if err != nil {
		return located{}, explain(name, err)
	}
	info, err := fs.Stat(fsys, real)
	if err != nil {
		return located{}, explain(name, err)
	}
	switch {
	case info.IsDir() && real == name:
		return located{}, fmt.Errorf("%q is a directory", name)
	case info.IsDir():
		return located{}, fmt.Errorf("%q is a symbolic link to a directory: only links to files can be copied", name)
	case !info.Mode().IsRegular(): // to open it might wait for ever
		return located{}, fmt.Errorf("%q is not a regular file", name)
	}
	return located{name, real}, nil
}

// load reads the file. One that is written meanwhile is read again: half of an
// old and half of a new file is neither.
func (f located) load(fsys fs.FS, room int64) (File, error) {
	const attempts = 4
	for range attempts {
		file, still, err := f.attempt(fsys, room)
		if errors.Is(err, errTooLarge) {
			return File{}, err
		}
		if err != nil {
			return File{}, explain(f.name, err)
		}
		if still {
			return file, nil
		}
	}
	return File{}, fmt.Errorf("%q %w", f.name, errChanging)
}

// attempt reads the file and tells whether it stood still meanwhile.
func (f located) attempt(fsys fs.FS, room int64) (file File, still bool, err error) {
	open, err := fsys.Open(f.real)
	if err != nil {
		return File{}, false, err
	}
	defer open.Close()
	before, err := open.Stat()
	if err != nil {
		return File{}, false, err
	}
	if before.Size() > room {
		return File{}, false, errTooLarge
	}
	var buffer bytes.Buffer
	buffer.Grow(int(before.Size()) + bytes.MinRead)                          // all of it in one read
	if _, err := buffer.ReadFrom(io.LimitReader(open, room+1)); err != nil { // it may grow without end
		return File{}, false, err
	}
	if int64(buffer.Len()) > room {
		return File{}, false, errTooLarge
	}
	after, err := open.Stat()
	if err != nil {
		return File{}, false, err
	}
	mode := fs.FileMode(0o644)
	if after.Mode()&0o111 != 0 {
		mode = 0o755
	}
	still = before.Size() == after.Size() && after.Size() == int64(buffer.Len()) && before.ModTime().Equal(after.ModTime())
	return File{Mode: mode, Data: buffer.Bytes()}, still, nil
}

// read reads one file of at most room bytes.
func read(fsys fs.FS, name string, room int64) (File, error) {
	f, err := locate(fsys, name, fs.ModeIrregular)
	if err != nil {
		return File{}, err
	}
	return f.load(fsys, room)
}

// sdkFiles are the files of the Python SDK as a context holds them.
func sdkFiles(sdk fs.FS) ([]File, error) {
	if sdk == nil {
		return nil, nil
	}
	all, err := snapshot(sdk, ".")
	if err != nil {
		return nil, fmt.Errorf("python sdk: %w", err)
	}
	files := all.files
	for i := range files {
		files[i].Path = "sdk/medianode/" + files[i].Path
		files[i].Mode = 0o644
	}
	return files, nil
}
