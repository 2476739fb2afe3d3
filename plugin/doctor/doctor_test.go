package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime"
)

// healthy is a machine without a fault.
func healthy() Facts {
	return Facts{
		Versions: Versions{Plugin: "v1", Go: "go1.26", Platform: "linux/amd64", Compose: "v5", Client: "v0", Iceoryx2: "0.10.0", SharedMemory: true},
		Program:  Program{Path: "/usr/bin/docker", Version: "Docker version 29.0.0"},
		Engine: Engine{
			Host: "unix:///var/run/docker.sock", Version: "29.0.0", API: "1.52", MinAPI: "1.44", BuildKit: true, Storage: "overlayfs",
			Components: map[string]string{"runc": "1.3.3", "containerd": "2.2.0"}, Root: "/var/lib/docker", CPUs: 4, Memory: 8 << 30, Cgroup: "2",
			MemoryLimit: true, SwapLimit: true, CPULimit: true, PidsLimit: true, System: "Debian",
		},
		Probe: Probe{Image: "sha256:1", Took: 45 * time.Millisecond},
		Shm:   Memory{Path: "/dev/shm", Type: "tmpfs", Options: []string{"rw", "nosuid", "nodev", "size=4g"}, Size: 4 << 30, Free: 4 << 30},
		CPUs:  4, Files: Files{Soft: 1024, Hard: 4096},
		Disks: []Disk{{Use: useState, Path: "/home/x", Free: 1 << 30}, {Use: useImages, Path: "/var/lib/docker", Free: 50 << 30}},
	}
}

func TestHealthy(t *testing.T) {
	for _, f := range Judge(healthy()) {
		if f.Status != OK || f.Do != "" || f.Found == "" {
			t.Errorf("%+v", f)
		}
	}
	if got := Worst(Judge(healthy())); got != OK {
		t.Error(got)
	}
}

// Each fault is told by one check, with what was found and what to do.
func TestFaults(t *testing.T) {
	bad := errors.New("the reason")
	tests := map[string]struct {
		fault  func(*Facts)
		check  string
		status Status
		found  string
		do     string
	}{
		"no-binding":    {func(f *Facts) { f.Versions.SharedMemory = false }, "plugin", Fail, "without shared memory", "make install"},
		"no-docker":     {func(f *Facts) { f.Program = Program{Err: bad} }, "docker command", Warn, "the reason", "docker-medianode"},
		"no-buildkit":   {func(f *Facts) { f.Engine.BuildKit = false }, "build", Fail, "not BuildKit", "daemon.json"},
		"old-runc":      {func(f *Facts) { f.Engine.Components["runc"] = "1.2.5" }, "known holes", Warn, "CVE-2025-31133", "runc 1.2.8"},
		"old-buildkit":  {func(f *Facts) { f.Engine.Components["buildkit"] = "v0.12.4" }, "known holes", Warn, "CVE-2024-23651", "buildkit 0.12.5"},
		"old-engine":    {func(f *Facts) { f.Engine.Version = "25.0.1" }, "known holes", Warn, "docker 25.0.1", "25.0.2"},
		"detached":      {func(f *Facts) { f.Probe.Err = bad }, "attached", Fail, "the reason", ""},
		"no-image":      {func(f *Facts) { f.Probe = Probe{Err: bad} }, "attached", Warn, "not proved", "docker medianode up"},
		"no-shm":        {func(f *Facts) { f.Shm.Err = bad }, "shared memory", Fail, "the reason", "mount -t tmpfs"},
		"shm-on-disk":   {func(f *Facts) { f.Shm.Type = "ext4" }, "shared memory", Fail, "ext4", "tmpfs"},
		"shm-read-only": {func(f *Facts) { f.Shm.Options = []string{"ro"} }, "shared memory", Fail, "ro", "remount,rw"},
		"shm-full":      {func(f *Facts) { f.Shm.Free = 1 << 20 }, "shared memory", Warn, "1 MiB free of 4 GiB", "remount,size="},
		"no-limits":     {func(f *Facts) { f.Engine.MemoryLimit, f.Engine.SwapLimit = false, false }, "limits", Fail, "memory, swap", "Delegate=yes"},
		"no-swap-limit": {func(f *Facts) { f.Engine.Cgroup, f.Engine.SwapLimit = "1", false }, "limits", Warn, "enforce: swap", "swapaccount=1"},
		"engine-warns":  {func(f *Facts) { f.Engine.Warnings = []string{"WARNING: old"} }, "limits", Warn, "says: old", "advice"},
		"left": {func(f *Facts) {
			f.Projects = []Project{{Name: "gone", Bytes: 2048}}
			f.Left = []runtime.Leftover{
				{Kind: "container", Name: "gone-asr-1", Project: "gone", State: "running"}, {Kind: "link", Name: "/tmp/mn-1", Project: "gone"},
				{Kind: "directory", Name: "/dev/shm/medianode-1/gone", Project: "gone", Bytes: 2048},
			}
		}, "leftovers", Warn, "container gone-asr-1 (running), link /tmp/mn-1, directory /dev/shm/medianode-1/gone (2 KiB)", "docker medianode gc"},
		"left-probe": {func(f *Facts) { f.Left = []runtime.Leftover{{Kind: "container", Name: "probe", State: "created"}} },
			"leftovers", Warn, "container probe (created)", "docker medianode gc"},
		"foreign-root": {func(f *Facts) { f.Foreign = Foreign{There: true, Files: 3, Old: 1} },
			"other iceoryx2", Warn, "uid 0, 3 files, 1 older", "have uid 0 remove it"},
		"foreign-closed": {func(f *Facts) { f.Foreign = Foreign{There: true, Writable: true, Err: bad} }, "other iceoryx2", Warn, "the reason", "may not start"},
		"one-processor":  {func(f *Facts) { f.CPUs = 1 }, "processors", Warn, "1 here", "two or more"},
		"few-files":      {func(f *Facts) { f.Files.Soft = 256 }, "open files", Warn, "256", "ulimit -n"},
		"little-disk":    {func(f *Facts) { f.Disks[1].Free = 1 << 30 }, "disk: images", Warn, "1 GiB free", "docker system df"},
		"no-disk":        {func(f *Facts) { f.Disks[1].Free = 1 << 20 }, "disk: images", Fail, "1 MiB free", "docker system df"},
		"no-state":       {func(f *Facts) { f.Disks[0].Free = 100 }, "disk: state", Fail, "100 B free", "make room"},
		"no-home":        {func(f *Facts) { f.Disks[0].Err = errNoHome }, "disk: state", Fail, "HOME", "set HOME"},
		"bad-bundle": {func(f *Facts) { f.Bundles = []Bundle{{Variable: "PIP_CERT", Path: "/x.pem", Err: bad}} },
			"certificates", Fail, "PIP_CERT=/x.pem: the reason", "unset PIP_CERT"},
		"empty-bundle": {func(f *Facts) { f.Bundles = []Bundle{{Variable: "SSL_CERT_FILE", Path: "/x.pem"}} },
			"certificates", Fail, "0 certificates", "unset SSL_CERT_FILE"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := healthy()
			test.fault(&f)
			findings := Judge(f)
			if got := Worst(findings); got != test.status {
				t.Errorf("worst is %s, want %s", got, test.status)
			}
			for _, got := range findings {
				if got.Check != test.check {
					if got.Status != OK {
						t.Errorf("told by another check too: %+v", got)
					}
					continue
				}
				if got.Status != test.status || !strings.Contains(got.Found, test.found) || !strings.Contains(got.Do, test.do) {
					t.Errorf("%+v", got)
				}
			}
		})
	}
}

// Without an engine everything else is still looked at, and one check fails.
func TestNoEngine(t *testing.T) {
	f := healthy()
	f.Engine, f.Probe = Engine{Err: errors.New("no engine")}, Probe{Err: errors.New("no engine")}
	f.Shm.Type = "ext4"
	var failed []string
	for _, got := range Judge(f) {
		if got.Status == Fail {
			failed = append(failed, got.Check)
		}
	}
	if !slices.Equal(failed, []string{"engine", "shared memory"}) {
		t.Error(failed)
	}
}

// What runs, and what only seems to.
func TestRunning(t *testing.T) {
	f := healthy()
	f.Projects = []Project{{Name: "live", PID: 7, Bytes: 1 << 20}}
	f.Left = []runtime.Leftover{{Kind: "container", Name: "gone-a-1", Project: "gone", State: "running"}}
	f.Containers = []Container{{"live"}, {"other"}, {"other"}, {"gone"}}
	findings := Judge(f)
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Check == "running" })
	if want := "live (process 7, 1 MiB), other (in containers alone)"; findings[i].Found != want {
		t.Errorf("%q, want %q", findings[i].Found, want)
	}
}

func TestVersions(t *testing.T) {
	runc := []string{"1.2.8", "1.3.3", "1.4.0"}
	for text, want := range map[string]bool{
		"1.1.12": true, "1.2.7": true, "1.2.8": false, "1.3.2": true, "1.3.3": false, "v1.4.0-rc.3": false, "1.5.2": false, "2.0.0": false,
		"1.2.8+unknown": false, "1.3": true,
	} {
		v, ok := parseVersion(text)
		if !ok || v.below(runc) != want {
			t.Errorf("%s: %v %v, want below %v", text, v, ok, want)
		}
	}
	for _, text := range []string{"", "dev", "1", "1.2.3.4", "a.b"} {
		if v, ok := parseVersion(text); ok {
			t.Errorf("%q is %v", text, v)
		}
	}
}

func TestBundles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"empty.pem": "", "key.pem": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"broken.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"empty.pem", "key.pem", "broken.pem", "none.pem"} {
		path := filepath.Join(dir, name)
		s := Sources{Getenv: func(v string) string {
			if v == "PIP_CERT" {
				return path
			}
			return ""
		}}
		got := s.bundles()
		if len(got) != 1 || got[0].Certificates != 0 || (got[0].Err != nil) != (name == "none.pem") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := (Sources{Getenv: func(string) string { return "" }}).bundles(); got != nil {
		t.Error(got)
	}
}

func TestText(t *testing.T) {
	var b strings.Builder
	findings := []Finding{{"engine", OK, "29", ""}, {"shared memory", Fail, "none", "mount it"}}
	if err := Text(&b, findings, func(_, text string) string { return text }); err != nil {
		t.Fatal(err)
	}
	want := "ok    engine         29\nfail  shared memory  none\n                     = mount it\n\n2 checks: 1 ok, 0 warn, 1 fail\n"
	if b.String() != want {
		t.Errorf("%q\nwant\n%q", b.String(), want)
	}
}
