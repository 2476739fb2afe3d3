package generate_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/medianode/docker-medianode/generate"
)

// wheelFile is where the wheel of full lies.
const wheelFile = "wheels/t-1.0-py3-none-any.whl"

// full is one with everything that is built.
func full() string {
	return one("      python_version: 3.11\n      python_packages: [numpy==1.26, six]\n      system_dependencies: [ffmpeg]\n" +
		"      build_dependencies: [gcc]\n      wheels: [" + wheelFile + "]\n")
}

func fullCode() fstest.MapFS {
	files := code()
	files[wheelFile] = &fstest.MapFile{Data: []byte("wheel")}
	files["src/asr.py"] = &fstest.MapFile{Data: []byte("import m")}
	return files
}

func inputs(t *testing.T, text string, files fstest.MapFS) generate.Inputs {
	t.Helper()
	return must(t, text, attached(), files).Images[0].Inputs()
}

func TestChangesOfInputs(t *testing.T) {
	old := inputs(t, full(), fullCode())
	replace := func(pairs ...string) func(string, fstest.MapFS) string {
		return func(text string, _ fstest.MapFS) string { return strings.NewReplacer(pairs...).Replace(text) }
	}
	files := func(change func(fstest.MapFS)) func(string, fstest.MapFS) string {
		return func(text string, files fstest.MapFS) string {
			change(files)
			return text
		}
	}
	for want, change := range map[string]func(string, fstest.MapFS) string{
		"": replace("[numpy==1.26, six]", "[six, numpy==1.26]"),
		"python_packages: + numpy==2.0, - numpy==1.26":                               replace("numpy==1.26", "numpy==2.0"),
		"python_packages: - numpy==1.26, - six":                                      replace("      python_packages: [numpy==1.26, six]\n", ""),
		"python_version 3.11 → 3.12":                                                 replace("3.11", "3.12"),
		"base_image python:3.11-slim → own:1":                                        replace("      python_version", "      base_image: own:1\n      python_version"),
		"system_dependencies: + sox | build_dependencies: - gcc":                     replace("[ffmpeg]", "[ffmpeg, sox]", "      build_dependencies: [gcc]\n", ""),
		"system_dependencies: + gcc, - ffmpeg | build_dependencies: + ffmpeg, - gcc": replace("[ffmpeg]", "[gcc]", "[gcc]", "[ffmpeg]"),
		"code: asr.py changed, run.sh gone, util.py new": files(func(f fstest.MapFS) {
			f["src/asr.py"], f["src/util.py"] = &fstest.MapFile{Data: []byte("x")}, &fstest.MapFile{}
			delete(f, "src/run.sh")
		}),
		"code: asr.py made executable, run.sh no longer executable": files(func(f fstest.MapFS) {
			f["src/asr.py"].Mode, f["src/run.sh"].Mode = 0o755, 0o644
		}),
		"code: 0.py new, 1.py new, 2.py new, 3.py new, 4.py new": files(func(f fstest.MapFS) {
			for _, c := range "01234" {
				f["src/"+string(c)+".py"] = &fstest.MapFile{}
			}
		}),
		"code: 0.py new, 1.py new, 2.py new, 3.py new, and 2 more": files(func(f fstest.MapFS) {
			for _, c := range "012345" {
				f["src/"+string(c)+".py"] = &fstest.MapFile{}
			}
		}),
		"wheels: t-1.0-py3-none-any.whl changed": files(func(f fstest.MapFS) { f[wheelFile] = &fstest.MapFile{Data: []byte("other")} }),
	} {
		now := fullCode()
		text := change(full(), now)
		if got := strings.Join(inputs(t, text, now).Changes(old), " | "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestOwnChangesOfInputs: what medianode itself brings is told apart, and the
// Dockerfile differs for a reason that has a better name.
func TestOwnChangesOfInputs(t *testing.T) {
	now := inputs(t, full(), fullCode())
	for want, change := range map[string]func(*generate.Inputs){
		"platform linux/arm64 → linux/amd64":               func(i *generate.Inputs) { i.Platform = "linux/arm64" },
		"platform none → linux/amd64":                      func(i *generate.Inputs) { i.Platform = "" },
		"iceoryx2 0.9.0 → 0.10.0":                          func(i *generate.Inputs) { i.Iceoryx2Version, i.Dockerfile = "0.9.0", "x" },
		"the Python SDK changed":                           func(i *generate.Inputs) { i.SDK = "x" },
		"medianode itself builds it in another way":        func(i *generate.Inputs) { i.Dockerfile = "x" },
		"medianode itself builds it in another way ":       func(i *generate.Inputs) { i.RecipeVersion = "0" },
		"medianode itself builds it in another way  ":      func(i *generate.Inputs) { i.Script, i.Dockerfile = "x", "x" },
		"python_version 3.9 → 3.11":                        func(i *generate.Inputs) { i.PythonVersion, i.BaseImage, i.Dockerfile = "3.9", "python:3.9-slim", "x" },
		"python_packages: + six | the Python SDK changed":  func(i *generate.Inputs) { i.PythonPackages, i.SDK = i.PythonPackages[:1], "x" },
		"python_packages: + six | iceoryx2 0.9.0 → 0.10.0": func(i *generate.Inputs) { i.PythonPackages, i.Iceoryx2Version = i.PythonPackages[:1], "0.9.0" },
	} {
		old := now
		change(&old)
		if got := strings.Join(now.Changes(old), " | "); got != strings.TrimRight(want, " ") {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestInputsThroughJSON(t *testing.T) {
	for _, text := range []string{full(), one("")} {
		now := inputs(t, text, fullCode())
		data, err := json.Marshal(now)
		if err != nil {
			t.Fatal(err)
		}
		var back generate.Inputs
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if got := now.Changes(back); len(got) > 0 || len(back.Changes(now)) > 0 {
			t.Errorf("%v after %s", got, data)
		}
		again, err := json.Marshal(back)
		if err != nil || !reflect.DeepEqual(again, data) {
			t.Errorf("%v: %s\nwas %s", err, again, data)
		}
	}
	if now := inputs(t, full(), fullCode()); now.PythonVersion != "3.11" || now.BaseImage != "python:3.11-slim" || now.Platform != "linux/amd64" ||
		len(now.Source) != 3 || len(now.Source["run.sh"]) != 14 || len(now.Wheels["t-1.0-py3-none-any.whl"]) != 12 {
		t.Errorf("got %+v", now)
	}
}
