package generate

import (
	"strings"
	"testing"
)

func TestWheelNames(t *testing.T) {
	for _, name := range []string{
		"tool-1.0-py3-none-any.whl", "tool-1.0-py2.py3-none-any.whl", "Tool_x.y-1!2.0.post1+local.7-1build-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
	} {
		if _, err := parseWheel(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{
		"", ".whl", "tool.whl", "tool-1.0.whl", "tool-1.0-py3-none-any.zip", "tool-1.0-x-py3-none-any.whl", "tool-v1-py3-none-any.whl",
		"-1.0-py3-none-any.whl", "--help-1.0-py3-none.whl", "tool-1.0-py3-none-any-x-y.whl", "to ol-1.0-py3-none-any.whl", "tool-1.0-py3-none-a;ny.whl",
		"tool-$x-py3-none-any.whl", "tool-1.0-py3--any.whl", "tool-1.0\n-py3-none-any.whl", "toöl-1.0-py3-none-any.whl", "tool[x]-1.0-py3-none-any.whl",
	} {
		if w, err := parseWheel(name); err == nil {
			t.Errorf("%q passed as %+v", name, w)
		}
	}
}

// TestWheelTags holds the names against what pip 26 with packaging's sys_tags
// takes on Debian.
func TestWheelTags(t *testing.T) {
	for _, c := range []struct {
		tags, version, arch string
		fits                bool
	}{
		{"py3-none-any", "3.9", "", true},
		{"py2.py3-none-any", "3.13", "amd64", true},
		{"py2-none-any", "3.11", "", false},
		{"py39-none-any", "3.11", "", true},
		{"py312-none-any", "3.11", "", false},
		{"cp311-cp311-linux_x86_64", "3.11", "amd64", true},
		{"cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "3.11", "x86_64", true},
		{"cp311-cp311-manylinux_2_17_x86_64", "3.12", "amd64", false},
		{"cp311-cp311-manylinux_2_17_x86_64", "3.11", "arm64", false},
		{"cp311-cp311-manylinux_2_17_aarch64", "3.11", "aarch64", true},
		{"cp311-cp311-manylinux_2_17_aarch64", "3.11", "", true},
		{"cp37-abi3-manylinux_2_17_x86_64", "3.13", "amd64", true},
		{"cp312-abi3-any", "3.11", "", false},
		{"cp310-none-any", "3.11", "", false},
		{"cp311-none-any", "3.11", "", true},
		{"cp313-cp313t-linux_x86_64", "3.13", "amd64", false},
		{"cp311-cp311-win_amd64", "3.11", "amd64", false},
		{"cp311-cp311-macosx_11_0_arm64", "3.11", "arm64", false},
		{"pp310-pypy310_pp73-linux_x86_64", "3.10", "amd64", false},
		{"py3-none-musllinux_1_1_x86_64", "3.10", "amd64", true}, // the base image may be Alpine's
		{"cp3011-none-any", "3.11", "", false},
		{"cp39.cp310.cp311-cp311-any", "3.11", "", false},
		{"cp39.cp310.cp311-cp311-linux_x86_64", "3.11", "", true},
	} {
		w, err := parseWheel("tool-1.0-" + c.tags + ".whl")
		if err != nil {
			t.Fatal(err)
		}
		if why := w.misfit(c.version, c.arch); (why == "") != c.fits {
			t.Errorf("%s on Python %s, %q: %q, want fits %v", c.tags, c.version, c.arch, why, c.fits)
		}
	}
}

func TestStepTitle(t *testing.T) {
	run := `["python3", "-B", "` + scriptPath + `", `
	for step, want := range map[string]string{
		"[builder 4/6] RUN " + run + `"install", "6", "-r", "/run/requirements.txt", "numpy==1", "` + wheelsPath + `/a-1-py3-none-any.whl"]`: "[builder 4/6] pip install -r requirements.txt numpy==1 a-1-py3-none-any.whl",
		"[runtime 2/9] RUN " + run + `"apt", "libsndfile1", "ffmpeg"]`:                                                                       "[runtime 2/9] apt-get install libsndfile1 ffmpeg",
		"[builder 2/6] RUN " + run + `"venv", "iceoryx2==0.10.0"]`:                                                                           "[builder 2/6] make the environment with iceoryx2==0.10.0",
		"[builder 3/6] RUN " + run + `"layers", "0"]`:                                                                                        "[builder 3/6] part into layers",
		"[sdk 2/2] RUN " + run + `"sdk", "/run/x"]`:                                                                                          "[sdk 2/2] compile the SDK",
		"[builder 2/6] RUN " + run + `"python", "3.11"]`:                                                                                     "[builder 2/6] look for Python 3.11",
		"[builder 2/6] RUN " + strings.TrimSuffix(run, ", ") + "]":                                                                           "[builder 2/6] RUN " + strings.TrimSuffix(run, ", ") + "]",
		`[builder 2/3] RUN ["pip"]`:                                                                                                          `[builder 2/3] RUN ["pip"]`,
		"[builder 1/6] FROM docker.io/library/python:3.11-slim":                                                                              "[builder 1/6] FROM docker.io/library/python:3.11-slim",
		"[runtime 7/9] COPY --link app/ /app/":                                                                                               "[runtime 7/9] COPY --link app/ /app/", "": "", "[": "[", "RUN [": "RUN [",
	} {
		if got := StepTitle(step); got != want {
			t.Errorf("%s\n got %s\nwant %s", step, got, want)
		}
	}
}
