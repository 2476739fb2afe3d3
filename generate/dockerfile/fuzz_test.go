package dockerfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/medianode/docker-medianode/generate/dockerfile"
)

// step is an instruction made of any texts, and what BuildKit must read.
type step struct {
	instruction dockerfile.Instruction
	check       func(instructions.Command) error
}

func differs(got, want any) error {
	if g, w := fmt.Sprintf("%q", got), fmt.Sprintf("%q", want); g != w {
		return fmt.Errorf("got %s, want %s", g, w)
	}
	return nil
}

// unquoted is a value of ENV or LABEL as a builder without variables has it.
func unquoted(s string) string {
	out, _, err := shell.NewLex('\\').ProcessWord(s, shell.EnvsFromSlice(nil))
	if err != nil {
		return "error: " + err.Error()
	}
	return out
}

// steps are all instructions, with three texts in each place there is.
func steps(a, b, c string) []step {
	return []step{
		{dockerfile.Run{Args: []string{a, b, c}}, func(got instructions.Command) error {
			run, ok := got.(*instructions.RunCommand)
			if !ok || run.PrependShell || len(run.Files) > 0 || len(run.FlagsUsed) > 0 {
				return fmt.Errorf("%+v", got)
			}
			return differs(run.CmdLine, []string{a, b, c})
		}},
		{dockerfile.Run{Args: []string{"x"}, Network: a}, func(got instructions.Command) error {
			run, ok := got.(*instructions.RunCommand)
			if !ok || run.PrependShell || a != "" && instructions.GetNetwork(run) != a {
				return fmt.Errorf("%+v", got)
			}
			return differs(run.CmdLine, []string{"x"})
		}},
		{dockerfile.Run{Args: []string{"x"}, Mounts: []dockerfile.Mount{{Type: "bind", Source: a, Target: b}, {Type: "cache", ID: c, Target: "/x"}}}, mounts("bind", a, b, "cache", "", "/x")},
		{dockerfile.Run{Args: []string{"x"}, Mounts: []dockerfile.Mount{{Type: a, Target: b}}}, mounts(a, "", b)},
		{dockerfile.Run{Args: []string{"x"}, Mounts: []dockerfile.Mount{{Type: "cache", Target: a, Sharing: b}}}, mounts("cache", "", a)},
		{dockerfile.Copy{Source: a, Target: b, From: c}, copies(a, b, c)},
		{dockerfile.Copy{Source: a, Target: b, Chown: c, Link: true}, copies(a, b, "")},
		{dockerfile.Env{{Name: a, Value: b}}, func(got instructions.Command) error {
			env, ok := got.(*instructions.EnvCommand)
			if !ok || len(env.Env) != 1 {
				return fmt.Errorf("%+v", got)
			}
			return differs([]string{env.Env[0].Key, unquoted(env.Env[0].Value)}, []string{a, b})
		}},
		{dockerfile.Label{{Name: a, Value: b}}, func(got instructions.Command) error {
			label, ok := got.(*instructions.LabelCommand)
			if !ok || len(label.Labels) != 1 {
				return fmt.Errorf("%+v", got)
			}
			return differs([]string{label.Labels[0].Key, unquoted(label.Labels[0].Value)}, []string{a, b})
		}},
		{dockerfile.Workdir(a), func(got instructions.Command) error {
			w, ok := got.(*instructions.WorkdirCommand)
			if !ok {
				return fmt.Errorf("%+v", got)
			}
			return differs(w.Path, a)
		}},
		{dockerfile.User(a), func(got instructions.Command) error {
			u, ok := got.(*instructions.UserCommand)
			if !ok {
				return fmt.Errorf("%+v", got)
			}
			return differs(u.User, a)
		}},
		{dockerfile.StopSignal(a), func(got instructions.Command) error {
			s, ok := got.(*instructions.StopSignalCommand)
			if !ok {
				return fmt.Errorf("%+v", got)
			}
			return differs(s.Signal, a)
		}},
		{dockerfile.Entrypoint{a, b}, func(got instructions.Command) error {
			e, ok := got.(*instructions.EntrypointCommand)
			if !ok || e.PrependShell || len(e.Files) > 0 {
				return fmt.Errorf("%+v", got)
			}
			return differs(e.CmdLine, []string{a, b})
		}},
		{dockerfile.Cmd{a, b}, func(got instructions.Command) error {
			e, ok := got.(*instructions.CmdCommand)
			if !ok || e.PrependShell || len(e.Files) > 0 {
				return fmt.Errorf("%+v", got)
			}
			return differs(e.CmdLine, []string{a, b})
		}},
		{dockerfile.Comment(a + "\n" + b), nil},
	}
}

// mounts are type, source and target of each.
func mounts(want ...string) func(instructions.Command) error {
	return func(got instructions.Command) error {
		run, ok := got.(*instructions.RunCommand)
		if !ok || run.PrependShell || len(run.FlagsUsed) != 1 || run.FlagsUsed[0] != "mount" {
			return fmt.Errorf("%+v", got)
		}
		if err := run.Expand(func(word string) (string, error) { return word, nil }); err != nil {
			return err
		}
		var have []string
		for _, m := range instructions.GetMounts(run) {
			have = append(have, string(m.Type), m.Source, m.Target)
		}
		return errors.Join(differs(have, want), differs(run.CmdLine, []string{"x"}))
	}
}

func copies(source, target, from string) func(instructions.Command) error {
	return func(got instructions.Command) error {
		c, ok := got.(*instructions.CopyCommand)
		if !ok || len(c.SourceContents) > 0 {
			return fmt.Errorf("%+v", got)
		}
		return differs([]string{fmt.Sprint(c.SourcePaths), c.DestPath, c.From}, []string{fmt.Sprint([]string{source}), target, from})
	}
}

// FuzzDockerfile puts any text into any place of any instruction, with nothing
// before it that would refuse: either it is an error, or BuildKit reads the
// instructions that were given, each with its own texts, and no other.
func FuzzDockerfile(f *testing.F) {
	for _, s := range []string{
		"", "a", "a b", "$HOME", "${X:-y}", "x\nRUN id", "x\\", "\\", `"`, "'", "#", "# syntax=evil", "<<EOF", "x && id", "$(id)", "`id`", "--from=x", "-", "a,b", "a=b",
		"é", "\u2028", "\x00", "\t", "\r", "x\r\nRUN id", "\u00a0", "type=bind", "none", "host", "secret", "cache", "1000:1000", "/x", "[", `["a"]`, "\ufeff", "escape=`", "check=skip=all", "AS",
	} {
		f.Add(s, "b", "c", "img", "stage")
		f.Add("/a", s, "c", "img", "stage")
		f.Add("/a", "/b", s, "img", "stage")
		f.Add("a", "b", "c", s, "stage")
		f.Add("a", "b", "c", "img", s)
	}
	f.Fuzz(func(t *testing.T, a, b, c, image, name string) {
		for i, s := range steps(a, b, c) {
			file := dockerfile.File{Comment: a, Stages: []dockerfile.Stage{{From: image, Name: name, Steps: []dockerfile.Instruction{
				dockerfile.Comment("before"), s.instruction, dockerfile.Comment("after"), dockerfile.Workdir("/last"),
			}}}}
			if strings.Contains(a, "=") || i > 0 {
				file.Comment = ""
			}
			text, err := file.Bytes()
			if err != nil {
				continue
			}
			if err := readsAs(string(text), s, image, name); err != nil {
				t.Errorf("step %d, %T: %v\n%s", i, s.instruction, err, text)
			}
		}
	})
}

func readsAs(text string, s step, image, name string) error {
	stages, err := parse(text)
	if err != nil {
		return err
	}
	if stages[0].BaseName != image || stages[0].Name != name {
		return fmt.Errorf("stage %q from %q", stages[0].Name, stages[0].BaseName)
	}
	commands := stages[0].Commands
	if s.check != nil {
		if len(commands) == 0 {
			return errors.New("no instruction")
		}
		if err := s.check(commands[0]); err != nil {
			return err
		}
		commands = commands[1:]
	}
	if len(commands) != 1 {
		return fmt.Errorf("%d more instructions", len(commands))
	}
	last, ok := commands[0].(*instructions.WorkdirCommand)
	if !ok || last.Path != "/last" {
		return fmt.Errorf("the last is %+v", commands[0])
	}
	return nil
}
