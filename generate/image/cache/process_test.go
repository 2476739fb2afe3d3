package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/generate/image/store"
)

// The test binary is also a process that builds: in the directory of
// MEDIANODE_TEST_CACHE, the version of MEDIANODE_TEST_VERSION.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MEDIANODE_TEST_CACHE"); dir != "" {
		if err := work(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func work(dir string) error {
	ctx := context.Background()
	p, err := openPlant(ctx, dir)
	if err != nil {
		return err
	}
	if p.builder.takes, err = time.ParseDuration(os.Getenv("MEDIANODE_TEST_TAKES")); err != nil {
		return err
	}
	images := recipes(os.Getenv("MEDIANODE_TEST_VERSION"), "a", "b", "c", "d")
	r, err := p.Ensure(ctx, images, p.builder, Use{Project: "test"})
	fmt.Println(p.said, p.Store.Notes())
	if err != nil {
		return err
	}
	r.Release()
	return p.Store.Close()
}

// worker is a process that builds four images.
func worker(dir, version string, takes time.Duration) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MEDIANODE_TEST_CACHE="+dir, "MEDIANODE_TEST_VERSION="+version, "MEDIANODE_TEST_TAKES="+takes.String())
	return cmd
}

func TestEightProcessesBuildOnce(t *testing.T) {
	p := newPlant(t)
	var wait sync.WaitGroup
	waited := make([]string, 8)
	for i := range 8 {
		wait.Go(func() {
			out, err := worker(p.dir, "1", 300*time.Millisecond).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
			waited[i] = string(out)
		})
	}
	wait.Wait()
	built := strings.Fields(p.builds(t))
	slices.Sort(built)
	if got := strings.Join(built, " "); got != "a b c d" {
		t.Errorf("built %s", got)
	}
	if !slices.ContainsFunc(waited, func(s string) bool { return strings.Contains(s, "a: waiting for process ") }) {
		t.Errorf("nobody says who is waited for: %q", waited)
	}
	p.leavesNoLocks(t)
}

// TestKilled kills builds at random moments: whatever was half done, the next
// process makes it right, and nothing of the dead one is left.
func TestKilled(t *testing.T) {
	p := newPlant(t)
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	interrupted := 0
	for round := range rounds {
		version := strconv.Itoa(round/2 + 1)
		cmd := worker(p.dir, version, 60*time.Millisecond)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(90 * time.Millisecond))
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil {
			interrupted++
		}
		if round%3 == 0 {
			continue // one more dies before somebody cleans up
		}
		out, err := worker(p.dir, version, time.Millisecond).CombinedOutput()
		if err != nil {
			t.Fatalf("round %d: %v: %s", round, err, out)
		}
		images := recipes(version, "a", "b", "c", "d")
		states, err := p.Look(t.Context(), images)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := p.Store.Get(t.Context(), refsOf(images))
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range states {
			if s.ID == "" || rows[refOf(images[i].Ref)].Status != store.Available || s.found.key != images[i].Key {
				t.Errorf("round %d: %s is %q (%s), row %+v", round, s.Image.Ref, s.ID, s.Why, rows[refOf(images[i].Ref)])
			}
		}
		if strings.Contains(string(out), "corrupt") {
			t.Errorf("round %d: %s", round, out)
		}
	}
	if interrupted < rounds/4 {
		t.Errorf("only %d of %d were interrupted: the moments are badly chosen", interrupted, rounds)
	}
	p.sweep()
	p.leavesNoLocks(t)
}
