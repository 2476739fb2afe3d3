package builtin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/medianode/docker-medianode/runtime/node"
)

// source is a file to be read, below the directory of the pipeline file.
type source struct{ dir, path string }

// open opens the file and says how many bytes it has.
func (s source) open() (*os.File, int64, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	info, err := root.Stat(s.path)
	if err == nil && !info.Mode().IsRegular() { // a pipe would hang in Open
		err = fmt.Errorf("%s is not a regular file", s.path)
	}
	if err != nil {
		return nil, 0, plain(err)
	}
	f, err := root.Open(s.path)
	return f, info.Size(), plain(err)
}

var errOutside = errors.New("leads out of the directory of the pipeline file")

// Inside is an error where a path below dir leads out of it, by symbolic links
// too. Whether there is a file is not what it asks.
func Inside(dir, name string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if _, err = root.Stat(name); errors.Is(plain(err), errOutside) {
		return plain(err)
	}
	return nil
}

// plain is an error of a root in the words of other file errors: not statat,
// and not that a path escapes from a parent.
func plain(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok && strings.HasSuffix(p.Error(), "path escapes from parent") { // os does not name it
		return fmt.Errorf("%s %w", p.Path, errOutside)
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok && strings.HasSuffix(p.Op, "at") {
		return &fs.PathError{Op: "open", Path: p.Path, Err: p.Err}
	}
	return err
}

// partial is what a sink's file is called until it is complete.
const partial = ".partial"

// sink is a file being written. It gets its name when it is complete; a file
// of that name from an earlier run stays until then.
type sink struct {
	root   *os.Root
	dir    string
	path   string
	file   *os.File
	frames uint64
}

// createSink opens NAME.partial for writing, and the directories above it. A
// lock keeps a second sink, of another node, session or process, from writing
// the same file.
func createSink(dir, name string) (*sink, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f, err := createPartial(root, name)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &sink{root: root, dir: dir, path: name, file: f}, nil
}

func createPartial(root *os.Root, name string) (*os.File, error) {
	if info, err := root.Stat(name); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	if err := root.MkdirAll(path.Dir(path.Clean(name)), 0o777); err != nil {
		return nil, plain(err)
	}
	f, err := root.OpenFile(name+partial, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, plain(err)
	}
	if err := claim(root, f, name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// claim locks the file and empties it. Between opening and locking, who had
// the lock may have given the file its name: then it is not ours to empty.
func claim(root *os.Root, f *os.File, name string) error {
	ours, err := lock(f)
	if err != nil {
		return err
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := root.Stat(name + partial)
	if !ours || errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(opened, there) {
		return fmt.Errorf("%s is being written by another run or session: give this one another, as with --set NODE.path=FILE", name)
	}
	if err != nil {
		return err
	}
	return f.Truncate(0)
}

// line writes b and a line break at once, so that whoever follows the file
// sees whole lines, and nothing is lost with this process.
func (s *sink) line(b []byte) error { return s.put(append(b, '\n')) }

// put writes what a frame becomes in the file.
func (s *sink) put(b []byte) error {
	if _, err := s.file.Write(b); err != nil {
		return fmt.Errorf("%s: frame %d: %w", s.path, s.frames, err)
	}
	s.frames++
	return nil
}

// close ends the file: complete if failure is nil, else it stays partial. It
// says in the report what there is.
func (s *sink) close(ports *node.Ports, failure error) error {
	err := errors.Join(failure, s.finish(failure == nil))
	report := node.File{Path: filepath.Join(s.dir, s.path), Frames: s.frames, Complete: err == nil}
	if !report.Complete {
		report.Path += partial
	}
	if info, bad := os.Stat(report.Path); bad == nil {
		report.Bytes = info.Size()
	}
	ports.Wrote(report)
	return err
}

// finish closes the file and, if complete, gives it its name. A full disk may
// tell only when the system writes back.
func (s *sink) finish(complete bool) error {
	defer s.root.Close()
	var err error
	if complete {
		err = s.file.Sync()
		if err == nil { // before the lock ends with the file
			err = s.root.Rename(s.path+partial, s.path)
		}
	}
	return errors.Join(err, s.file.Close())
}
