package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
)

// build builds and gives what the builds wrote.
func build(t *testing.T, c *client.Client, noCache bool, list ...generate.Image) (ids []image.ID, log string) {
	t.Helper()
	var text bytes.Buffer
	p, err := image.NewProgress(&text, "plain")
	if err != nil {
		t.Fatal(err)
	}
	b := builder(t, c, nil)
	b.Progress, b.Options.NoCache = p, noCache
	began := time.Now()
	ids, err = image.BuildAll(t.Context(), b, list, 0)
	if closed := p.Close(); err != nil || closed != nil {
		t.Fatalf("%v, %v\n%s", err, closed, text.String())
	}
	t.Logf("built in %s", time.Since(began).Round(100*time.Millisecond))
	return ids, text.String()
}

// inside runs Python in a container of an image, under the limits of a node.
func inside(t *testing.T, ref, script string) string {
	t.Helper()
	c := exec.Command("docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--user=1234:1234", ref, "python", "-c", script)
	var stderr strings.Builder
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func diffIDs(t *testing.T, c *client.Client, ref string) []string {
	t.Helper()
	got, err := c.ImageInspect(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return got.RootFS.Layers
}

// Every Python that a node can ask for, on its standard base.
func TestEveryPython(t *testing.T) {
	c := engine(t)
	for _, version := range []string{"3.9", "3.10", "3.11", "3.12", "3.13"} {
		t.Run(version, func(t *testing.T) {
			if _, err := c.ImageInspect(t.Context(), "python:"+version+"-slim"); err != nil {
				t.Skip("the engine has no python:", version, "-slim: ", err)
			}
			list := images(t, "every", fmt.Sprintf(`python_version: "%s", python_packages: ["six==1.16.0; python_version >= '3'", "httpx[http2]==0.27.2"]`, version))
			remove(t, c, list)
			_, log := build(t, c, false, list...)
			if strings.Contains(log, "pip installs") {
				t.Errorf("uv cannot be had:\n%s", log)
			}
			if _, why, ok := strings.Cut(log, "medianode: uv could not"); ok { // a network that fails for a while is none of the test's business
				t.Log("uv could not", why[:min(200, len(why))])
			}
			got := inside(t, list[0].Ref, `
import importlib.util, os, platform, sys
import iceoryx2, medianode, six, h2, httpx
code = importlib.util.cache_from_source(httpx.__file__)
flags = open(code, "rb").read()[4]
print(platform.python_version_tuple()[1], six.__version__, medianode.NAME, flags, importlib.util.find_spec("pip"), oct(os.stat("/tmp").st_mode & 0o7777))`)
			if want := version[2:] + " 1.16.0 sdk 1 None 0o1777"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// Two builds of the same inputs, nothing cached, are the same image.
func TestRepeatable(t *testing.T) {
	c := engine(t)
	list := images(t, "repeatable", "python_packages: [six==1.16.0, cffi==1.17.1], system_dependencies: [libsndfile1, fonts-dejavu-core, fontconfig]")
	remove(t, c, list)
	first, _ := build(t, c, true, list...)
	before := diffIDs(t, c, list[0].Ref)
	second, _ := build(t, c, true, list...)
	if after := diffIDs(t, c, list[0].Ref); !slices.Equal(before, after) {
		t.Errorf("layers\n%s\nthen\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if !slices.Equal(first, second) {
		t.Errorf("image %v, then %v", first, second)
	}
}

// Nodes with different packages share the layers of those that they have both.
func TestSharedLayers(t *testing.T) {
	c := engine(t)
	list := images(t, "shared", "python_packages: [numpy==2.3.5]", "python_packages: [six==1.16.0, numpy==2.3.5, pillow==11.3.0]", "python_version: 3.11")
	remove(t, c, list)
	build(t, c, false, list...)
	plain, more, none := diffIDs(t, c, list[0].Ref), diffIDs(t, c, list[1].Ref), diffIDs(t, c, list[2].Ref)
	common := 0
	for common < len(plain) && plain[common] == more[common] {
		common++
	}
	start := len(diffIDs(t, c, base))
	if common < start+3 { // the working directory, what every node has, numpy
		t.Errorf("%d layers of the base, then shared %d:\n%s\n\n%s", start, common-start, strings.Join(plain, "\n"), strings.Join(more, "\n"))
	}
	if !slices.Equal(plain[:start+2], none[:start+2]) {
		t.Error("a node without packages shares nothing with them")
	}
	if sdk := plain[len(plain)-2]; sdk != more[len(more)-2] || sdk != none[len(none)-2] {
		t.Error("the SDK is not one layer for all")
	}
}

// A package without a wheel is compiled by one of the builds that want it at the
// same time, and again where there are other headers.
func TestCompiledOnce(t *testing.T) {
	c := engine(t)
	const deps = ", build_dependencies: [gcc, libc6-dev"
	mark := unique()
	list := images(t, mark, "python_packages: [webrtcvad==2.0.10]"+deps+"]",
		"python_packages: [webrtcvad==2.0.10, six==1.16.0]"+deps+"]", "python_packages: [webrtcvad==2.0.10]"+deps+", libffi-dev]")
	for i := range list { // with a cache that nobody has used yet
		list[i].Dockerfile = bytes.ReplaceAll(list[i].Dockerfile, []byte("id=medianode,"), []byte("id=medianode-"+mark+","))
	}
	remove(t, c, list)
	_, log := build(t, c, true, list...) // to BuildKit another cache is the same step
	if strings.Contains(log, "pip tries") || strings.Contains(log, "pip installs") {
		t.Skip("uv cannot be had:", log)
	}
	if n := strings.Count(log, " Building webrtcvad==2.0.10"); n != 2 {
		t.Errorf("compiled %d times, want 2\n%s", n, log)
	}
	for _, img := range list {
		if got := inside(t, img.Ref, "import webrtcvad; print(webrtcvad.valid_rate_and_frame_length(16000, 320))"); got != "True" {
			t.Errorf("%s: %s", img.Node, got)
		}
	}
}

// A base image that has its own index is not passed over, whether it has pip or not.
func TestOtherPips(t *testing.T) {
	c := engine(t)
	for _, tc := range []struct{ name, command string }{
		{"its own", "pass"},
		{"ensurepip", "import importlib.metadata as m; [f.locate().unlink() for f in m.files('pip') if f.locate().exists()]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ref := "medianode-test-pip:" + unique()
			name := "medianode-test-pip-" + unique()
			docker(t, "run", "--name", name, "--network=none", base, "python", "-c", tc.command)
			docker(t, "commit", "--change", "ENV PIP_INDEX_URL=https://pypi.org/simple", name, ref)
			docker(t, "rm", name)
			t.Cleanup(func() {
				if _, err := c.ImageRemove(context.Background(), ref, client.ImageRemoveOptions{Force: true}); err != nil {
					t.Error(err)
				}
			})
			list := images(t, "pips", "python_packages: [six==1.16.0], base_image: '"+ref+"'")
			remove(t, c, list)
			if _, log := build(t, c, false, list...); !strings.Contains(log, "pip installs the packages: PIP_INDEX_URL") {
				t.Errorf("nothing says that it was not uv:\n%s", log)
			}
			got := inside(t, list[0].Ref, "import six, iceoryx2, importlib.util as u; print(six.__version__, [m for m in ('pip', 'setuptools') if u.find_spec(m)])")
			if got != "1.16.0 []" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func docker(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("docker", args...).CombinedOutput(); err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// decode writes a tone as WAV, makes FLAC and MP3 of it, and reads each back
// with everything that can.
const decode = `
import ctypes, json, subprocess, wave
import numpy as np
import soundfile
rate = 16000
tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype("<i2")
with wave.open("/tmp/a.wav", "wb") as f:
    f.setparams((1, 2, rate, rate, "NONE", ""))
    f.writeframes(tone.tobytes())
for to in "flac", "mp3":
    subprocess.run(["ffmpeg", "-v", "error", "-i", "/tmp/a.wav", "/tmp/a." + to], check=True)
def of(raw):
    return np.frombuffer(raw, "<i2")
readers = {
    "soundfile": lambda name: soundfile.read(name, dtype="int16")[0],
    "ffmpeg": lambda name: of(subprocess.run(["ffmpeg", "-v", "error", "-i", name, "-f", "s16le", "-"], check=True, stdout=subprocess.PIPE).stdout),
    "sox": lambda name: of(subprocess.run(["sox", name, "-t", "raw", "-e", "signed", "-b", "16", "-"], check=True, stdout=subprocess.PIPE).stdout),
}
out = {"libsndfile": ctypes.CDLL("libsndfile.so.1").sf_version_string is not None}
for form in "wav", "flac", "mp3":
    for reader, read in readers.items():
        got = read("/tmp/a." + form).astype(float)
        hertz = np.argmax(np.abs(np.fft.rfft(got))) * rate / len(got)
        same = form != "mp3" and np.array_equal(got, tone)
        out[form + " " + reader] = bool(same or form == "mp3" and abs(hertz - 440) < 2 and abs(len(got) - rate) < 0.2 * rate and got.std() > 4000)
print(json.dumps(out))
`

// What the packages for sound are for: they decode.
func TestDecode(t *testing.T) {
	c := engine(t)
	list := images(t, "decode", "python_packages: [numpy==2.3.5, soundfile==0.13.1], system_dependencies: [libsndfile1, ffmpeg, sox, libsox-fmt-all]")
	remove(t, c, list)
	build(t, c, false, list...)
	var got map[string]bool
	if err := json.Unmarshal([]byte(inside(t, list[0].Ref, decode)), &got); err != nil || len(got) != 10 {
		t.Fatalf("%v, %v", err, got)
	}
	for what, ok := range got {
		if !ok {
			t.Errorf("%s does not give the tone back", what)
		}
	}
}
