package base_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/generate/image/base"
)

const slim = "python:3.11-slim"

func engine(t *testing.T) *client.Client {
	t.Helper()
	if testing.Short() {
		t.Skip("short: builds images")
	}
	c, err := client.New(client.FromEnv)
	if err != nil {
		t.Skip("no engine: ", err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Ping(t.Context(), client.PingOptions{NegotiateAPIVersion: true}); err != nil {
		t.Skip("no engine: ", err)
	}
	if _, err := c.ImageInspect(t.Context(), slim); err != nil {
		t.Skip("the engine has no ", slim, ": ", err)
	}
	return c
}

// odd builds an image out of a Dockerfile; files are its context.
func odd(t *testing.T, c *client.Client, dockerfile string, files ...generate.File) string {
	t.Helper()
	name := fmt.Sprintf("mn-test-base:%d", time.Now().UnixNano())
	img := generate.Image{Node: t.Name(), Ref: name, Key: name, Dockerfile: []byte(dockerfile), Context: files}
	if _, err := (image.BuildKit{Engine: c, CA: os.Getenv("PIP_CERT"), Proxy: image.ProxyFromEnv(os.Environ())}).Build(t.Context(), img); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := c.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	return name
}

// wrapped is a python3 that runs a shell script first.
func wrapped(text string) (dockerfile string, file generate.File) {
	return "FROM " + slim + "\nCOPY python3 /usr/local/sbin/python3\nENV PATH=/usr/local/sbin:/usr/local/bin:/usr/bin:/bin\n",
		generate.File{Path: "python3", Mode: 0o755, Data: []byte("#!/bin/sh\n" + text + "\n")}
}

// leftovers are containers of probes of one image.
func leftovers(t *testing.T, c *client.Client, ref string) []string {
	t.Helper()
	got, err := c.ContainerList(context.Background(), client.ContainerListOptions{
		All: true, Filters: make(client.Filters).Add("label", "dev.medianode.probe=base").Add("ancestor", ref),
	})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, i := range got.Items {
		ids = append(ids, i.ID)
	}
	return ids
}

func messages(f base.Facts, n base.Need) string {
	var b strings.Builder
	for _, found := range base.Judge(f, n) {
		fmt.Fprintf(&b, "%s: %s\n", found.Severity, found.Message)
	}
	return b.String()
}

func TestProbe(t *testing.T) {
	c := engine(t)
	hang, hangs := wrapped("exec sleep 600")
	flood, floods := wrapped("exec yes")
	chatter, chatters := wrapped("echo welcome; echo medianode-base '{}'; echo hello >&2; exec /usr/local/bin/python3 \"$@\"")
	broken, breaks := wrapped("echo libpython3.11.so.1.0: cannot open shared object file >&2; exit 127")
	liar, lies := wrapped(`echo 'medianode-base {"version": 3}'`)
	for name, tt := range map[string]struct {
		dockerfile string
		files      []generate.File
		need       base.Need
		timeout    time.Duration
		want       string // a part of the findings; empty: there is none
	}{
		"as it is":             {"FROM " + slim, nil, base.Need{}, 0, ""},
		"wrong Python":         {"FROM " + slim, nil, base.Need{Python: "3.12"}, 0, "error: has Python 3.11."},
		"scratch":              {"FROM scratch\nCOPY python3 /hello", []generate.File{hangs}, base.Need{}, 0, "error: has no python3 on its PATH, /usr/local/sbin:"},
		"no Python":            {"FROM " + slim + "\nENV PATH=/usr/bin:/bin", nil, base.Need{}, 0, "error: has no python3 on its PATH, /usr/bin:/bin"},
		"entrypoint hangs":     {"FROM " + slim + "\nENTRYPOINT [\"sleep\", \"600\"]\nCMD [\"x\"]\nHEALTHCHECK CMD false", nil, base.Need{}, 0, "warning: has a health check"},
		"another user":         {"FROM " + slim + "\nUSER 1234\nWORKDIR /root", nil, base.Need{}, 0, ""},
		"a user of no name":    {"FROM " + slim + "\nUSER nobody-has-this-name", nil, base.Need{}, 0, ""},
		"ONBUILD":              {"FROM " + slim + "\nONBUILD COPY . /src\nONBUILD RUN touch /x", nil, base.Need{}, 0, "error: has the trigger ONBUILD COPY . /src"},
		"musl":                 {"FROM " + slim + "\nCOPY python3 /lib/ld-musl-x86_64.so.1\nCOPY sitecustomize.py /usr/local/lib/python3.11/site-packages/", []generate.File{hangs, {Path: "sitecustomize.py", Mode: 0o644, Data: []byte("import os\ndel os.confstr\n")}}, base.Need{}, 0, "error: is built on musl"},
		"other iceoryx2":       {"FROM " + slim + "\nCOPY METADATA /usr/local/lib/python3.11/site-packages/iceoryx2-0.5.0.dist-info/METADATA", []generate.File{{Path: "METADATA", Mode: 0o644, Data: []byte("Metadata-Version: 2.1\nName: iceoryx2\nVersion: 0.5.0\n")}}, base.Need{}, 0, "warning: has iceoryx2 0.5.0: nodes get 0.10.0"},
		"no venv":              {"FROM " + slim + "\nRUN rm -r /usr/local/lib/python3.11/ensurepip", nil, base.Need{}, 0, "error: has a Python without ensurepip"},
		"PYTHONHOME":           {"FROM " + slim + "\nENV PYTHONHOME=/nowhere PYTHONPATH=/lib SECRET=hunter2", nil, base.Need{}, 0, "error: sets PYTHONHOME to /nowhere"},
		"no apt-get":           {"FROM " + slim + "\nRUN rm /usr/bin/apt-get", nil, base.Need{Debian: []string{"sl"}}, 0, "error: has no apt-get, which is to install sl"},
		"closed":               {"FROM " + slim + "\nRUN chmod 700 /usr/local/bin", nil, base.Need{}, 0, "error: has a Python that user 1000, who runs the node, may not run: /usr/local/bin/python3"},
		"closed itself":        {"FROM " + slim + "\nRUN chmod 700 /usr/local/bin/python3.11", nil, base.Need{}, 0, "error: has a Python that user 1000, who runs the node, may not run: /usr/local/bin/python3"},
		"a link to nothing":    {"FROM " + slim + "\nRUN rm /usr/local/bin/python3.11", nil, base.Need{}, 0, "error: has no python3 on its PATH"},
		"hides the SDK":        {"FROM " + slim + "\nCOPY python3 /app/medianode.py", []generate.File{hangs}, base.Need{}, 0, "error: has /app/medianode.py, which hides the SDK"},
		"hangs":                {hang, []generate.File{hangs}, base.Need{}, 2 * time.Second, "error: has a python3 that does not end: it was given a few lines and ran for 2s"},
		"floods":               {flood, []generate.File{floods}, base.Need{}, 0, "error: has a python3 that prints without end: more than 64 KiB"},
		"chatters":             {chatter, []generate.File{chatters}, base.Need{}, 0, ""},
		"breaks":               {broken, []generate.File{breaks}, base.Need{}, 0, "error: has a python3 that does not work: exit code 127: libpython3.11.so.1.0: cannot open shared object file"},
		"lies":                 {liar, []generate.File{lies}, base.Need{}, 0, "error: has a python3 that does not work: it answers something else"},
		"another machine's":    {"FROM " + slim + "\nCOPY python3 /usr/local/bin/python3", []generate.File{{Path: "python3", Mode: 0o755, Data: []byte("\x7fELF\x02\x01\x01\x00nothing")}}, base.Need{}, 0, "error: has a python3 that this machine cannot run: "},
		"without what runs it": {"FROM " + slim + "\nCOPY python3 /usr/local/bin/python3", []generate.File{{Path: "python3", Mode: 0o755, Data: []byte("#!/no/such/shell\n")}}, base.Need{}, 0, "error: has a python3 that does not work: what it is run by is not there: exec /usr/local/bin/python3"},
		"volume":               {"FROM " + slim + "\nVOLUME /data", nil, base.Need{}, 0, "warning: declares the volume /data"},
	} {
		t.Run(name, func(t *testing.T) {
			ref := odd(t, c, tt.dockerfile, tt.files...)
			need := tt.need
			need.Arch, need.Iceoryx2, need.UID = "amd64", "0.10.0", 1000
			if need.Python == "" {
				need.Python = "3.11"
			}
			began := time.Now()
			f, err := base.Prober{Engine: c, UID: 1000, Timeout: tt.timeout}.Probe(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			got := messages(f, need)
			t.Logf("%v: %s", time.Since(began).Round(time.Millisecond), got)
			if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q; facts %+v %+v", got, tt.want, f, f.Python)
			}
			if strings.Contains(fmt.Sprint(f), "hunter2") {
				t.Error("the facts hold a variable that nobody asked for")
			}
			if left := leftovers(t, c, ref); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// A probe that is interrupted ends at once and leaves nothing.
func TestProbeInterrupted(t *testing.T) {
	c := engine(t)
	dockerfile, file := wrapped("exec sleep 600")
	ref := odd(t, c, dockerfile, file)
	for _, after := range []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		began := time.Now()
		_, err := base.Prober{Engine: c, UID: 1000}.Probe(ctx, ref)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 15*time.Second {
			t.Errorf("after %v: %v in %v", after, err, time.Since(began))
		}
		if left := leftovers(t, c, ref); len(left) > 0 {
			t.Errorf("after %v left: %v", after, left)
		}
	}
}

// What is remembered is asked of nobody; a memory that fails is none.
func TestProbeRemembers(t *testing.T) {
	c := engine(t)
	kept := map[string]string{}
	memory := base.Memory{
		Get: func(_ context.Context, key string) (string, bool, error) { v, ok := kept[key]; return v, ok, nil },
		Put: func(_ context.Context, key, value string) error { kept[key] = value; return nil },
	}
	first, err := base.Prober{Engine: c, UID: 1000, Memory: memory}.Probe(t.Context(), slim)
	if err != nil || len(kept) != 1 || first.Python == nil {
		t.Fatalf("%+v, %v, kept %v", first, err, kept)
	}
	again, err := base.Prober{Engine: noContainers{c}, UID: 1000, Memory: memory}.Probe(t.Context(), slim)
	if err != nil || text(t, again) != text(t, first) {
		t.Errorf("got %+v, %v, want %+v", again, err, first)
	}
	if _, err := (base.Prober{Engine: noContainers{c}, UID: 1001, Memory: memory}).Probe(t.Context(), slim); err == nil {
		t.Error("another user's facts were taken")
	}
	for key := range kept {
		kept[key] = "{"
	}
	bad := base.Memory{Get: memory.Get, Put: func(context.Context, string, string) error { return errors.New("disk full") }}
	if f, err := (base.Prober{Engine: c, UID: 1000, Memory: bad}).Probe(t.Context(), slim); err != nil || f.Python == nil {
		t.Errorf("%+v, %v", f, err)
	}
}

func text(t *testing.T, f base.Facts) string {
	t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// noContainers is an engine that makes none.
type noContainers struct{ *client.Client }

func (noContainers) ContainerCreate(context.Context, client.ContainerCreateOptions) (client.ContainerCreateResult, error) {
	return client.ContainerCreateResult{}, errors.New("made a container")
}

// What a killed probe has left goes with a later one.
func TestProbeRemovesStale(t *testing.T) {
	c := engine(t)
	ref := odd(t, c, "FROM "+slim+"\nENV STALE=1")
	left, err := c.ContainerCreate(t.Context(), client.ContainerCreateOptions{
		Config: &container.Config{Image: ref, Cmd: []string{"true"}, Labels: map[string]string{"dev.medianode.probe": "base"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (base.Prober{Engine: c, UID: 1000}).Probe(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if got := leftovers(t, c, ref); len(got) != 1 || got[0] != left.ID {
		t.Errorf("a probe that may still run was removed: %v", got)
	}
	const stale = 15 * time.Second // longer than any probe of a test that runs now
	time.Sleep(stale)
	if _, err := (base.Prober{Engine: c, UID: 1000, Stale: stale}).Probe(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if got := leftovers(t, c, ref); len(got) > 0 {
		t.Errorf("left %v", got)
	}
}

func TestProbeOfNoImage(t *testing.T) {
	c := engine(t)
	var pulled []string
	_, err := base.Prober{Engine: c, Pulling: func(ref string) { pulled = append(pulled, ref) }}.Probe(t.Context(), "localhost:1/no/such:1")
	if err == nil || !strings.Contains(err.Error(), "the engine does not have image localhost:1/no/such:1 and cannot pull it") || len(pulled) != 1 {
		t.Errorf("got %v, pulled %v", err, pulled)
	}
}
