package generate_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestShared(t *testing.T) {
	text := "version: v1\nnodes:\n"
	for _, n := range [][3]string{
		{"a", "one", "python_packages: [numpy==2.3.5, six], system_dependencies: [ffmpeg]"},
		{"b", "two", "python_packages: [six, numpy==2.3.5]"},
		{"c", "one", "python_packages: [numpy==2.3.5, pillow]"},
		{"d", "one", "python_packages: [numpy==2.3.5], python_version: 3.12"},
		{"e", "two", "system_dependencies: [ffmpeg]"},
	} {
		text += fmt.Sprintf("  - {id: %s, node_type: 'm:C', docker: {source: %s, %s}}\n", n[0], n[1], n[2])
	}
	files := fstest.MapFS{"one/m.py": {Data: []byte("1")}, "two/m.py": {Data: []byte("2")}}
	p := must(t, text, attached(), files)
	var got []string
	for _, s := range p.Shared() {
		got = append(got, s.What+" | "+strings.Join(s.Nodes, " "))
	}
	want := []string{
		"python:3.11-slim, iceoryx2, SDK | a b c e",
		"Debian: ffmpeg | a e",
		"Python: numpy==2.3.5 six | a b",
		"Python: numpy==2.3.5 | a b c",
		"code | a c",
		"code | b e",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if text := p.String(); !strings.Contains(text, "Python: numpy==2.3.5              a, b, c\n") {
		t.Error(text)
	}
	// What a node has in common with others says nothing about its image.
	alone := must(t, strings.Join(slices.Delete(strings.SplitAfter(text, "\n"), 3, 7), ""), attached(), files)
	if len(alone.Shared()) != 0 || alone.Images[0].Key != p.Images[0].Key {
		t.Errorf("alone: %v, key %s, want %s", alone.Shared(), alone.Images[0].Key, p.Images[0].Key)
	}
}
