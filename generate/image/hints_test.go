package image

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestHintsOfLogs holds hints against excerpts of real logs: each file's first
// line is the hint, the rest what pip, uv, apt or a compiler wrote.
func TestHintsOfLogs(t *testing.T) {
	files, err := filepath.Glob("testdata/logs/*.log")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
		if got := (failure{step: "[runtime 2/9] RUN", lines: lines[1:]}).hint(); got != lines[0] {
			t.Errorf("%s:\n got %s\nwant %s", name, got, lines[0])
		}
	}
}

func TestHints(t *testing.T) {
	const noWay = "the build has no way to the network: HTTP_PROXY, HTTPS_PROXY and NO_PROXY are passed to builds as they are set here"
	const system = "no space left on device"
	needs := func(names string) string { return "add build_dependencies: [" + names + "] to its docker" }
	for line, want := range map[string]string{
		"": "", "exit code: 1": "", "error: command '/usr/bin/gcc' failed with exit code 1": "", "x.c:1:1: fatal error: own.h: No such file or directory": "",
		"FileNotFoundError: [Errno 2] No such file or directory: 'README.md'": "",

		"a.c:3:10: fatal error: sndfile.h: No such file or directory":                                  needs("libsndfile1-dev") + ", and system_dependencies: [libsndfile1] to run with it",
		"a.c:3:10: fatal error: 'alsa/asoundlib.h' file not found":                                     needs("libasound2-dev") + ", and system_dependencies: [libasound2] to run with it",
		"src/x.c:5:10: fatal error: openssl/opensslv.h: No such file or directory":                     needs("libssl-dev"),
		"/usr/include/limits.h:1:1: fatal error: stdio.h: No such file or directory":                   needs("libc6-dev"),
		"a.c:1:10: fatal error: Eigen/Core: No such file or directory":                                 needs("libeigen3-dev"),
		"a.c:1:10: fatal error: Python.h: No such file or directory":                                   needs("python3-dev"),
		"No package 'libavformat' found":                                                               needs("libavformat-dev, libavcodec-dev, libavdevice-dev, libavutil-dev, libavfilter-dev, libswscale-dev, libswresample-dev") + ", and system_dependencies: [ffmpeg] to run with it",
		"Package libffi was not found in the pkg-config search path.":                                  needs("libffi-dev"),
		"Package 'libffi', required by 'virtual:world', not found":                                     needs("libffi-dev"),
		`../meson.build:9:0: ERROR: Dependency "gobject-introspection-1.0" not found, tried pkgconfig`: needs("libgirepository1.0-dev") + ", and system_dependencies: [libgirepository-1.0-1] to run with it",
		"/usr/bin/ld: cannot find -lportaudio: No such file or directory":                              needs("portaudio19-dev") + ", and system_dependencies: [libportaudio2] to run with it",
		"The system library `openssl` required by crate `openssl-sys` was not found.":                  needs("libssl-dev"),
		"Could not find directory of OpenSSL installation, and this `-sys` crate cannot":               needs("libssl-dev"),

		"/bin/sh: 1: gcc: not found":                                                       needs("build-essential"),
		"bash: line 1: gcc: command not found":                                             needs("build-essential"),
		"error: command 'gcc' failed: No such file or directory":                           needs("build-essential"),
		"RuntimeError: Unable to find a compiler":                                          needs("build-essential"),
		"../meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc'], ['clang']]":     needs("build-essential"),
		"../scipy/meson.build:88:0: ERROR: Unknown compiler(s): [['gfortran'], ['flang']]": needs("gfortran"),
		"error: linker `cc` not found":                                                     needs("build-essential"),
		"CMake Error: CMAKE_C_COMPILER not set, No CMAKE_C_COMPILER could be found.":       needs("build-essential"),
		"FileNotFoundError: [Errno 2] No such file or directory: 'cmake'":                  needs("cmake"),
		"error: CMake must be installed to build the following extensions: x":              needs("cmake"),
		"error: can't find Rust compiler":                                                  needs("cargo"),
		"Cargo, the Rust package manager, is not installed or is not on PATH.":             needs("cargo"),
		"pkg-config is required for building own":                                          needs("pkg-config"),
		"ERROR: Cannot find command 'git' - do you have 'git' installed and in your PATH?": needs("git"),
		"Error: pg_config executable not found.":                                           needs("libpq-dev"),
		"error: package `home v0.5.11` cannot be built because it requires rustc 1.81 or newer, while the currently active rustc version is 1.63.0": "Debian's Rust is too old for it: take a version in python_packages that has a wheel for this Python",

		"ResourceExhausted: write /var/lib/docker/overlay2/yp9/diff/x: " + system:          "the engine's disk is full: /var/lib/docker/overlay2/yp9/diff/x. docker system df tells what is on it, docker builder prune and docker image prune make room",
		"failed to create temp dir: mkdir /var/lib/docker/tmp/buildkit-mount26: " + system: "the engine's disk is full: /var/lib/docker/tmp/buildkit-mount26. docker system df tells what is on it, docker builder prune and docker image prune make room",
		"OSError: [Errno 28] No space left on device":                                      "the engine's disk is full. docker system df tells what is on it, docker builder prune and docker image prune make room",
		"process did not complete successfully: exit code: 137":                            "the kernel ended it, mostly for want of memory on the engine's machine: build fewer images at once, or take packages that need no compiling",

		"E: Package 'libasound2' has no installation candidate": "this Debian has libasound2 under another name, such as libasound2t64: write that in system_dependencies",
		"E: Version '1' for 'ffmpeg' was not found":             "this Debian has another version of ffmpeg: write it without one in system_dependencies",
		"E: Unable to locate package portaudio":                 "Debian has no portaudio: did you mean libportaudio2 in system_dependencies?",
		"E: Unable to locate package no-such-thing":             "Debian has no no-such-thing: packages.debian.org has the names for system_dependencies",

		"urllib3: [Errno -3] Temporary failure in name resolution":               noWay,
		"  Temporary failure resolving 'deb.debian.org'":                         noWay,
		"OSError('Tunnel connection failed: 407 Proxy Authentication Required')": "the proxy refuses: HTTP_PROXY, HTTPS_PROXY and NO_PROXY are passed to builds as they are set here, with user and password",
		"failed to resolve source metadata for docker.io/library/python:3.11-slim: failed to do request: dial tcp: lookup registry-1.docker.io: no such host": "the engine itself pulls base images: its machine needs a way to the registry, or a proxy in the engine's own settings",
		"failed to do request: tls: failed to verify certificate: x509: certificate signed by unknown authority":                                              "the engine does not trust the registry's certificate: its machine needs that of the company's authority",
		"pull access denied, repository does not exist or may require authorization":                                                                          "is the name in docker.base_image right? For a private registry, docker login first",

		"ModuleNotFoundError: No module named 'distutils'":                                 "the package is too old for this Python: take a newer version, or an older docker.python_version",
		"src/x.c:1:10: fatal error: longintrepr.h: No such file or directory":              "the package is too old for this Python: take a newer version, or an older docker.python_version",
		"ERROR: a-1-cp39-cp39-linux_x86_64.whl is not a supported wheel on this platform.": "the wheel is for another Python or machine: see its name, and docker.python_version",
		"ERROR: ResolutionImpossible: for help visit https://pip.pypa.io/":                 "loosen or change one of the versions in python_packages",
	} {
		if got := (failure{lines: []string{line}}).hint(); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}

func TestHintKnowsTheStage(t *testing.T) {
	f := failure{step: "[builder 4/8] RUN x", lines: []string{"E: Unable to locate package libsndfile-devel"}}
	if got := f.hint(); got != "Debian has no libsndfile-devel: did you mean libsndfile1-dev in build_dependencies?" {
		t.Error(got)
	}
}

func TestPipVersions(t *testing.T) {
	line := func(want, have string) string {
		return "ERROR: Could not find a version that satisfies the requirement " + want + " (from versions: " + have + ")"
	}
	for _, c := range []struct{ lines, want string }{
		{line("a==1.2.9", "1.1.0, 1.2.0, 1.2.1, 1.2.2, 1.2.3, 2.0"), "there is a 1.2.1, 1.2.2, 1.2.3, and 2.0 is the newest for this Python: correct it in python_packages"},
		{line("a[x]>=3", "1.1.0, 2.0"), "the newest a for this Python is 2.0: correct it in python_packages"},
		{line("a<3,>=2.1", "1.1.0, 2.0"), "the newest a for this Python is 2.0: correct it in python_packages"},
		{line("a", "none"), "no package index has a for this Python: correct its name in python_packages, or give its file in wheels"},
		{"ERROR: Ignored the following versions that require a different python version: 1.9 Requires-Python >=3.10; 2.0 Requires-Python >=3.11\n" + line("a==2.0", "1.1"), "a==2.0 needs Python >=3.11: set docker.python_version, or take another version of the package"},
	} {
		if got := (failure{lines: strings.Split(c.lines, "\n")}).hint(); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.lines, got, c.want)
		}
	}
}

func TestImportHint(t *testing.T) {
	for line, want := range map[string]string{
		"": "", "ModuleNotFoundError: No module named 'numpy'": "", "FileNotFoundError: [Errno 2] No such file or directory: 'model.bin'": "",
		"OSError: cannot load library 'libsndfile.so': libsndfile.so: cannot open shared object file: No such file or directory": "libsndfile1",
		"OSError: sndfile library not found using ctypes.util.find_library":                                                      "libsndfile1",
		"OSError: PortAudio library not found":                                                                                   "libportaudio2",
		"ImportError: libGL.so.1: cannot open shared object file: No such file or directory":                                     "libgl1",
		"ImportError: libgthread-2.0.so.0: cannot open shared object file: No such file or directory":                            "libglib2.0-0",
		`OSError: no library called "cairo-2" was found`:                                                                         "",
		`OSError: No library called "cairo-2" was found`:                                                                         "libcairo2",
		"FileNotFoundError: [Errno 2] No such file or directory: 'ffmpeg'":                                                       "ffmpeg",
		"/bin/sh: 1: sox: not found":                                                                                             "sox",
		"ImportError: failed to find libmagic.  Check your installation":                                                         "libmagic1",
	} {
		if want != "" {
			want = "add system_dependencies: [" + want + "] to its docker"
		}
		if got := ImportHint([]string{"Traceback (most recent call last):", line}); got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}

// TestLibraries: no two libraries are asked for by one name, and every package
// that projects want is there.
func TestLibraries(t *testing.T) {
	seen := map[string]string{}
	for _, l := range libraries() {
		if len(l.dev) == 0 {
			t.Errorf("nothing to build with: %+v", l)
		}
		for kind, names := range map[string][]string{"header": l.headers, "config": l.configs, "object": l.objects} {
			for _, n := range names {
				if k := kind + " " + n; seen[k] != "" {
					t.Errorf("%s is of %s and %s", k, seen[k], l.dev)
				}
				seen[kind+" "+n] = fmt.Sprint(l.dev)
			}
		}
	}
	for _, project := range []string{"pyaudio", "PyAlsaAudio", "av", "pycairo", "cffi", "psycopg2", "python_ldap", "lxml", "cryptography", "pygame", "tesserocr"} {
		if l, ok := wants(project); !ok || slices.Contains(l.dev, "") {
			t.Errorf("%s wants nothing", project)
		}
	}
}
