package image

import (
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/generate"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct{ dockerfile, rule, text, lines string }{
		{"FROM a:1 AS builder\nCMD [\"x\"]\n", "", "", ""},
		{"FROM a:1 AS Builder\n", "StageNameCasing", "Stage name 'Builder' should be lowercase", "FROM a:1 AS Builder\n"},
		{"FROM a:1\nCMD x\n", "JSONArgsRecommended", "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals", "CMD x\n"},
		{"FROM a:1\nWORKDIR app\n", "WorkdirRelativePath", `Relative workdir "app" can have unexpected results if the base image changes`, "WORKDIR app\n"},
		{"FROM a:1\nRUN --mount=type=cashe,target=/x \\\n  [\"y\"]\n", "", `unsupported mount type "cashe" (did you mean cache?)`, "RUN --mount=type=cashe,target=/x \\\n  [\"y\"]\n"},
		{"FROM a:1\nRUNN x\n", "", "unknown instruction: RUNN (did you mean RUN?)", "RUNN x\n"},
	} {
		found, err := Check(t.Context(), generate.Image{Node: "n", Platform: "linux/arm64", Dockerfile: []byte(c.dockerfile)})
		if err != nil {
			t.Fatal(err)
		}
		if c.text == "" {
			if len(found) > 0 {
				t.Errorf("%q: %+v", c.dockerfile, found)
			}
			continue
		}
		if len(found) != 1 || found[0].Rule != c.rule || found[0].Fatal() != (c.rule == "") || !strings.Contains(found[0].Text, c.text) || found[0].Lines != c.lines {
			t.Errorf("%q:\n got %+v\nwant %+v", c.dockerfile, found, c)
		}
	}
	if _, err := Check(t.Context(), generate.Image{Node: "n", Platform: "a/b/c/d"}); err == nil {
		t.Error("a wrong platform passed")
	}
}
