package examples_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVoice understands every command that was spoken.
func TestVoice(t *testing.T) {
	e := start(t, "voice")
	r := e.up(t)
	var heard []string
	var now float64
	for _, line := range jsonLines(t, filepath.Join(e.dir, "understood.jsonl")) {
		command, _ := line["command"].(string)
		begin, _ := line["start"].(float64)
		end, _ := line["end"].(float64)
		if begin < now || end <= begin {
			t.Errorf("%q from %g s to %g s, after %g s", command, begin, end, now)
		}
		heard, now = append(heard, command), end
	}
	if said := strings.TrimSpace(read(t, e.dir, "commands.txt")); strings.Join(heard, "\n") != said {
		t.Errorf("said\n%s\nunderstood\n%s\n%s", said, strings.Join(heard, "\n"), r)
	}
	for _, want := range []string{"P99", "slower.output → ears.input", "ears.commands  counter    7"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("no %q in the report:\n%s", want, r)
		}
	}
}

// TestVideo reads the number of every picture.
func TestVideo(t *testing.T) {
	e := start(t, "video")
	r := e.up(t)
	checkReadings(t, e.dir, 90)
	film := read(t, e.dir, "preview.y4m")
	if head := "YUV4MPEG2 W320 H180 F30:1 "; !strings.HasPrefix(film, head) {
		t.Errorf("preview.y4m begins with %.60q, want %q: %s", film, head, r)
	}
}

// TestVideoSlowPreview slows the preview down, which loses pictures then; the
// reader loses none.
func TestVideoSlowPreview(t *testing.T) {
	e := start(t, "video")
	file := filepath.Join(e.dir, "pipeline.yaml")
	slow := strings.Replace(read(t, e.dir, "pipeline.yaml"), "delay_ms: 0", "delay_ms: 500", 1)
	if err := os.WriteFile(file, []byte(slow), 0o644); err != nil {
		t.Fatal(err)
	}
	r := e.medianode(t, "up", "--format", "json")
	var report struct {
		Connections []struct {
			To              string
			Frames, Dropped int
		}
	}
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatalf("%v: %s", err, r)
	}
	checkReadings(t, e.dir, 90)
	film := read(t, e.dir, "preview.y4m")
	for _, c := range report.Connections {
		switch c.To {
		case "preview.input":
			if c.Frames+c.Dropped != 90 || c.Dropped == 0 {
				t.Errorf("preview: %d pictures, %d dropped, want 90 together and some dropped", c.Frames, c.Dropped)
			}
			if got := strings.Count(film, "FRAME\n"); got != c.Frames {
				t.Errorf("preview.y4m has %d pictures, the preview got %d", got, c.Frames)
			}
		case "reader.input":
			if c.Frames != 90 || c.Dropped != 0 {
				t.Errorf("reader: %d pictures, %d dropped, want 90 and none", c.Frames, c.Dropped)
			}
		}
	}
	leftovers(t, e.project)
}

func checkReadings(t *testing.T, dir string, pictures int) {
	t.Helper()
	lines := jsonLines(t, filepath.Join(dir, "readings.jsonl"))
	if len(lines) != pictures {
		t.Errorf("%d readings, want %d", len(lines), pictures)
	}
	for i, line := range lines {
		if line["picture"] != float64(i) || line["read"] != float64(i) {
			t.Errorf("picture %d: %v", i, line)
		}
	}
}
