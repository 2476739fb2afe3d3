package plugin_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
)

// Too few descriptors are told before anything is made; as many as are told to
// be needed are enough.
func TestDescriptorLimit(t *testing.T) {
	s := newStage(t, "descriptors", chain("Few", "Echo"))
	s.medianode("build").is(t, 0)
	with := func(limit int) result {
		return s.start("bash", "-c", fmt.Sprintf("ulimit -n %d && exec docker-medianode up --progress plain", limit)).end(stopLimit)
	}
	r := with(64)
	r.is(t, 1, "open files", "the process may have 64", "ulimit -n")
	said := regexp.MustCompile(`needs some (\d+) descriptors`).FindStringSubmatch(r.stderr)
	if said == nil {
		t.Fatalf("%s", r)
	}
	leftovers(t, s.project)
	need, err := strconv.Atoi(said[1])
	if err != nil {
		t.Fatal(err)
	}
	with(need).is(t, 0)
	if s.counted("out.txt") != 5 {
		t.Errorf("out.txt: %s", s.read("out.txt"))
	}
}
