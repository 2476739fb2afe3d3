package dockerfile_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/medianode/docker-medianode/generate/dockerfile"
)

// everything uses each instruction once.
func everything() dockerfile.File {
	return dockerfile.File{
		Comment: "first line\nsecond line",
		Stages: []dockerfile.Stage{
			{From: "python:3.11-slim", Name: "builder", Steps: []dockerfile.Instruction{
				dockerfile.Run{Args: []string{"python3", "-m", "venv", "/opt/venv"}, Network: "none"},
				dockerfile.Run{Args: []string{"echo", "a b", `c"d`, "$HOME", `\`, "<<EOF", "é", "new\nline", "x'y", "# no comment"},
					Mounts: []dockerfile.Mount{
						dockerfile.Cache("/root/.cache/pip"), dockerfile.Secret("ca", "/run/secrets/ca"),
						dockerfile.Bind("build.py", "/run/build.py"), {Type: "bind", From: "tools", Source: "/opt", Target: "/run/opt"},
					}},
			}},
			{From: "python:3.11-slim", Name: "runtime", Steps: []dockerfile.Instruction{
				dockerfile.Comment("the venv"),
				dockerfile.Copy{From: "builder", Link: true, Chown: "1000:1000", Source: "/opt/venv", Target: "/opt/venv"},
				dockerfile.Env{{Name: "PATH", Value: "/opt/venv/bin:$PATH", Expand: true}, {Name: "ODD", Value: `a "b" \ $c`}},
				dockerfile.Label{{Name: "dev.medianode.x", Value: `q"$`}},
				dockerfile.Workdir("/app"),
				dockerfile.Copy{Source: "app/", Target: "/app/"},
				dockerfile.User("1000:1000"), dockerfile.StopSignal("SIGTERM"),
				dockerfile.Entrypoint{}, dockerfile.Cmd{"python", "-m", "medianode"},
			}},
		},
	}
}

func TestArgumentsSurviveBuildKitsParser(t *testing.T) {
	text, err := everything().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := parser.Parse(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	stages, _, err := instructions.Parse(tree.AST, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	run, ok := stages[0].Commands[1].(*instructions.RunCommand)
	if !ok || run.PrependShell {
		t.Fatalf("not an exec form: %#v", stages[0].Commands[1])
	}
	want := everything().Stages[0].Steps[1].(dockerfile.Run).Args
	if got, wanted := toJSON(t, run.CmdLine), toJSON(t, want); got != wanted {
		t.Errorf("arguments changed:\n got %s\nwant %s", got, wanted)
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLinterFindsNothing(t *testing.T) {
	text, err := everything().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	source := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", text)
	source.Definition = &llb.Definition{}
	result, err := dockerfile2llb.DockerfileLint(context.Background(), text, dockerfile2llb.ConvertOpt{
		SourceMap: source, TargetPlatform: &ocispecs.Platform{OS: "linux", Architecture: "amd64"}, MetaResolver: emptyBase{},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if result.Error != nil {
		t.Errorf("%v\n%s", result.Error.Message, text)
	}
	for _, w := range result.Warnings {
		t.Errorf("%s: %s", w.RuleName, w.Detail)
	}
}

// emptyBase answers for every base image.
type emptyBase struct{}

func (emptyBase) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, "", []byte(`{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/bin"]},"rootfs":{"type":"layers"}}`), nil
}

func TestUnsafeWordsAreRefused(t *testing.T) {
	for name, step := range map[string]dockerfile.Instruction{
		"space in a copy":     dockerfile.Copy{Source: "a b", Target: "/x"},
		"variable in a copy":  dockerfile.Copy{Source: "$HOME", Target: "/x"},
		"flag as a source":    dockerfile.Copy{Source: "--from=x", Target: "/x"},
		"comma in a stage":    dockerfile.Run{Args: []string{"x"}, Mounts: []dockerfile.Mount{{Type: "bind", From: "a,rw", Target: "/x"}}},
		"comma in a mount":    dockerfile.Run{Args: []string{"x"}, Mounts: []dockerfile.Mount{dockerfile.Cache("/x,from=y")}},
		"line end in a value": dockerfile.Env{{Name: "A", Value: "1\nUSER 0"}},
		"space in a name":     dockerfile.Env{{Name: "A B", Value: "1"}},
		"line end in a user":  dockerfile.User("1000\nRUN x"),
		"directive":           dockerfile.Comment("syntax=example.org/frontend"),
		"no program":          dockerfile.Run{},
	} {
		t.Run(name, func(t *testing.T) {
			f := dockerfile.File{Stages: []dockerfile.Stage{{From: "scratch", Steps: []dockerfile.Instruction{step}}}}
			if text, err := f.Bytes(); err == nil {
				t.Errorf("no error:\n%s", text)
			}
		})
	}
}

func FuzzExecFormKeepsArguments(f *testing.F) {
	f.Add("a b", "$x \\ \" ' <<E\n#")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			t.Skip("the exec form is UTF-8")
		}
		file := dockerfile.File{Stages: []dockerfile.Stage{{From: "scratch", Steps: []dockerfile.Instruction{dockerfile.Run{Args: []string{"x", a, b}}}}}}
		text, err := file.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		stages, err := parse(string(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if got := stages[0].Commands[0].(*instructions.RunCommand).CmdLine; toJSON(t, got) != toJSON(t, []string{"x", a, b}) {
			t.Errorf("got %q, want %q and %q", got, a, b)
		}
	})
}

func parse(text string) ([]instructions.Stage, error) {
	tree, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(tree.AST, nil)
	if err == nil && len(stages) != 1 {
		err = errors.New("not one stage")
	}
	return stages, err
}
