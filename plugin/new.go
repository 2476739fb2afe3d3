package plugin

import (
	"bytes"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

//go:embed templates/*/*.tmpl
var templates embed.FS

func templateNames() []string { return []string{"filter", "source", "audio"} }

func newCommand(e *env) *cobra.Command {
	var template string
	cmd := &cobra.Command{
		Use:   "new NAME",
		Short: "Make a small pipeline to start from, in a new directory",
		Long: `Make a small pipeline to start from, in the new directory NAME: pipeline.yaml, a
node of its own with a test, input, and the schema that editors complete with.

Templates: "filter" has text in and JSON out, "source" makes frames itself,
"audio" measures a recording with numpy.`,
		Example: `  docker medianode new captions && cd captions && docker medianode up
  docker medianode new meter --template audio`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit(exitUsage, fmt.Sprintf("new: what is it called? give a name, such as captions\nsee '%s --help'", cmd.CommandPath()))
			}
			return atMostOne(cmd, args)
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("--template", template, templateNames()...); err != nil {
				return err
			}
			name := args[0]
			if bad := checkName(name); bad != "" {
				return exit(exitUsage, fmt.Sprintf("name %q: %s", name, bad))
			}
			files, err := scaffold(template, name)
			if err != nil {
				return err
			}
			if err := writeNew(name, files); err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.cli.Err(), "%s in %s; now:\n  cd %s\n  docker medianode up\n", count(len(files), "file"), name, name)
			return err
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().StringVar(&template, "template", "filter", "What to start from: filter, source, audio")
	complete(cmd, "template", templateNames()...)
	return cmd
}

func namePattern() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`) }

// taken are names of modules that Python or a node imports, and ids of the
// templates: a file of that name in nodes would be imported instead.
const taken = ` abc aifc antigravity argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 calendar cgi cgitb chunk
cmath cmd code codecs codeop collections colorsys compileall concurrent configparser contextlib contextvars copy copyreg crypt csv ctypes
curses dataclasses datetime dbm decimal difflib dis doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput
fnmatch fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib
imaplib imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal
math mimetypes mmap modulefinder multiprocessing netrc nis nntplib numbers opcode operator optparse os pathlib pdb pickle pickletools
pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data pyexpat queue
quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site smtplib
sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat statistics string stringprep struct subprocess sunau
symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading time timeit tkinter token tokenize
tomllib trace traceback tracemalloc tty turtle types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser
wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo and as assert async await break class continue def del elif else except
finally for from global if import in is lambda nonlocal not or pass raise return try while with yield none true false node frame
medianode numpy iceoryx2 pytest conftest test tests setuptools pip input output screen `

// checkName is what is wrong with a name of a new pipeline, or nothing.
func checkName(name string) string {
	switch {
	case strings.ContainsAny(name, `/\`):
		return "want a name and not a path: change to the directory where it shall be first"
	case !namePattern().MatchString(name):
		return "want lower-case letters, digits, - and _, and a letter first"
	case slices.Contains(strings.Fields(taken), moduleName(name)):
		return fmt.Sprintf("that name is in use, by Python or by the template: call it %q or so", "my-"+strings.ReplaceAll(name, "_", "-"))
	}
	return ""
}

func moduleName(name string) string { return strings.ReplaceAll(name, "-", "_") }

// className is the name in CamelCase.
func className(name string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// scaffold is the files of a new pipeline.
func scaffold(template, name string) ([]generate.File, error) {
	packages := ""
	if template == "audio" {
		packages = "numpy "
	}
	fill := strings.NewReplacer("{{name}}", name, "{{module}}", moduleName(name), "{{class}}", className(name), "{{packages}}", packages)
	places := map[string]string{
		"node.py": "nodes/" + moduleName(name) + ".py", "test.py": "tests/test_" + moduleName(name) + ".py", "gitignore": ".gitignore",
	}
	var files []generate.File
	for _, dir := range []string{"common", template} {
		entries, err := templates.ReadDir(path.Join("templates", dir))
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			text, err := templates.ReadFile(path.Join("templates", dir, entry.Name()))
			if err != nil {
				return nil, err
			}
			base := strings.TrimSuffix(entry.Name(), ".tmpl")
			if place, ok := places[base]; ok {
				base = place
			}
			files = append(files, generate.File{Path: base, Mode: 0o644, Data: []byte(fill.Replace(string(text)))})
		}
	}
	if template == "audio" {
		files = append(files, generate.File{Path: "input.wav", Mode: 0o644, Data: tone()})
	}
	return append(files, generate.File{Path: ".medianode/pipeline.schema.json", Mode: 0o644, Data: pipeline.Schema(builtin.Catalog())}), nil
}

// tone is a WAV file: a second of 440 Hz that fades in, mono, 16 bits, 16 kHz.
func tone() []byte {
	const rate, bytesEach = 16000, 2
	var b bytes.Buffer
	b.WriteString("RIFF")
	header := []any{
		uint32(36 + rate*bytesEach), []byte("WAVEfmt "), uint32(16), uint16(1), uint16(1), uint32(rate), uint32(rate * bytesEach),
		uint16(bytesEach), uint16(8 * bytesEach), []byte("data"), uint32(rate * bytesEach),
	}
	for _, field := range header {
		_ = binary.Write(&b, binary.LittleEndian, field) // a buffer takes everything
	}
	for i := range rate {
		t := float64(i) / rate
		_ = binary.Write(&b, binary.LittleEndian, int16(20000*t*math.Sin(2*math.Pi*440*t)))
	}
	return b.Bytes()
}

// writeNew writes into a directory that is not there, or has nothing in it.
func writeNew(dir string, files []generate.File) error {
	entries, err := os.ReadDir(dir)
	made := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !made:
		return exit(exitFailed, err.Error())
	case len(entries) > 0:
		return exit(exitFailed, fmt.Sprintf("%s is not empty: nothing was written; choose another name", dir))
	}
	for _, f := range files {
		if err := writeBelow(dir, f); err != nil {
			if made { // nothing half done is left
				err = errors.Join(err, os.RemoveAll(filepath.Clean(dir)))
			}
			return err
		}
	}
	return nil
}
