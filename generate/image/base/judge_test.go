package base_test

import (
	"strings"
	"testing"

	"github.com/medianode/docker-medianode/generate/image/base"
)

// good is python:3.11-slim.
func good() base.Facts {
	return base.Facts{
		ID: "sha256:1", Config: base.Config{OS: "linux", Arch: "amd64", Path: "/usr/local/bin:/usr/bin"},
		Python: &base.Python{
			Version: "3.11.7", Path: "/usr/local/bin/python3", Implementation: "CPython", Bits: 64, Machine: "x86_64",
			Glibc: "2.36", Programs: []string{"apt-get", "install"},
		},
	}
}

func TestJudge(t *testing.T) {
	need := base.Need{Python: "3.11", Arch: "amd64", Iceoryx2: "0.10.0", UID: 1000}
	for name, tt := range map[string]struct {
		change func(*base.Facts, *base.Need)
		want   []string // severity, then parts of message and hint
	}{
		"nothing":        {func(*base.Facts, *base.Need) {}, nil},
		"user and words": {func(f *base.Facts, _ *base.Need) { f.Config.User, f.Config.Entrypoint = "1234", []string{"sleep"} }, nil},
		"wrong Python": {func(_ *base.Facts, n *base.Need) { n.Python = "3.12" },
			[]string{`error: has Python 3.11.7 (/usr/local/bin/python3), but docker.python_version is 3.12 = write python_version: "3.11"`}},
		"3.1 is not 3.11":  {func(_ *base.Facts, n *base.Need) { n.Python = "3.1" }, []string{"error: has Python 3.11.7"}},
		"musl":             {func(f *base.Facts, _ *base.Need) { f.Python.Glibc, f.Python.Musl = "", true }, []string{"error: is built on musl: iceoryx2 has wheels for glibc only = base on Debian or Ubuntu"}},
		"old glibc":        {func(f *base.Facts, _ *base.Need) { f.Python.Glibc = "2.31" }, []string{"error: has glibc 2.31: iceoryx2's wheel needs glibc 2.34 or newer = base on Debian 12"}},
		"glibc 2.4":        {func(f *base.Facts, _ *base.Need) { f.Python.Glibc = "2.4" }, []string{"error: has glibc 2.4:"}},
		"just enough":      {func(f *base.Facts, _ *base.Need) { f.Python.Glibc = "2.34" }, nil},
		"with a patch":     {func(f *base.Facts, _ *base.Need) { f.Python.Glibc = "2.39.1" }, nil},
		"no libc known":    {func(f *base.Facts, _ *base.Need) { f.Python.Glibc = "" }, []string{"error: has no glibc"}},
		"glibc in letters": {func(f *base.Facts, _ *base.Need) { f.Python.Glibc = "two" }, []string{"error: has glibc two"}},
		"old glibc on another machine": {func(f *base.Facts, n *base.Need) {
			f.Python.Glibc, f.Python.Machine, f.Config.Arch, n.Arch = "2.31", "aarch64", "arm64", "arm64"
		}, nil},
		"another machine": {func(f *base.Facts, _ *base.Need) { f.Config.Arch = "arm64" }, []string{"error: is for arm64; the engine builds for amd64"}},
		"machine unknown": {func(_ *base.Facts, n *base.Need) { n.Arch = "" }, nil},
		"Windows":         {func(f *base.Facts, _ *base.Need) { f.Config.OS, f.Python = "windows", nil }, []string{"error: is for windows"}},
		"PyPy":            {func(f *base.Facts, _ *base.Need) { f.Python.Implementation = "PyPy" }, []string{"error: has PyPy"}},
		"free-threaded":   {func(f *base.Facts, _ *base.Need) { f.Python.FreeThreaded = true }, []string{"error: has a free-threaded Python"}},
		"32 bits":         {func(f *base.Facts, _ *base.Need) { f.Python.Bits = 32 }, []string{"error: has a 32-bit Python"}},
		"Debian's own":    {func(f *base.Facts, _ *base.Need) { f.Python.Lacks = []string{"ensurepip"} }, []string{`error: has a Python without ensurepip: no virtual environment can be made = install it in the image: on Debian the package "python3-venv"`}},
		"minimal": {func(f *base.Facts, _ *base.Need) { f.Python.Lacks = []string{"venv", "ensurepip", "ssl", "ctypes"} },
			[]string{"error: has a Python without venv and ensurepip:", "error: has a Python without the modules ssl, ctypes"}},
		"no apt-get, not needed": {func(f *base.Facts, _ *base.Need) { f.Python.Programs = []string{"install"} }, nil},
		"no apt-get": {func(f *base.Facts, n *base.Need) {
			f.Python.Programs, n.Debian = []string{"install"}, []string{"libsndfile1", "ffmpeg"}
		}, []string{"error: has no apt-get, which is to install libsndfile1, ffmpeg"}},
		"no coreutils":   {func(f *base.Facts, _ *base.Need) { f.Python.Programs = []string{"apt-get"} }, []string{"error: has no program install"}},
		"same iceoryx2":  {func(f *base.Facts, _ *base.Need) { f.Python.Iceoryx2 = "0.10.0" }, nil},
		"other iceoryx2": {func(f *base.Facts, _ *base.Need) { f.Python.Iceoryx2 = "0.5.0" }, []string{"warning: has iceoryx2 0.5.0: nodes get 0.10.0"}},
		"its own venv":   {func(f *base.Facts, _ *base.Need) { f.Python.Venv = "3.11.7" }, nil},
		"other venv":     {func(f *base.Facts, _ *base.Need) { f.Python.Venv = "3.9.1" }, []string{"warning: has a virtual environment of Python 3.9.1 at /opt/venv"}},
		"hidden SDK":     {func(f *base.Facts, _ *base.Need) { f.Python.Hides = []string{"/app/medianode.py"} }, []string{"error: has /app/medianode.py, which hides the SDK"}},
		"ONBUILD COPY": {func(f *base.Facts, _ *base.Need) { f.Config.OnBuild = []string{"COPY . /src", "RUN make"} },
			[]string{"error: has the trigger ONBUILD COPY . /src: it would copy out of the node's build context", "warning: has the trigger ONBUILD RUN make: it runs in each stage"}},
		"ONBUILD add":              {func(f *base.Facts, _ *base.Need) { f.Config.OnBuild = []string{"add a /"} }, []string{"error: has the trigger ONBUILD add a /"}},
		"ONBUILD of another image": {func(f *base.Facts, _ *base.Need) { f.Config.OnBuild = []string{"COPY --from=tools /x /x"} }, []string{"warning: has the trigger"}},
		"ONBUILD USER":             {func(f *base.Facts, _ *base.Need) { f.Config.OnBuild = []string{"USER 1000", "ENTRYPOINT x"} }, nil},
		"PYTHONHOME":               {func(f *base.Facts, _ *base.Need) { f.Config.Env = map[string]string{"PYTHONHOME": "/usr"} }, []string{"error: sets PYTHONHOME to /usr"}},
		"empty PYTHONHOME":         {func(f *base.Facts, _ *base.Need) { f.Config.Env = map[string]string{"PYTHONHOME": ""} }, nil},
		"PIP_TARGET":               {func(f *base.Facts, _ *base.Need) { f.Config.Env = map[string]string{"PIP_TARGET": "/lib"} }, []string{"error: sets PIP_TARGET to /lib"}},
		"PYTHONPATH":               {func(f *base.Facts, _ *base.Need) { f.Config.Env = map[string]string{"PYTHONPATH": "/opt/lib"} }, []string{"warning: sets PYTHONPATH to /opt/lib: a node sees /app instead"}},
		"LD_PRELOAD":               {func(f *base.Facts, _ *base.Need) { f.Config.Env = map[string]string{"LD_PRELOAD": "libjemalloc.so.2"} }, []string{"warning: sets LD_PRELOAD to libjemalloc.so.2"}},
		"volumes and health": {func(f *base.Facts, _ *base.Need) { f.Config.Volumes, f.Config.Health = []string{"/data"}, true },
			[]string{"warning: declares the volume /data", "warning: has a health check"}},
		"no Python": {func(f *base.Facts, _ *base.Need) { f.Python, f.Why = nil, base.Missing },
			[]string{"error: has no python3 on its PATH, /usr/local/bin:/usr/bin = install Python 3.11 in it, or base on python:3.11-slim"}},
		"not on the PATH": {func(f *base.Facts, _ *base.Need) {
			f.Python, f.Why, f.Elsewhere = nil, base.Missing, []string{"/opt/conda/bin/python3"}
		}, []string{"error: has no python3 on its PATH, /usr/local/bin:/usr/bin = there is /opt/conda/bin/python3: put its directory on the PATH, ENV PATH=/opt/conda/bin:$PATH"}},
		"closed": {func(f *base.Facts, _ *base.Need) {
			f.Python, f.Why, f.Elsewhere = nil, base.Closed, []string{"/root/bin/python3"}
		}, []string{"error: has a Python that user 1000, who runs the node, may not run: /root/bin/python3"}},
		"foreign": {func(f *base.Facts, _ *base.Need) { f.Python, f.Why, f.Detail = nil, base.Foreign, "exec format error" }, []string{"error: has a python3 that this machine cannot run: exec format error"}},
		"hung":    {func(f *base.Facts, _ *base.Need) { f.Python, f.Why, f.Detail = nil, base.Hung, "ran for 30s" }, []string{"error: has a python3 that does not end: it was given a few lines and ran for 30s"}},
		"flood":   {func(f *base.Facts, _ *base.Need) { f.Python, f.Why, f.Detail = nil, base.Flooded, "64 KiB" }, []string{"error: has a python3 that prints without end: more than 64 KiB"}},
		"failed":  {func(f *base.Facts, _ *base.Need) { f.Python, f.Why, f.Detail = nil, base.Failed, "exit code 1" }, []string{"error: has a python3 that does not work: exit code 1"}},
		"errors first": {func(f *base.Facts, n *base.Need) { f.Python.Iceoryx2, n.Python, f.Config.Health = "1.0.0", "3.9", true },
			[]string{"error: has Python", "warning: has iceoryx2 1.0.0", "warning: has a health check"}},
		"what steers a terminal": {func(f *base.Facts, _ *base.Need) {
			f.Config.Env = map[string]string{"LD_PRELOAD": "a\x1b[31m\nb\u202e"}
		},
			[]string{"warning: sets LD_PRELOAD to a[31m b: it"}},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := good(), need
			tt.change(&f, &n)
			var got []string
			for _, found := range base.Judge(f, n) {
				got = append(got, found.Severity.String()+": "+found.Message+" = "+found.Hint)
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("got %q, want %q", got[i], tt.want[i])
				}
			}
		})
	}
}

// An image may say what it likes: it fills no screen.
func TestJudgeIsBounded(t *testing.T) {
	f := good()
	f.Python.Version, f.Python.Path = strings.Repeat("9", 50000), strings.Repeat("x", 50000)
	f.Config.OnBuild = []string{"RUN " + strings.Repeat("y", 50000)}
	for _, found := range base.Judge(f, base.Need{Python: "3.11"}) {
		if len(found.Message)+len(found.Hint) > 1000 {
			t.Errorf("%d characters", len(found.Message)+len(found.Hint))
		}
	}
}
