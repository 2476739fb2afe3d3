// Package examples_test runs each example as its reader would and holds its
// output to what its README promises.
package examples_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/graph"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// Every example is a pipeline without a mistake or warning, its files are
// there, and somebody explains it. This needs no engine.
func TestExamplesAreComplete(t *testing.T) {
	files, err := filepath.Glob("*/pipeline.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Dir(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			spec, err := pipeline.Parse(file, text, builtin.Catalog())
			if err != nil {
				t.Fatal(err)
			}
			if len(spec.Warnings) > 0 {
				t.Errorf("warnings: %v", spec.Warnings)
			}
			dir := filepath.Dir(file)
			for _, n := range spec.Nodes {
				checkNode(t, dir, n)
			}
			picture := "```mermaid\n" + graph.Of(spec).Mermaid() + "```"
			if !strings.Contains(read(t, dir, "README.md"), picture) {
				t.Errorf("README.md has no picture of the pipeline, or an old one; docker medianode graph gives\n%s", picture)
			}
		})
	}
}

func checkNode(t *testing.T, dir string, n *pipeline.Node) {
	t.Helper()
	if n.Docker == nil {
		if _, err := builtin.New(channel.Node{ID: n.ID.V, Type: n.Type.V}, n.Params.Values, dir, &builtin.Stdio{In: os.Stdin, Out: os.Stdout}); err != nil {
			t.Errorf("node %s: %v", n.ID.V, err)
		}
		return
	}
	module := filepath.Join(dir, n.Docker.Source.V, n.Module+".py")
	code, err := os.ReadFile(module)
	if err != nil || !strings.Contains(string(code), "class "+n.Class+"(Node):") {
		t.Errorf("node %s: no class %s in %s: %v", n.ID.V, n.Class, module, err)
	}
}

func TestHello(t *testing.T) {
	r := start(t, "hello").up(t)
	if want := "Hello, Ada!\nHello, Grace!\nHello, Hedy!\n"; !strings.Contains(r.stdout, want) {
		t.Errorf("no greetings: %s", r)
	}
}

func TestConflict(t *testing.T) {
	r := start(t, "conflict").up(t)
	versions := map[string]*regexp.Regexp{
		"made by":    regexp.MustCompile(`^Python 3\.11\.\d+, numpy 1\.26\.4$`),
		"summed by":  regexp.MustCompile(`^Python 3\.12\.\d+, numpy 2\.\d+\.\d+$`),
		"checked by": regexp.MustCompile(`^Python 3\.9\.\d+, no numpy$`),
	}
	number := 0
	for line := range strings.Lines(r.stdout) {
		var story map[string]any
		if json.Unmarshal([]byte(line), &story) != nil {
			continue
		}
		number++
		for key, version := range versions {
			if s, _ := story[key].(string); !version.MatchString(s) {
				t.Errorf("tensor %d: %s %q, want %s", number, key, s, version)
			}
		}
		// The sum of 0 … 3999, times the tensor's number.
		if want := float64(number) * 3999 * 4000 / 2; story["checked"] != want || story["total"] != want || story["equal"] != true {
			t.Errorf("tensor %d: want sums of %g: %s", number, want, line)
		}
	}
	if number != 3 {
		t.Errorf("%d tensors, want 3: %s", number, r)
	}
}

func TestCaptions(t *testing.T) {
	e := start(t, "captions")
	r := e.up(t)

	rate := regexp.MustCompile(`word error rate (\d+\.\d) % over (\d+) words`).FindStringSubmatch(r.stdout + r.stderr)
	if rate == nil {
		t.Fatalf("no word error rate: %s", r)
	}
	if percent, err := strconv.ParseFloat(rate[1], 64); err != nil || percent > 40 || rate[2] != "71" {
		t.Errorf("%s, want at most 40 %% over 71 words", rate[0])
	}
	t.Log(rate[0])

	// A partial file would mean that the run was not complete.
	if partial, _ := filepath.Glob(filepath.Join(e.dir, "*.partial")); len(partial) > 0 {
		t.Errorf("left %v", partial)
	}
	captions := jsonLines(t, filepath.Join(e.dir, "captions.jsonl"))
	checkCaptions(t, captions, rate[1])

	offline := e.offline(t)
	for _, name := range []string{"captions.txt", "captions.jsonl"} {
		if got, want := read(t, e.dir, name), read(t, offline, name); got != want {
			t.Errorf("%s\n%swithout a pipeline\n%s", name, got, want)
		}
	}
}

// TestCaptionsAgain runs captions several times, as often as MEDIANODE_RUNS
// says: every run gives the same files and leaves nothing.
func TestCaptionsAgain(t *testing.T) {
	runs := 3
	if text := os.Getenv("MEDIANODE_RUNS"); text != "" {
		var err error
		if runs, err = strconv.Atoi(text); err != nil {
			t.Fatalf("MEDIANODE_RUNS: %v", err)
		}
	}
	e := start(t, "captions")
	names := []string{"captions.txt", "captions.jsonl"}
	first := map[string]string{}
	for i := range runs {
		for _, name := range names {
			if err := os.Remove(filepath.Join(e.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		r := e.up(t)
		for _, name := range names {
			text := read(t, e.dir, name)
			if i == 0 {
				first[name] = text
			}
			if text != first[name] || text == "" {
				t.Fatalf("run %d: %s\n%sin the first run\n%s%s", i, name, text, first[name], r)
			}
		}
	}
}

// checkCaptions holds the captions to each other: times go forward, and the
// errors are those of the rate.
func checkCaptions(t *testing.T, captions []map[string]any, rate string) {
	t.Helper()
	if len(captions) != 5 {
		t.Fatalf("%d captions, want 5", len(captions))
	}
	var now, errors, words float64
	for i, c := range captions {
		start, _ := c["start"].(float64)
		end, _ := c["end"].(float64)
		count, _ := c["errors"].(float64)
		text, _ := c["text"].(string)
		reference, _ := c["reference"].(string)
		file, _ := c["file"].(string)
		if start < now || end <= start || text == "" || file == "" {
			t.Errorf("caption %d: %v", i, c)
		}
		now, errors, words = end, errors+count, words+float64(len(strings.Fields(reference)))
	}
	if got := fmt.Sprintf("%.1f", 100*errors/words); got != rate {
		t.Errorf("captions have %s %% wrong, the log says %s %%", got, rate)
	}
}

// offline runs offline.py in the recognizer's image with the recordings out of
// the source's image, and returns the directory of its output.
func (e example) offline(t *testing.T) string {
	t.Helper()
	const clips = "/usr/share/pocketsphinx/test/data/librivox"
	images, out, data := e.images(t), t.TempDir(), t.TempDir()
	container := docker(t, "create", "--pull", "never", images["speech"])
	docker(t, "cp", container+":"+clips, data)
	docker(t, "rm", container)
	docker(t, "run", "--rm", "--pull", "never", "--network", "none",
		"--user", fmt.Sprintf("%d:%d", os.Getuid(), os.Getgid()),
		"--volume", filepath.Join(data, "librivox")+":"+clips+":ro",
		"--volume", e.dir+":/example:ro", "--volume", out+":/out", "--workdir", "/example",
		"--env", "PYTHONPATH=nodes/speech:nodes/asr", "--env", "PYTHONDONTWRITEBYTECODE=1",
		images["asr"], "python", "offline.py", "/out")
	return out
}

// images are the images of the example's services. The plan of this machine
// and the one for any machine may name them differently: then it is the newest.
func (e example) images(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	e.medianode(t, "generate", "-o", dir)
	var project struct {
		Services map[string]struct{ Image string }
	}
	if err := yaml.Unmarshal([]byte(read(t, dir, "compose.yaml")), &project); err != nil {
		t.Fatal(err)
	}
	images := map[string]string{}
	for name, service := range project.Services {
		repository, _, _ := strings.Cut(service.Image, ":")
		for _, reference := range []string{service.Image, repository} {
			if ids := strings.Fields(docker(t, "image", "ls", "--quiet", "--filter", "reference="+reference)); len(ids) > 0 {
				images[name] = ids[0]
				break
			}
		}
	}
	return images
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func jsonLines(t *testing.T, path string) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(read(t, filepath.Dir(path), filepath.Base(path))) {
		var value map[string]any
		if err := json.Unmarshal([]byte(line), &value); err != nil {
			t.Fatalf("%s: %v: %s", path, err, line)
		}
		lines = append(lines, value)
	}
	return lines
}
