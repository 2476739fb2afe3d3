package plugin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/docker/cli/cli/command"

	"github.com/medianode/docker-medianode/plugin/tracing"
	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// env is what every verb gets: the Docker CLI with its streams, and the global
// flags.
type env struct {
	cli     command.Cli
	version string
	file    string
	project string
	mounts  []string // of --allow-mount
	wide    bool     // up --measure
	traces  *tracing.Traces
}

// defaultFiles are tried in this order when -f is not given.
func defaultFiles() []string {
	return []string{"medianode.yaml", "medianode.yml", "pipeline.yaml", "pipeline.yml"}
}

// source is a pipeline file that was read and parsed.
type source struct {
	path string // as the user would write it
	dir  string // absolute; what the paths of the pipeline are relative to
	text []byte
	spec *pipeline.Spec
}

// parse reads the pipeline file. Mistakes come back as one error that shows
// them all; warnings go to stderr.
func (e *env) parse() (*source, error) {
	s, err := e.read()
	if err != nil {
		return nil, err
	}
	e.warn(s, s.spec.Warnings)
	return s, nil
}

// warn shows what is no error. Who cannot be told, as on a full disk, is not: a
// warning that nobody reads stops nothing.
func (e *env) warn(s *source, found pipeline.Diagnostics) {
	_ = found.Format(e.cli.Err(), s.text, e.color())
}

// read is parse without a word about warnings.
func (e *env) read() (*source, error) {
	path, others, err := e.find()
	if err != nil {
		return nil, exit(exitFailed, err.Error())
	}
	for _, other := range others {
		fmt.Fprintf(e.cli.Err(), "warning: %s is here too and is not read; name one with -f\n", other)
	}
	text, err := readBounded(path)
	if err != nil {
		return nil, exit(exitFailed, err.Error())
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	s := &source{path: path, dir: dir, text: text}
	catalog := builtin.Catalog()
	s.spec, err = pipeline.Parse(path, text, catalog)
	if err != nil {
		return nil, e.explain(s, err)
	}
	if wrong := s.leadOut(catalog); len(wrong) > 0 {
		return nil, e.explain(s, wrong)
	}
	return s, nil
}

// maxText is more than a pipeline file or a manifest may hold; who parses the
// text says so.
const maxText = 1<<20 + 1

// readBounded reads a file that may be a device or a pipe without an end.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	return io.ReadAll(io.LimitReader(f, maxText))
}

// find gives the pipeline file, and other default files that are beside it.
func (e *env) find() (path string, others []string, err error) {
	if e.file != "" {
		return e.file, nil, nil
	}
	var found []string
	for _, name := range defaultFiles() {
		if _, err := os.Stat(name); err == nil {
			found = append(found, name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
	}
	if len(found) > 0 {
		return found[0], found[1:], nil
	}
	return "", nil, fmt.Errorf("no pipeline file here: looked for %s; name one with -f", strings.Join(defaultFiles(), ", "))
}

// name is the project's name: -p, else metadata.name, else the directory's,
// made fit for compose.
func (e *env) name(s *source) (string, error) {
	wanted := e.project
	if wanted == "" {
		wanted = s.spec.Metadata.Name.V
	}
	if wanted == "" {
		wanted = filepath.Base(s.dir)
	}
	name := loader.NormalizeProjectName(wanted)
	if name == "" {
		return "", exit(exitUsage, fmt.Sprintf("project name %q has no letter or digit: give one with -p", wanted))
	}
	return name, nil
}

// checkProject refuses a -p that is not as compose wants it: directories are
// made and removed by this name.
func (e *env) checkProject() error {
	name := loader.NormalizeProjectName(e.project)
	if name == e.project {
		return nil
	}
	text := fmt.Sprintf("project name %q: want lower-case letters, digits, - and _, and a letter or digit first", e.project)
	if name != "" {
		text += fmt.Sprintf(", as in %q", name)
	}
	return exit(exitUsage, text)
}

// named is the project of the verbs that work without the pipeline file: -p,
// else the file's.
func (e *env) named() (string, error) {
	if e.project != "" {
		return e.project, nil
	}
	if e.file == "" {
		if _, _, err := e.find(); err != nil {
			return "", exit(exitFailed, err.Error()+", or the project with -p")
		}
	}
	s, err := e.parse()
	if err != nil {
		return "", exit(exitFailed, err.Error()+"\nwithout the file: name the project with -p")
	}
	return e.name(s)
}

// verb is a command of the same project, to be shown.
func (e *env) verb(name string) string {
	text := "docker medianode " + name
	switch {
	case e.project != "":
		return text + " -p " + e.project
	case e.file != "":
		return text + " -f " + e.file
	}
	return text
}

// known is a project and the engine that knows it.
func (e *env) known(ctx context.Context) (string, runtime.Engine, error) {
	project, err := e.named()
	if err != nil {
		return "", nil, err
	}
	engine, err := e.engine(ctx)
	return project, engine, err
}

// explain prints diagnostics with their source lines; other errors stay.
func (e *env) explain(s *source, err error) error {
	found, ok := pipeline.AsDiagnostics(err)
	if !ok {
		return err
	}
	var b bytes.Buffer
	if err := found.Format(&b, s.text, e.color()); err != nil {
		return err
	}
	return &mistakes{found, exit(exitFailed, strings.TrimRight(b.String(), "\n"))}
}

// mistakes are those of a pipeline file: for people as the text of an exit, and
// as they are.
type mistakes struct {
	found pipeline.Diagnostics
	shown error
}

func (m *mistakes) Error() string   { return m.shown.Error() }
func (m *mistakes) Unwrap() []error { return []error{m.shown, m.found} }

// color says whether stderr takes colours.
func (e *env) color() bool { return e.cli.Err().IsTerminal() && os.Getenv("NO_COLOR") == "" }

// stateDir keeps the project's compose file and reports.
func stateDir(project string) (string, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "medianode", project), nil
}
