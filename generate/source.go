package generate

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxSource bounds the code of a node: models and data belong in a volume.
const maxSource = 64 * mib

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

// snapshot reads the files below dir. A link to a file is copied as the file.
func snapshot(fsys fs.FS, dir string) ([]File, error) {
	root, err := follow(fsys, dir)
	if err != nil {
		return nil, explain(dir, err)
	}
	if info, err := fs.Stat(fsys, root); err != nil {
		return nil, explain(dir, err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("%q is not a directory", dir)
	}
	var files []File
	var total int64
	err = fs.WalkDir(fsys, root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return explain(name, err)
		case name != root && leaveOut(entry.Name()):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			return nil
		}
		file, err := read(fsys, name, maxSource-total)
		if err != nil {
			return err
		}
		total += int64(len(file.Data))
		file.Path = strings.TrimPrefix(name, root+"/")
		files = append(files, file)
		return nil
	})
	if errors.Is(err, errTooLarge) {
		return nil, fmt.Errorf("%q holds more than %s: keep models and data elsewhere and mount them with docker.volumes", dir, size(maxSource))
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

var errTooLarge = errors.New("too large")

func read(fsys fs.FS, name string, room int64) (File, error) {
	real, err := follow(fsys, name)
	if err != nil {
		return File{}, explain(name, err)
	}
	info, err := fs.Stat(fsys, real)
	if err != nil {
		return File{}, explain(name, err)
	}
	switch {
	case info.IsDir() && real == name:
		return File{}, fmt.Errorf("%q is a directory", name)
	case info.IsDir():
		return File{}, fmt.Errorf("%q is a symbolic link to a directory: only links to files can be copied", name)
	case !info.Mode().IsRegular():
		return File{}, fmt.Errorf("%q is not a regular file", name)
	case info.Size() > room:
		return File{}, errTooLarge
	}
	data, err := fs.ReadFile(fsys, real)
	if err != nil {
		return File{}, explain(name, err)
	}
	if int64(len(data)) > room {
		return File{}, errTooLarge
	}
	mode := fs.FileMode(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return File{Mode: mode, Data: data}, nil
}

// leaveOut tells the names that never go into an image: what is not code, and
// what may be secret.
func leaveOut(base string) bool {
	ignored := []string{
		".git", ".env*", "__pycache__", "*.pyc", ".venv", "venv", "node_modules", "*.pem", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".DS_Store",
	}
	return slices.ContainsFunc(ignored, func(pattern string) bool {
		match, _ := path.Match(pattern, base) // the patterns are well formed
		return match
	})
}

// sdkFiles are the files of the Python SDK as a context holds them.
func sdkFiles(sdk fs.FS) ([]File, error) {
	if sdk == nil {
		return nil, nil
	}
	files, err := snapshot(sdk, ".")
	if err != nil {
		return nil, fmt.Errorf("python sdk: %w", err)
	}
	for i := range files {
		files[i].Path = "sdk/medianode/" + files[i].Path
		files[i].Mode = 0o644
	}
	return files, nil
}
