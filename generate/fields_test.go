package generate_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// hop is a source, a node in a container and a sink; more goes below the
// node's docker:, fields below the node, connection into the first connection.
func hop(top, fields, more, connection string) string {
	return "version: v1\n" + top + "nodes:\n  - {id: s, node_type: TestPatternSource}\n" +
		"  - id: a\n    node_type: m:C\n    outputs: {output: {max_frame: 1MiB}}\n" + fields +
		"    docker:\n      source: src\n" + more +
		"  - {id: n, node_type: NullSink}\nconnections:\n  - {from: s, to: a" + connection + "}\n  - {from: a, to: n}\n"
}

func TestSessionsMultiply(t *testing.T) {
	one := must(t, hop("", "", "", ""), attached(), code())
	three := must(t, hop("sessions: 3\n", "", "", ""), attached(), code())
	sum, service := int64(4096), int64(0)
	for _, c := range three.Channels {
		sum += c.Total()
		if c.Service {
			service += c.Total()
		} else if c.Count != 3 {
			t.Errorf("%s: %d times", c.Name, c.Count)
		}
	}
	if three.SharedMemory != sum || three.SharedMemory-service-4096 != 3*(one.SharedMemory-service-4096) {
		t.Errorf("%d bytes for three, %d for one, %d of the containers' own", three.SharedMemory, one.SharedMemory, service)
	}
	if got := three.Project().Services["a"].ShmSize; int64(got) != sum {
		t.Errorf("shm_size %d, want %d", got, sum)
	}
	p := must(t, hop("sessions: 3\n", "", "", ""), portable(), code())
	if got := p.Project().Volumes["shm"].DriverOpts["o"]; !strings.HasPrefix(got, fmt.Sprintf("size=%d,", sum)) {
		t.Errorf("volume of %s, want %d", got, sum)
	}
	text := three.String()
	for _, want := range []string{"3 sessions\n", " x 3\n", "bytes), for 3 sessions\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if one.Images[0].Key != three.Images[0].Key {
		t.Error("sessions build anew")
	}
}

func TestMemoryOfSessions(t *testing.T) {
	limits := "      resource_limits: {memory_mb: 128}\n"
	must(t, hop("sessions: 6\n", "", limits, ""), attached(), code())
	_, err := resolve(t, hop("sessions: 8\n", "", limits, ""), attached(), code())
	want := `128 MiB cannot hold what "a" publishes: 8 sessions x 10 MiB of frames + 1.1 MiB of answers + 64 MiB reserve = `
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestSharedMemoryDoesNotOverflow holds that no numbers, in or beyond the
// bounds of the language, come out as a small sum.
func TestSharedMemoryDoesNotOverflow(t *testing.T) {
	unknown := attached()
	unknown.Memory = 0
	for _, most := range []int{1 << 20, 1 << 31, math.MaxInt64 / 2, math.MaxInt64} {
		spec, err := pipeline.Parse("pipeline.yaml", []byte(hop("", "", "", "")), builtins())
		if err != nil {
			t.Fatal(err)
		}
		spec.Sessions.V = most
		for _, c := range spec.Connections {
			c.Buffer.V, c.Hold.V = most, most
		}
		spec.Nodes[1].Outputs["output"].MaxFrame.V = 1 << 30
		_, err = generate.Resolve(spec, "test", unknown, code(), sdk())
		if err == nil || strings.Count(err.Error(), "needs more shared memory than any machine has: about") != 2 {
			t.Errorf("%d: got %v", most, err)
		}
	}
	text := "version: v1\nsessions: 64\nnodes:\n  - {id: s, node_type: TestPatternSource, params: {width: 16384, height: 16384}}\n"
	connections := "connections:\n"
	for i := range 200 {
		text += fmt.Sprintf("  - {id: n%d, node_type: NullSink}\n", i)
		connections += fmt.Sprintf("  - {from: s, to: n%d, buffer: 16384, hold: 16384}\n", i)
	}
	if _, err := resolve(t, text+connections, unknown, code()); err == nil {
		t.Error("no error")
	}
	c := generate.Channel{Sizes: channel.Sizes{Data: math.MaxInt64 / 2}, Count: 3}
	if c.Total() != math.MaxInt64 {
		t.Errorf("a total of %d", c.Total())
	}
}

func wiring(t *testing.T, p *generate.Plan, id string) channel.Node {
	t.Helper()
	var n channel.Node
	if err := json.Unmarshal([]byte(*p.Project().Services[id].Environment[channel.EnvNode]), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWaitAndTimeoutReachTheNode(t *testing.T) {
	for word, want := range map[string]channel.Wait{"adaptive": "", "block": channel.WaitBlock, "spin": channel.WaitSpin} {
		p := must(t, hop("", "    timeout_ms: 1500\n", "", ", wait: "+word), attached(), code())
		n := wiring(t, p, "a")
		if n.Inputs[0].Wait != want || n.TimeoutMS != 1500 || p.Node("a").TimeoutMS != 1500 {
			t.Errorf("%s: %q, %d ms", word, n.Inputs[0].Wait, n.TimeoutMS)
		}
	}
	plain, named := must(t, hop("", "", "", ""), attached(), code()), must(t, hop("", "", "", ", wait: adaptive"), attached(), code())
	if *plain.Project().Services["a"].Environment[channel.EnvNode] != *named.Project().Services["a"].Environment[channel.EnvNode] {
		t.Error("the default, written, makes the container anew")
	}
}

func TestRetry(t *testing.T) {
	text := hop("", "    on_crash: retry\n", "      restart: {policy: on-failure}\n", "") + "  - {from: a, to: a, to_input: input, feedback: true}\n"
	p := must(t, text, attached(), code())
	for _, in := range p.Node("a").Inputs {
		if got := in.Channel.Readers[in.Slot].Retry; got == in.Feedback {
			t.Errorf("from %s: retry %v", in.Source, got)
		}
	}
	for _, in := range p.Node("n").Inputs {
		if in.Channel.Readers[in.Slot].Retry {
			t.Error("another node's reader retries")
		}
	}
}

func TestRestart(t *testing.T) {
	for text, want := range map[string]struct {
		plan               generate.Restart
		attached, portable string
	}{
		"":             {generate.Restart{Policy: "no"}, "no", "no"},
		"{policy: no}": {generate.Restart{Policy: "no"}, "no", "no"},
		"{policy: on-failure, max_attempts: 3, window_s: 60}": {generate.Restart{Policy: "on-failure", MaxAttempts: 3, WindowS: 60}, "no", "on-failure:3"},
		"{policy: on-failure}":                                {generate.Restart{Policy: "on-failure"}, "no", "on-failure"},
		"{policy: always, max_attempts: 2}":                   {generate.Restart{Policy: "always", MaxAttempts: 2}, "no", "on-failure:2"},
	} {
		more := ""
		if text != "" {
			more = "      restart: " + text + "\n"
		}
		p := must(t, hop("", "", more, ""), attached(), code())
		other := must(t, hop("", "", more, ""), portable(), code())
		if got := p.Node("a").Restart; got != want.plan {
			t.Errorf("%s: %+v", text, got)
		}
		if a, b := p.Project().Services["a"].Restart, other.Project().Services["a"].Restart; a != want.attached || b != want.portable {
			t.Errorf("%s: attached %q, portable %q", text, a, b)
		}
	}
}

func TestHealthCheck(t *testing.T) {
	for _, form := range []generate.Host{attached(), portable()} {
		p := must(t, hop("", "    start_timeout_ms: 7000\n", "      health_interval_s: 30\n", ""), form, code())
		check := p.Project().Services["a"].HealthCheck
		if check == nil || time.Duration(*check.Interval) != 30*time.Second || time.Duration(*check.StartPeriod) != 7*time.Second || check.Test[0] != "CMD-SHELL" {
			t.Fatalf("%+v", check)
		}
		alive := wiring(t, p, "a").Alive
		if alive == "" || !strings.Contains(check.Test[1], alive) {
			t.Errorf("the node writes %q, and asked is %q", alive, check.Test[1])
		}
		if text := string(file(t, p, "compose.yaml")); !strings.Contains(text, "[ $$(($${now%.*}") {
			t.Errorf("compose:\n%s", text)
		}
		if p := must(t, hop("", "", "", ""), form, code()); p.Project().Services["a"].HealthCheck != nil || wiring(t, p, "a").Alive != "" {
			t.Error("a check that nobody asked for")
		}
	}
}

// finished is a pipeline with a finished image as node a.
func finished(docker, connections string) string {
	return "version: v1\nnodes:\n  - {id: s, node_type: TestPatternSource}\n  - id: a\n    node_type: m:C\n    docker: {" + docker + "}\n" +
		"  - {id: n, node_type: NullSink}\nconnections:\n  - {from: s, to: n}\n" + connections
}

func TestFinishedImage(t *testing.T) {
	p := must(t, finished("image: team/node:1, command: [run, '$HOME', 'a b']", "  - {from: s, to: a}\n"), attached(), fstest.MapFS{})
	n, s := p.Node("a"), p.Project().Services["a"]
	if len(p.Images) != 0 || p.AnyImage() != "team/node:1" || !n.Finished || n.Side || n.Control == nil || n.Status == nil {
		t.Errorf("planned as %+v", n)
	}
	if s.Image != "team/node:1" || s.PullPolicy != "missing" || !slices.Equal(s.Command, []string{"run", "$HOME", "a b"}) || len(s.Volumes) != 4 {
		t.Errorf("service %+v", s)
	}
	if got := wiring(t, p, "a"); len(got.Inputs) != 1 || got.Control == nil {
		t.Errorf("wired as %+v", got)
	}
	hardened(t, p)
	if !strings.Contains(p.String(), "team/node:1   a      as it is") {
		t.Errorf("plan:\n%s", p)
	}
	if text := string(file(t, p, "compose.yaml")); !strings.Contains(text, "- $$HOME\n") || strings.Contains(text, "dev.medianode.key") {
		t.Errorf("compose:\n%s", text)
	}
}

func TestSideContainer(t *testing.T) {
	p := must(t, finished("image: redis", ""), attached(), fstest.MapFS{})
	n, s := p.Node("a"), p.Project().Services["a"]
	if !n.Side || n.Control != nil || n.Status != nil || n.Publishes != 0 || len(n.Inputs)+len(n.Outputs) != 0 {
		t.Errorf("planned as %+v", n)
	}
	for _, c := range p.Channels {
		if c.From == "a" || c.Service {
			t.Errorf("channel %s", c.Name)
		}
	}
	for _, name := range []string{channel.EnvNode, channel.EnvParams} {
		if _, set := s.Environment[name]; set {
			t.Errorf("%s is set", name)
		}
	}
	if len(s.Volumes) != 0 || s.ShmSize != 0 || s.Command != nil {
		t.Errorf("service %+v", s)
	}
	hardened(t, p)
}

// hardened holds each service to what no pipeline can change.
func hardened(t *testing.T, p *generate.Plan) {
	t.Helper()
	for name, s := range p.Project().Services {
		switch {
		case !slices.Equal(s.CapDrop, []string{"ALL"}), !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}), !s.ReadOnly,
			s.User != fmt.Sprintf("%d:%d", p.UID, p.GID), s.Privileged, s.PidsLimit == 0, s.MemSwapLimit != s.MemLimit, s.Init == nil || !*s.Init:
			t.Errorf("%s is not hardened: %+v", name, s)
		case s.NetworkMode != "none" && len(s.Networks) != 1:
			t.Errorf("%s has the network %q %v", name, s.NetworkMode, s.Networks)
		}
	}
}

func TestGPUs(t *testing.T) {
	for text, want := range map[string]string{
		"[0, GPU-8f2c]": "driver: nvidia\n              device_ids:\n                - \"0\"\n                - GPU-8f2c\n",
		"all":           "driver: nvidia\n              count: -1\n",
	} {
		p := must(t, hop("", "", "      gpu_devices: "+text+"\n", ""), attached(), code())
		want = "    deploy:\n      resources:\n        reservations:\n          devices:\n            - capabilities:\n                - gpu\n              " + want
		if got := string(file(t, p, "compose.yaml")); !strings.Contains(got, want) {
			t.Errorf("%s: no\n%s in\n%s", text, want, got)
		}
		hardened(t, p)
	}
}

func wheelFiles() fstest.MapFS {
	files := code()
	for _, name := range []string{"wheels/tool-1.0-py3-none-any.whl", "other/tool-1.1-py3-none-any.whl", "wheels/Iceoryx2-9-py3-none-any.whl", "wheels/win-1-py3-none-win_amd64.whl", "wheels/old-1-cp39-cp39-linux_x86_64.whl"} {
		files[name] = &fstest.MapFile{Data: []byte(name)}
	}
	files["wheels/link-1-py3-none-any.whl"] = link("../other/tool-1.1-py3-none-any.whl")
	files["wheels/out-1-py3-none-any.whl"] = link("../../etc/passwd")
	files["wheels/dir-1-py3-none-any.whl/x"] = &fstest.MapFile{}
	files["wheels/pipe-1-py3-none-any.whl"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	return files
}

func TestWheels(t *testing.T) {
	more := "      python_packages: [numpy==1.26.4]\n      wheels: [wheels/tool-1.0-py3-none-any.whl, ./wheels/link-1-py3-none-any.whl]\n"
	files := wheelFiles()
	p := must(t, one(more), attached(), files)
	img := p.Images[0]
	held := map[string]string{}
	for _, f := range img.Context {
		held[f.Path] = string(f.Data)
	}
	if held["wheels/tool-1.0-py3-none-any.whl"] == "" || held["wheels/link-1-py3-none-any.whl"] != "other/tool-1.1-py3-none-any.whl" {
		t.Errorf("context: %v", held)
	}
	want := `"-r", "/run/requirements.txt", "iceoryx2==0.10.0", "/run/medianode-wheels/link-1-py3-none-any.whl", "/run/medianode-wheels/tool-1.0-py3-none-any.whl"]`
	if text := string(img.Dockerfile); !strings.Contains(text, want) || !strings.Contains(text, "--mount=type=bind,source=wheels,target=/run/medianode-wheels") {
		t.Errorf("no %s in\n%s", want, text)
	}
	lint(t, img)
	if !strings.Contains(p.String(), "numpy==1.26.4 link-1-py3-none-any.whl tool-1.0-py3-none-any.whl") {
		t.Errorf("plan:\n%s", p)
	}
	files["wheels/tool-1.0-py3-none-any.whl"].Data = []byte("changed")
	if must(t, one(more), attached(), files).Images[0].Key == img.Key {
		t.Error("a changed wheel builds nothing")
	}
	if key(t, one("      wheels: [wheels/tool-1.0-py3-none-any.whl]\n"), files) == key(t, one(""), files) {
		t.Error("a wheel builds nothing")
	}
}

func TestWheelMistakes(t *testing.T) {
	files := wheelFiles()
	large := wheelFiles()
	large["wheels/tool-1.0-py3-none-any.whl"].Data = make([]byte, 256<<20+1)
	for wheels, c := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"gone-1-py3-none-any.whl":                                           {files, `7:16: nodes[0].docker.wheels[0]: "gone-1-py3-none-any.whl" does not exist`},
		"wheels/out-1-py3-none-any.whl":                                     {files, "leads out of the project through a symbolic link"},
		"wheels/dir-1-py3-none-any.whl":                                     {files, "is a directory"},
		"wheels/pipe-1-py3-none-any.whl":                                    {files, "is not a regular file"},
		"wheels/tool-1.0-py3-none-any.whl":                                  {large, `with "wheels/tool-1.0-py3-none-any.whl" the wheels are more than 256 MiB`},
		"wheels/win-1-py3-none-win_amd64.whl":                               {files, "is for win_amd64, not for Linux on amd64"},
		"wheels/old-1-cp39-cp39-linux_x86_64.whl":                           {files, "is for cp39-cp39, not for Python 3.11"},
		"wheels/Iceoryx2-9-py3-none-any.whl":                                {files, "iceoryx2 is always there, at version 0.10.0"},
		"wheels/bad.whl":                                                    {files, "is not the name of a wheel"},
		"wheels/tool-1.0-py3-none-any.whl, other/tool-1.1-py3-none-any.whl": {files, `[1]: "other/tool-1.1-py3-none-any.whl" brings tool, which "wheels/tool-1.0-py3-none-any.whl" brings too`},
	} {
		_, err := resolve(t, one("      wheels: ["+wheels+"]\n"), attached(), c.files)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", wheels, err, c.want)
		}
	}
	_, err := resolve(t, one("      python_packages: ['Tool[x]>=1']\n      wheels: [wheels/tool-1.0-py3-none-any.whl]\n"), attached(), files)
	if err == nil || !strings.Contains(err.Error(), "brings tool, which python_packages brings too") {
		t.Errorf("got %v", err)
	}
}
