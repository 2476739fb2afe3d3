// Package dockerfile writes Dockerfiles from typed instructions. It knows the
// grammar and nothing of what is built. There is no shell form, so no argument
// is ever read by a shell, and what cannot be written safely is an error.
package dockerfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// File is a Dockerfile: comment lines at its top, and its stages.
type File struct {
	Comment string
	Stages  []Stage
}

// Stage is what stands from one FROM to the next.
type Stage struct {
	From  string // image, or the name of a stage above
	Name  string
	Steps []Instruction
}

// Instruction is one instruction, or a comment.
type Instruction interface{ text() (string, error) }

// Bytes is the text of the file.
func (f File) Bytes() ([]byte, error) {
	var b bytes.Buffer
	var errs []error
	write := func(i Instruction) {
		text, err := i.text()
		errs = append(errs, err)
		b.WriteString(text + "\n")
	}
	if f.Comment != "" {
		write(Comment(f.Comment))
	}
	for _, s := range f.Stages {
		b.WriteByte('\n')
		write(from{s.From, s.Name})
		for _, i := range s.Steps {
			write(i)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("dockerfile: %w", err)
	}
	return bytes.TrimLeft(b.Bytes(), "\n"), nil
}

// Comment is one comment; each of its lines becomes one.
type Comment string

func (c Comment) text() (string, error) {
	if !utf8.ValidString(string(c)) {
		return "", fmt.Errorf("comment %q: want UTF-8", string(c))
	}
	lines := strings.Split(string(c), "\n")
	for i, l := range lines {
		if directive(l) {
			return "", fmt.Errorf("comment %q would be read as a directive", l)
		}
		lines[i] = strings.TrimRight("# "+l, " ")
	}
	return strings.Join(lines, "\n"), nil
}

type from struct{ image, name string }

func (f from) text() (string, error) {
	if err := plain("image", f.image); err != nil {
		return "", err
	}
	if f.name == "" {
		return "FROM " + f.image, nil
	}
	const letters, others = "abcdefghijklmnopqrstuvwxyz", "0123456789_.-"
	if !strings.Contains(letters, f.name[:1]) || strings.Trim(f.name, letters+others) != "" {
		return "", fmt.Errorf("stage %q: want lower-case letters, digits, _ . and -, and a letter first", f.name)
	}
	return "FROM " + f.image + " AS " + f.name, nil
}

// Run runs a program, without a shell.
type Run struct {
	Args    []string
	Mounts  []Mount
	Network string // none, host, or empty for the default
}

func (r Run) text() (string, error) {
	if len(r.Args) == 0 {
		return "", errors.New("run: no program")
	}
	var words []string
	if r.Network != "" {
		if err := oneOf("network", r.Network, "none", "host", "default"); err != nil {
			return "", err
		}
		words = append(words, "--network="+r.Network)
	}
	for _, m := range r.Mounts {
		flag, err := m.flag()
		if err != nil {
			return "", err
		}
		words = append(words, flag)
	}
	program, err := exec("run", r.Args)
	return "RUN " + strings.Join(append(words, program), " \\\n    "), err
}

// Mount is there for one Run and leaves nothing in the image.
type Mount struct {
	Type    string // bind, cache, secret, tmpfs
	ID      string
	From    string // stage that Source is in; empty for the context
	Source  string
	Target  string
	Sharing string // shared, private, locked, or empty for the default
}

// Bind shows a file of the context.
func Bind(source, target string) Mount { return Mount{Type: "bind", Source: source, Target: target} }

// Cache keeps a directory from build to build; builds use it one at a time.
func Cache(target string) Mount { return Mount{Type: "cache", Target: target, Sharing: "locked"} }

// Secret shows a secret as a file, if the builder has it.
func Secret(id, target string) Mount { return Mount{Type: "secret", ID: id, Target: target} }

func (m Mount) flag() (string, error) {
	if err := oneOf("mount type", m.Type, "bind", "cache", "secret", "tmpfs"); err != nil {
		return "", err
	}
	if m.Target == "" {
		return "", errors.New("mount: no target")
	}
	if m.Sharing != "" {
		if err := oneOf("sharing", m.Sharing, "shared", "private", "locked"); err != nil {
			return "", err
		}
	}
	flag := "--mount=type=" + m.Type
	for _, field := range [...][2]string{{"id", m.ID}, {"from", m.From}, {"source", m.Source}, {"target", m.Target}, {"sharing", m.Sharing}} {
		if field[1] == "" {
			continue
		}
		if err := plain("mount "+field[0], field[1]); err != nil {
			return "", err
		}
		flag += "," + field[0] + "=" + field[1]
	}
	return flag, nil
}

// Copy copies files of the context, or of another stage.
type Copy struct {
	From   string // stage; empty for the context
	Chown  string // uid:gid; empty for root
	Link   bool   // a layer of its own, whatever is below it
	Source string
	Target string
}

func (c Copy) text() (string, error) {
	words := []string{"COPY"}
	if c.From != "" {
		words = append(words, "--from="+c.From)
	}
	if c.Chown != "" {
		words = append(words, "--chown="+c.Chown)
	}
	if c.Link {
		words = append(words, "--link")
	}
	for i, w := range []string{c.Source, c.Target, c.From, c.Chown} {
		if err := plain("copy", w); err != nil && (w != "" || i < 2) {
			return "", err
		}
	}
	return strings.Join(append(words, c.Source, c.Target), " "), nil
}

// Var is one variable. With Expand, $NAME in Value is the variable's value so
// far; without, it is text.
type Var struct {
	Name, Value string
	Expand      bool
}

// Env sets variables.
type Env []Var

func (e Env) text() (string, error) { return pairs("ENV", e) }

// Label sets labels.
type Label []Var

func (l Label) text() (string, error) { return pairs("LABEL", l) }

func pairs(keyword string, vars []Var) (string, error) {
	words := make([]string, len(vars))
	for i, v := range vars {
		if err := plain(strings.ToLower(keyword), v.Name); err != nil {
			return "", err
		}
		value, err := quote(v.Value, v.Expand)
		if err != nil {
			return "", err
		}
		words[i] = v.Name + "=" + value
	}
	return keyword + " " + strings.Join(words, " \\\n    "), nil
}

// Workdir sets the working directory, and makes it.
type Workdir string

func (w Workdir) text() (string, error) { return "WORKDIR " + string(w), plain("workdir", string(w)) }

// User sets who runs what follows: numbers, uid:gid.
type User string

func (u User) text() (string, error) { return "USER " + string(u), plain("user", string(u)) }

// StopSignal sets the signal that asks the container to end.
type StopSignal string

func (s StopSignal) text() (string, error) {
	return "STOPSIGNAL " + string(s), plain("stop signal", string(s))
}

// Entrypoint sets what Cmd is given to; empty clears that of the base.
type Entrypoint []string

func (e Entrypoint) text() (string, error) {
	program, err := exec("entrypoint", e)
	return "ENTRYPOINT " + program, err
}

// Cmd sets the program of the container.
type Cmd []string

func (c Cmd) text() (string, error) {
	program, err := exec("cmd", c)
	return "CMD " + program, err
}

// exec is the exec form. The instructions that take it expand no variables in
// it, and JSON has no raw line end.
func exec(what string, args []string) (string, error) {
	words := make([]string, len(args))
	for i, a := range args {
		if !utf8.ValidString(a) {
			return "", fmt.Errorf("%s %q: want UTF-8", what, a)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(a); err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		words[i] = strings.TrimSpace(b.String())
	}
	return "[" + strings.Join(words, ", ") + "]", nil
}

// quote is a value in double quotes, as ENV and LABEL read it.
func quote(s string, expand bool) (string, error) {
	if strings.ContainsAny(s, "\n\r\x00") || !utf8.ValidString(s) {
		return "", fmt.Errorf("value %q: want UTF-8 on one line", s)
	}
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
	if !expand {
		s = strings.ReplaceAll(s, "$", `\$`)
	}
	return `"` + s + `"`, nil
}

// plain admits words that mean themselves wherever they stand.
func plain(what, s string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./@+"
	if s == "" || !strings.Contains(letters, s[:1]) || strings.Trim(s, letters+":-") != "" {
		return fmt.Errorf("%s %q: want letters, digits and _ . / : @ + - only", what, s)
	}
	return nil
}

func oneOf(what, s string, words ...string) error {
	if slices.Contains(words, s) {
		return nil
	}
	return fmt.Errorf("%s %q: want %s", what, s, strings.Join(words, ", "))
}

// directive tells a comment that BuildKit would obey.
func directive(line string) bool {
	name, _, assigned := strings.Cut(line, "=")
	return assigned && slices.Contains([]string{"syntax", "escape", "check"}, strings.ToLower(strings.TrimSpace(name)))
}
