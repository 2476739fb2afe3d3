package generate_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"

	"github.com/medianode/docker-medianode/generate"
)

// source is a directory src with these files, which hold their own names, and
// this .dockerignore.
func source(ignore string, names ...string) fstest.MapFS {
	files := fstest.MapFS{"src/m.py": {Data: []byte("class C: pass\n")}}
	for _, name := range names {
		files["src/"+name] = &fstest.MapFile{Data: []byte(name)}
	}
	if ignore != "" {
		files["src/.dockerignore"] = &fstest.MapFile{Data: []byte(ignore)}
	}
	return files
}

// appFiles are the code in the first image of a pipeline, and what was left out.
func appFiles(t testing.TB, files fs.FS) (code string, left []string) {
	t.Helper()
	img := must(t, one(""), attached(), files).Images[0]
	var names []string
	for _, f := range img.Context {
		if name, ok := strings.CutPrefix(f.Path, "app/"); ok {
			names = append(names, name)
		}
	}
	return strings.Join(names, " "), img.Left
}

func TestDockerignore(t *testing.T) {
	for ignore, want := range map[string]string{
		"":                            "a/b/c.txt a/b/d.py a/c.txt c.txt m.py | ",
		"\ufeffc.txt\r\n":             "a/b/c.txt a/b/d.py a/c.txt m.py | .dockerignore c.txt",
		"# c.txt\n\n  /c.txt  \n":     "a/b/c.txt a/b/d.py a/c.txt m.py | .dockerignore c.txt",
		"**/c.txt":                    "a/b/d.py m.py | .dockerignore a/b/c.txt a/c.txt c.txt",
		"*/c.txt":                     "a/b/c.txt a/b/d.py c.txt m.py | .dockerignore a/c.txt",
		"a":                           "c.txt m.py | .dockerignore a/",
		"a/**":                        "c.txt m.py | .dockerignore a/b/ a/c.txt",
		"./a/../a/b/":                 "a/c.txt c.txt m.py | .dockerignore a/b/",
		"*\n!m.py":                    "m.py | .dockerignore a/ c.txt",
		"*\n!**/*.py":                 "a/b/d.py m.py | .dockerignore a/ c.txt",
		"a\n!a/b/d.py":                "a/b/d.py c.txt m.py | .dockerignore a/",
		"!a\na":                       "c.txt m.py | .dockerignore a/",
		"a/b\n!a/b\na/b/c.*":          "a/b/d.py a/c.txt c.txt m.py | .dockerignore a/b/c.txt",
		"[a-b]/?/*.p[xy]\nnone\n.\n/": "a/b/c.txt a/c.txt c.txt m.py | .dockerignore a/b/d.py",
	} {
		code, left := appFiles(t, source(ignore, "c.txt", "a/c.txt", "a/b/c.txt", "a/b/d.py"))
		if got := code + " | " + strings.Join(left, " "); got != want {
			t.Errorf("%q:\n got %s\nwant %s", ignore, got, want)
		}
	}
}

// TestDockerignoreIsDockers holds the choice of files against that of BuildKit's
// own client, over patterns at random.
func TestDockerignoreIsDockers(t *testing.T) {
	dir := t.TempDir()
	tree := source("", "a", "b/a", "b/c/a", "b/c/b", "b/ab", "c/c/c/c", "c/a.b", "ab/a/b", "ab/b", "x y")
	if err := os.CopyFS(dir, tree); err != nil {
		t.Fatal(err)
	}
	parts := []string{"a", "b", "c", "ab", "*", "**", "?", "[ab]", "a*", "*b", "..", ".", "x y", "**b", "[^a]", "\\a", "", "a.b"}
	random := rand.New(rand.NewPCG(1, 2))
	runs := 4000
	if testing.Short() {
		runs = 400
	}
	kept := map[string]bool{}
	for range runs {
		text := "!m.py\n"
		for range 1 + random.IntN(5) {
			pattern := []string{"", "", "!"}[random.IntN(3)]
			for i := range 1 + random.IntN(4) {
				if i > 0 {
					pattern += "/"
				}
				pattern += parts[random.IntN(len(parts))]
			}
			text += pattern + "\n"
		}
		text += "!m.py\n"
		if err := os.WriteFile(dir+"/src/.dockerignore", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		plan, err := resolve(t, one(""), attached(), os.DirFS(dir))
		want, dockers := dockerChoice(t, dir+"/src", text)
		if (err == nil) != (dockers == nil) {
			t.Fatalf("%q: %v, but Docker: %v", text, err, dockers)
		}
		if err != nil {
			continue
		}
		var got []string
		for _, f := range plan.Images[0].Context {
			if name, ok := strings.CutPrefix(f.Path, "app/"); ok {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q:\n got %q\nwant %q", text, got, want)
		}
		kept[fmt.Sprint(got)] = true
	}
	if len(kept) < 50 {
		t.Errorf("only %d different choices: the patterns say too little", len(kept))
	}
}

// dockerChoice are the files that docker build would send.
func dockerChoice(t *testing.T, dir, ignore string) (names []string, err error) {
	t.Helper()
	patterns, err := ignorefile.ReadAll(strings.NewReader(ignore))
	if err != nil {
		return nil, err
	}
	err = fsutil.WalkDir(context.Background(), dir, &fsutil.FilterOpt{ExcludePatterns: patterns}, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && name != ".dockerignore" {
			names = append(names, name)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

func TestWhatIsNoCode(t *testing.T) {
	secrets := []string{
		".env", ".env.local", "x/.env", "a.pem", "a.key", "a.p12", "id_rsa", "id_ed25519.pub", ".ssh/config", ".netrc", ".aws/credentials", ".pypirc",
	}
	others := []string{
		".git/config", ".hg/x", ".svn/x", "x/__pycache__/m.pyc", "m.pyc", ".pytest_cache/x", ".mypy_cache/x", ".ruff_cache/x", ".ipynb_checkpoints/x",
		".venv/x", "venv/x", "own/pyvenv.cfg", "own/lib/x.py", "node_modules/x", ".DS_Store", ".idea/x", ".vscode/x", ".m.py.swp", "m.py~", "#m.py#", ".#m.py",
	}
	code := []string{"id_map.py", "keys.py", "environment.py", "env/x.py", "git/x.py", "pem.py", "key.txt", "my.venv/x", ".gitignore"}
	all := slices.Concat(secrets, others, code)
	want := strings.Join(slices.Sorted(slices.Values(append(code, "m.py"))), " ")
	if got, _ := appFiles(t, source("", all...)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	_, left := appFiles(t, source("", ".git/config", ".env", "x/__pycache__/m.pyc", "own/pyvenv.cfg", ".ssh/a"))
	if got := strings.Join(left, " "); got != ".env .git/ .ssh/ own/ x/__pycache__/" {
		t.Errorf("left out: %s", got)
	}
}

// TestBroughtBack: a line that begins with ! brings back what it names, but no
// secret.
func TestBroughtBack(t *testing.T) {
	names := []string{
		".env", "sub/.env", "a.pem", "id_rsa", ".git/config", "sub/.git/config", "venv/x.py", "venv/__pycache__/x.pyc", "own/pyvenv.cfg", "own/.env", "sub/x.py", "sub/node_modules/x",
	}
	for ignore, want := range map[string]string{
		"!**":                               "m.py sub/x.py",
		"!sub":                              "m.py sub/x.py",
		"*\n!sub":                           "sub/x.py",
		"!.env\n!**/.env\n!*.pem\n!id_*":    "m.py sub/x.py",
		"!venv":                             "m.py sub/x.py venv/x.py",
		"!venv/x.py":                        "m.py sub/x.py venv/x.py",
		"!venv\n!**/__pycache__":            "m.py sub/x.py venv/x.py",
		"!venv\n!**/__pycache__\n!*.pyc":    "m.py sub/x.py venv/x.py",
		"!venv\n!**/__pycache__\n!**/*.pyc": "m.py sub/x.py venv/__pycache__/x.pyc venv/x.py",
		"!.git":                             ".git/config m.py sub/x.py",
		"!**/.git":                          ".git/config m.py sub/.git/config sub/x.py",
		"!sub/.git":                         "m.py sub/.git/config sub/x.py",
		"!own":                              "m.py own/pyvenv.cfg sub/x.py",
		"!sub/node_modules\nsub":            "m.py",
		"!.dockerignore":                    ".dockerignore m.py sub/x.py",
	} {
		files := source(ignore, names...)
		if strings.HasPrefix(ignore, "*") {
			files["src/.dockerignore"].Data = append(files["src/.dockerignore"].Data, "\n!m.py"...)
			want = "m.py " + want
		}
		if got, _ := appFiles(t, files); got != want {
			t.Errorf("%q:\n got %s\nwant %s", ignore, got, want)
		}
	}
}

func ignoreMistakes() map[string]wrong {
	with := func(files fstest.MapFS, name string, f *fstest.MapFile) fstest.MapFS {
		files[name] = f
		return files
	}
	many := source("")
	for i := range 20_001 {
		many[fmt.Sprintf("src/%d", i)] = &fstest.MapFile{}
	}
	return map[string]wrong{
		"bad pattern":      {one(""), source("a\n\n# b\n [a\n"), `pipeline.yaml:6:15: nodes[0].docker.source: "src/.dockerignore" line 4: "[a" is not a pattern: syntax error in pattern`},
		"bad regexp":       {one(""), source("a\n**/[z-a]\n"), `"src/.dockerignore" line 2: "**/[z-a]" is not a pattern: syntax error in pattern`},
		"bare !":           {one(""), source("a\n!\n"), `"src/.dockerignore" line 2: "!" is not a pattern: `},
		"too large":        {one(""), source(strings.Repeat("a\n", 33<<10)), `"src/.dockerignore" has more than 64 KiB`},
		"is a directory":   {one(""), with(source(""), "src/.dockerignore/x", &fstest.MapFile{}), `"src/.dockerignore" is a directory`},
		"leads out":        {one(""), with(source(""), "src/.dockerignore", link("../../x")), `"src/.dockerignore" leads out of the project`},
		"leads nowhere":    {one(""), with(source(""), "src/.dockerignore", link("x")), `"src/.dockerignore" does not exist`},
		"module":           {one(""), source("*.py\n"), `6:15: nodes[0].docker.source: "src/.dockerignore" leaves out m.py of node_type m:C`},
		"package":          {strings.Replace(one(""), "m:C", "p.q:C", 1), source("p\n!p/x", "p/q/__init__.py", "p/x"), `"src/.dockerignore" leaves out p/q/__init__.py of node_type p.q:C`},
		"module in a venv": {strings.Replace(one(""), "m:C", "venv.m:C", 1), source("", "venv/m.py"), `venv/m.py of node_type venv.m:C is left out: venv/ is no name of code`},
		"no module at all": {strings.Replace(one(""), "m:C", "n:C", 1), source("n.py"), `"src" has neither n.py nor n/__init__.py`},
		"link to a secret": {one(""), with(source("", ".env"), "src/config", link(".env")), `"src/config" is a symbolic link to "src/.env", which may hold secrets`},
		"many files":       {one(""), many, `"src" holds more than 20000 files`},
	}
}

func TestIgnoreMistakes(t *testing.T) {
	for name, c := range ignoreMistakes() {
		t.Run(name, func(t *testing.T) {
			_, err := resolve(t, c.text, attached(), c.files)
			if err == nil {
				t.Fatal("no error")
			}
			if got := diagnostics(t, err); !strings.Contains(got, c.want) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	_, err := resolve(t, one(""), attached(), source("*.py\n"))
	if got := hints(t, err); got != "end it with the line !m.py" {
		t.Errorf("hint %s", got)
	}
}

// TestWhatIsLeftOutMayBeAnything: nobody looks at what no image gets.
func TestWhatIsLeftOutMayBeAnything(t *testing.T) {
	files := source("big\nlink\n", "x")
	files["src/big"] = &fstest.MapFile{Data: make([]byte, 65<<20)}
	files["src/link"], files["src/venv"], files["src/.env"] = link("/etc"), link("../.."), &fstest.MapFile{Mode: fs.ModeSocket}
	if got, left := appFiles(t, files); got != "m.py x" || len(left) != 5 {
		t.Errorf("got %s, left %v", got, left)
	}
}

// TestUnreadableDirectory is about one that is left out, and one that is not.
func TestUnreadableDirectory(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := t.TempDir()
	if err := errors.Join(os.CopyFS(dir, source("*\n!**/*.py\n")), os.Mkdir(dir+"/src/data", 0)); err != nil {
		t.Fatal(err)
	}
	if got, _ := appFiles(t, os.DirFS(dir)); got != "m.py" {
		t.Errorf("got %s", got)
	}
	if err := os.WriteFile(dir+"/src/.dockerignore", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := resolve(t, one(""), attached(), os.DirFS(dir)); err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v", err)
	}
}

// restless is a file system in which src/m.py is written while it is read, so
// many times.
type restless struct {
	fstest.MapFS
	changes int
	bytes   int // that it has then; 0: as many as before, other ones
}

func (r *restless) Open(name string) (fs.File, error) {
	f, err := r.MapFS.Open(name)
	if name != "src/m.py" || err != nil || r.changes == 0 {
		return f, err
	}
	r.changes--
	now := *r.MapFS[name]
	now.ModTime = now.ModTime.Add(1)
	now.Data = []byte(strings.Repeat(string('a'+rune(r.changes%26)), max(r.bytes, len(now.Data))))
	r.MapFS[name] = &now
	after, err := r.MapFS.Open(name)
	return &written{File: f, after: after}, err
}

func (r *restless) ReadFile(string) ([]byte, error) { return nil, errors.New("not asked for") }

// written is a file that changes after its first Stat.
type written struct {
	fs.File
	after fs.File
	read  bool
}

func (w *written) Stat() (fs.FileInfo, error) {
	if w.read {
		return w.after.Stat()
	}
	return w.File.Stat()
}

func (w *written) Read(p []byte) (int, error) {
	w.read = true
	return w.after.Read(p)
}

func TestFileThatChangesWhileItIsRead(t *testing.T) {
	img := must(t, one(""), attached(), &restless{MapFS: source(""), changes: 2}).Images[0]
	if i := slices.IndexFunc(img.Context, func(f generate.File) bool { return f.Path == "app/m.py" }); string(img.Context[i].Data) != "aaaaaaaaaaaaaa" {
		t.Errorf("read %q", img.Context[i].Data)
	}
	for want, files := range map[string]*restless{
		`"src/m.py" changes while it is read: try again`: {MapFS: source(""), changes: 100},
		`"src" holds 65 MiB, more than 64 MiB`:           {MapFS: source(""), changes: 1, bytes: 65 << 20},
	} {
		if _, err := resolve(t, one(""), attached(), files); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestSharedSourceIsReadOnce: nodes with one source have the same bytes.
func TestSharedSourceIsReadOnce(t *testing.T) {
	files := &restless{MapFS: source(""), changes: 1}
	text := one("") + strings.TrimPrefix(strings.Replace(one(""), "id: a", "id: b", 1), "version: v1\nnodes:\n")
	p := must(t, text, attached(), files)
	if files.changes != 0 || p.Images[0].Key != p.Images[1].Key {
		t.Errorf("%d changes left, %s and %s", files.changes, p.Images[0].Key, p.Images[1].Key)
	}
}

func TestPlanTellsWhatIsLeftOut(t *testing.T) {
	p := must(t, one(""), attached(), source("data\n", "data/x", ".git/x", ".env", "a.pem", "b.pem", "c.pem"))
	if want := "\n  a: left out of its code: .dockerignore, .env, .git/, a.pem, and 3 more\n"; !strings.Contains(p.String(), want) {
		t.Errorf("no %q in\n%s", want, p)
	}
}
