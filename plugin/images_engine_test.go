package plugin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// coded is a stage with nodes that only build, of code that no other test has.
func coded(t *testing.T, name string, nodes ...string) *stage {
	t.Helper()
	text := "nodes:\n"
	for _, n := range nodes {
		text += fmt.Sprintf("  - {id: %s, node_type: code:Node, docker: {source: ./code}}\n", n)
	}
	s := newStage(t, name, text)
	if err := os.Mkdir(s.dir+"/code", 0o755); err != nil {
		t.Fatal(err)
	}
	s.recode(1)
	t.Cleanup(func() {
		for _, n := range nodes {
			for _, ref := range strings.Fields(docker(t, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "medianode/"+n)) {
				docker(t, "image", "rm", ref)
			}
		}
	})
	return s
}

// recode changes the code, and so every image of the stage.
func (s *stage) recode(version int) {
	s.t.Helper()
	s.write("code/code.py", fmt.Sprintf("from medianode import Node as Base\n\n# %s %d\n\n\nclass Node(Base):\n    pass\n", s.project, version))
}

func (s *stage) build(args ...string) result {
	s.t.Helper()
	return s.medianode(append([]string{"build", "--progress", "plain"}, args...)...)
}

// listed is what "images ls" shows.
func (s *stage) listed(args ...string) []struct{ Image, Status, Why string } {
	s.t.Helper()
	r := s.medianode(append([]string{"images", "ls", "--format", "json"}, args...)...)
	r.is(s.t, 0)
	var list []struct{ Image, Status, Why string }
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		s.t.Fatalf("%v: %s", err, r)
	}
	return list
}

func TestImages(t *testing.T) {
	s := coded(t, "images", "images-one")
	s.env = append(s.env, "REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE=1")
	s.build().is(t, 0)
	first := s.listed("--filter", "name=images-one")
	if len(first) != 1 || first[0].Status != "available" {
		t.Fatalf("listed %+v", first)
	}
	if r := s.build(); r.code != 0 || strings.Contains(r.stderr, "images-one") {
		t.Errorf("a build of what is there says something: %s", r)
	}
	if r := s.medianode("plan"); !strings.Contains(r.stdout, first[0].Image+"  reuse\n") {
		t.Errorf("plan: %s", r)
	}

	s.recode(2)
	if r := s.medianode("plan"); !regexp.MustCompile(`(?m)^medianode/images-one:[0-9a-f]{12}  build: code: code.py changed$`).MatchString(r.stdout) {
		t.Errorf("plan: %s", r)
	}
	s.build().is(t, 0, "removed what was used longest ago, to keep 1 images: "+first[0].Image)
	second := s.listed("--filter", "name=images-one")
	if len(second) != 1 || second[0].Image == first[0].Image {
		t.Errorf("listed %+v after %+v", second, first)
	}
	r := s.medianode("images", "inspect", "medianode/images-one")
	for _, part := range []string{`"used_by": [` + "\n      \"" + s.project + `/images-one"`, `"python_version": "3.11"`, `"code.py": "`, `"dockerfile": "# Generated`} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("no %s in: %s", part, r)
		}
	}
	if r := s.medianode("images", "prune", "--dry-run", "--keep", "1000"); r.code != 0 || r.stdout != "" {
		t.Errorf("prune: %s", r)
	}

	docker(t, "image", "rm", second[0].Image)
	if r := s.medianode("plan"); !strings.Contains(r.stdout, second[0].Image+"  build: it was removed from the engine\n") {
		t.Errorf("plan: %s", r)
	}
	s.build().is(t, 0, "images-one")
}

// TestDamagedCache breaks every page but the first: what is found late is told,
// too, and the images of the engine are known again.
func TestDamagedCache(t *testing.T) {
	s := coded(t, "damaged", "damaged-one")
	s.build().is(t, 0)
	path := s.cachePath()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for page := 4096; page < len(text); page += 4096 {
		for i := range 64 {
			text[page+i] ^= 0xff
		}
	}
	if err := errors.Join(os.WriteFile(path, text, 0o600), os.RemoveAll(path+"-wal"), os.RemoveAll(path+"-shm")); err != nil {
		t.Fatal(err)
	}
	s.build().is(t, 0, "set aside")
	list := s.listed("--filter", "name=damaged-one")
	if len(list) != 1 || list[0].Status != "available" {
		t.Errorf("listed %+v", list)
	}
	if r := s.medianode("plan"); !strings.Contains(r.stdout, "  reuse\n") {
		t.Errorf("plan: %s", r)
	}
}

func TestFailedBuildIsListed(t *testing.T) {
	s := coded(t, "failing", "failing-one")
	good := s.read("pipeline.yaml")
	s.write("pipeline.yaml", strings.Replace(good, "{source: ./code}", "{source: ./code, python_packages: [no-such-package-anywhere==1.0]}", 1))
	s.build().is(t, 1, "no-such-package-anywhere")
	list := s.listed("--filter", "status=failed")
	if len(list) != 1 || !strings.Contains(list[0].Why, "failing-one") {
		t.Errorf("listed %+v", list)
	}
	if r := s.medianode("plan"); !strings.Contains(r.stdout, "build: its last build failed\n") {
		t.Errorf("plan: %s", r)
	}
	s.build().is(t, 1, "no-such-package-anywhere") // tried again, not remembered
}

// TestBuildsAtOnce starts eight builds of the same four nodes.
func TestBuildsAtOnce(t *testing.T) {
	nodes := []string{"once-a", "once-b", "once-c", "once-d"}
	s := coded(t, "once", nodes...)
	var wait sync.WaitGroup
	results := make([]result, 8)
	for i := range results {
		wait.Go(func() { results[i] = s.build() })
	}
	wait.Wait()
	var built []string
	for _, r := range results {
		r.is(t, 0)
		for _, n := range nodes {
			if strings.Contains(r.stderr, "["+n+"] exporting") {
				built = append(built, n)
			}
		}
	}
	slices.Sort(built)
	if !slices.Equal(built, nodes) {
		t.Errorf("built %v", built)
	}
	if !slices.ContainsFunc(results, func(r result) bool {
		return strings.Contains(r.stderr, "waiting for process ")
	}) {
		t.Errorf("nobody says who is waited for: %s", results[7])
	}
}

// TestKilledBuilds kills builds at random moments.
func TestKilledBuilds(t *testing.T) {
	nodes := []string{"killed-a", "killed-b", "killed-c", "killed-d"}
	s := coded(t, "killed", nodes...)
	s.env = append(s.env, "REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE=200") // no image of the test goes
	began := time.Now()
	s.build().is(t, 0) // the layers below the code are there from now on
	whole := time.Since(began)
	interrupted := 0
	for round := range 20 {
		s.recode(round + 2)
		p := s.start("docker-medianode", "build", "--progress", "plain")
		time.Sleep(rand.N(min(whole, 3*time.Second)))
		_ = p.cmd.Process.Kill()
		if p.end(time.Minute).code != 0 {
			interrupted++
		}
		if round%2 == 0 {
			continue // the next one finds what two have left
		}
		s.build().is(t, 0)
		plan := s.medianode("plan")
		if n := strings.Count(plan.stdout, "  reuse\n"); n != len(nodes) {
			t.Errorf("round %d: %d of %d images are right: %s", round, n, len(nodes), plan)
		}
		for _, l := range s.listed("--filter", "name=killed-") {
			if l.Status == "building" {
				t.Errorf("round %d: %+v", round, l)
			}
		}
	}
	t.Logf("%d of 20 were interrupted", interrupted)
	if interrupted < 5 {
		t.Errorf("only %d of 20 were interrupted: the moments are badly chosen", interrupted)
	}
	s.recode(1) // an earlier version is still there, as it was
	if plan := s.medianode("plan"); strings.Count(plan.stdout, "  reuse\n") != len(nodes) {
		t.Errorf("the first images: %s", plan)
	}
	locks, err := os.ReadDir(s.cachePath() + ".locks")
	if err == nil && len(locks) > 0 {
		t.Errorf("left %v", locks)
	}
}

// cachePath is the stage's own image cache.
func (s *stage) cachePath() string {
	for _, entry := range slices.Backward(s.env) {
		if path, ok := strings.CutPrefix(entry, "REMOTEMEDIA_IMAGE_CACHE_PATH="); ok {
			return path
		}
	}
	s.t.Fatal("the stage has no image cache of its own")
	return ""
}
