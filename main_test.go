package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/medianode/docker-medianode"

// imports is the architecture: what each package of the module may import of
// the others. Whoever adds a line here changes the design, and says why.
var imports = map[string][]string{
	"":                            {"plugin"},
	"plugin":                      {"generate", "generate/image", "generate/image/base", "generate/image/cache", "generate/image/store", "plugin/doctor", "plugin/metrics", "plugin/tracing", "runtime", "runtime/builtin", "runtime/channel", "runtime/iox", "runtime/node", "runtime/python", "schemas/graph", "schemas/origin", "schemas/pipeline"},
	"plugin/doctor":               {"runtime", "runtime/channel"}, // where projects lie, and the proof of shared memory
	"plugin/metrics":              {"runtime", "runtime/channel"}, // what has been counted, as Prometheus reads it
	"plugin/tracing":              {"runtime/channel"},            // where spans go
	"schemas":                     {},                             // the JSON Schema as a file
	"schemas/origin":              {},
	"schemas/graph":               {"schemas/pipeline"}, // draws what the language says
	"schemas/pipeline":            {},
	"generate":                    {"generate/dockerfile", "runtime/channel", "schemas/pipeline"},
	"generate/dockerfile":         {},
	"generate/image":              {"generate"},
	"generate/image/base":         {"generate/image", "schemas/pipeline"}, // what a base image is like, judged before a build
	"generate/image/cache":        {"generate", "generate/image", "generate/image/store"},
	"generate/image/store":        {}, // rows in a file: no engine, no plan
	"runtime":                     {"runtime/channel", "runtime/node"},
	"runtime/builtin":             {"runtime/channel", "runtime/node", "schemas/pipeline"},
	"runtime/channel":             {},
	"runtime/channel/channeltest": {"runtime/channel"},
	"runtime/enginetest":          {},
	"runtime/iox":                 {"runtime/channel"},
	"runtime/node":                {"runtime/channel"},
	"runtime/python":              {},
}

// pure packages decide and do not act: no files, no network, no clock.
var pure = []string{"schemas/graph", "schemas/origin", "schemas/pipeline", "generate", "generate/dockerfile"}

type goPackage struct {
	ImportPath string
	Imports    []string
	CgoFiles   []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,CgoFiles", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []goPackage
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportTable(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if name == "bench" || name == "examples" { // they measure and test the rest
			continue
		}
		allowed, ok := imports[name]
		if !ok {
			t.Errorf("package %s is not in the table", name)
			continue
		}
		for _, i := range p.Imports {
			if own, ok := strings.CutPrefix(i, module+"/"); ok && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s", name, own)
			}
		}
	}
}

func TestPurePackagesDoNotAct(t *testing.T) {
	for _, p := range packages(t) {
		if !slices.Contains(pure, strings.TrimPrefix(p.ImportPath, module+"/")) {
			continue
		}
		for _, bad := range []string{"os", "os/exec", "net", "net/http", "time", "io/ioutil"} {
			if slices.Contains(p.Imports, bad) {
				t.Errorf("%s imports %s", p.ImportPath, bad)
			}
		}
	}
}

func TestOnlyIoxUsesC(t *testing.T) {
	for _, p := range packages(t) {
		if len(p.CgoFiles) > 0 && p.ImportPath != module+"/runtime/iox" {
			t.Errorf("%s uses cgo: %v", p.ImportPath, p.CgoFiles)
		}
	}
}

// TestFaultsAreTested wants every test that FAULTS.md names to be there.
func TestFaultsAreTested(t *testing.T) {
	text, err := os.ReadFile("runtime/FAULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "git", "grep", "-hoE", "(func|def|fn) [A-Za-z0-9_]+", "--", "*.go", "*.py", "*.rs").Output()
	if err != nil {
		t.Skipf("skipped: no git, or no repository: %v", err)
	}
	there := string(out)
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+|\btest_\w+|\btests::\w+`).FindAllString(string(text), -1) {
		name = strings.TrimPrefix(name, "tests::")
		if !regexp.MustCompile(`(?m)^\w+ ` + name + `$`).MatchString(there) {
			t.Errorf("there is no test %s", name)
		}
	}
}
