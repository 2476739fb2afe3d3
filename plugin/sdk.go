package plugin

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime/iox"
	"github.com/medianode/docker-medianode/runtime/python"
)

func sdkCommand(e *env) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "sdk",
		Short: "Write the Python package medianode as a wheel, for editors and tests",
		Long: `Write the Python package medianode as a wheel, and its path on stdout. Images
have the package already; this is for the editor and for tests of nodes with
medianode.testing, on any system with Python 3.9 or newer. Needs no engine and
no package index.`,
		Example: `  pip install "$(docker medianode sdk)"
  docker medianode sdk -o wheels`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			name, text, err := wheel(python.Files)
			if err != nil {
				return err
			}
			path := filepath.Join(dir, name)
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			if err := writeFile(path, text, 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.cli.Out(), path)
			return err
		},
	}
	cmd.Flags().StringVarP(&dir, "output", "o", ".", "Directory to write to")
	_ = cmd.MarkFlagDirname("output") // it is defined above
	return cmd
}

func versionPattern() *regexp.Regexp { return regexp.MustCompile(`(?m)^VERSION = "([0-9a-z.]+)"$`) }

// wheel packs the package as pip installs it: a zip with three files beside the
// code. The same package gives the same bytes. What a node needs only inside a
// container, iceoryx2, is an extra.
func wheel(files fs.FS) (name string, text []byte, err error) {
	source, err := fs.ReadFile(files, "medianode/_version.py")
	if err != nil {
		return "", nil, err
	}
	found := versionPattern().FindSubmatch(source)
	if found == nil {
		return "", nil, fmt.Errorf("no version in medianode/_version.py")
	}
	version := string(found[1])
	var b, record bytes.Buffer
	z := zip.NewWriter(&b)
	add := func(path string, data []byte) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: path, Method: zip.Deflate})
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", path, base64.RawURLEncoding.EncodeToString(sum[:]), len(data))
		_, err = w.Write(data)
		return err
	}
	err = fs.WalkDir(files, "medianode", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return add(path, data)
	})
	if err != nil {
		return "", nil, err
	}
	info := "medianode-" + version + ".dist-info/"
	metadata := strings.Join([]string{
		"Metadata-Version: 2.1", "Name: medianode", "Version: " + version,
		"Summary: Write nodes of a docker medianode pipeline in Python", "Requires-Python: >=3.9",
		"Provides-Extra: container", "Requires-Dist: iceoryx2==" + iox.Version + " ; extra == 'container'", "",
	}, "\n")
	if err := add(info+"METADATA", []byte(metadata)); err != nil {
		return "", nil, err
	}
	if err := add(info+"WHEEL", []byte("Wheel-Version: 1.0\nGenerator: docker-medianode\nRoot-Is-Purelib: true\nTag: py3-none-any\n")); err != nil {
		return "", nil, err
	}
	record.WriteString(info + "RECORD,,\n")
	if err := add(info+"RECORD", record.Bytes()); err != nil {
		return "", nil, err
	}
	if err := z.Close(); err != nil {
		return "", nil, err
	}
	return "medianode-" + version + "-py3-none-any.whl", b.Bytes(), nil
}
