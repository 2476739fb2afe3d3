package pipeline

import (
	"math"
	"math/big"
	"strings"
	"testing"
)

func TestGrammars(t *testing.T) {
	for name, c := range map[string]struct {
		check    checker
		yes, not []string
	}{
		"id": {checkID, []string{"a", "A-1_b", strings.Repeat("a", 63)},
			[]string{"", "1a", "_a", "a.b", "a b", "é", "a\n", strings.Repeat("a", 64)}},
		"env name": {checkEnvName, []string{"A", "_", "a1_B"}, []string{"", "1A", "A-B", "A=B", "A B", "$A", "A\x00"}},
		"requirement": {checkRequirement, []string{
			"numpy", "numpy==2.1.0", "a.b-c_d>=1,<2", "x[y]", "x[y,z-1] ~= 1.4.2", "x (>=1.0)", "x==1.*", "x===1.0+local.1",
			"x!=1!2.0", "x;python_version<'3.11'", `x>1 ; (os_name == "nt" or sys_platform in 'linux darwin') and extra == "a"`,
			`x; 'linux' not in sys_platform`, `x; python_version >= "3.9" and python_version < "3.13"`, `x; os_name == "and or ("`,
			`x; (((os_name == "a")))`,
		}, []string{
			"", "-", "-e .", "--pre", "a b", "a=1", "a==", "a>=1,", "a[", "a[b", "a[b,]", "_a", "a-", "a@b", "a @ https://x/y",
			"./a", "a/b", `a\b`, "a.whl", "a\nb", "a #c", "a;", "a; x", "a; os_name", `a; os_name == "x" or`, `a; (os_name == "x"`,
			`a; os_name == "x")`, `a; os_name == "x" "y"`, `a; os_name == 'x`, `a; os_name == "x" os_name == "y"`, `a; and`, `a; ()`,
			`a; (os_name == "x") (os_name == "y")`, "a==$(id)", "a==`id`", "a==1;b", "a--hash=x", "é", "a\u202eb", strings.Repeat("a", 300),
		}},
		"debian": {checkDebian, []string{"g++", "libc6", "ffmpeg=7:5.1.6-0+deb12u1", "a0=1.0~rc1"},
			[]string{"", "a", "A", "foo-", "-y", "a b", "foo=", "foo/stable", "foo:arm64", "./x", "foo=1;id", "foo*", "foo\n", "+ab"}},
		"image": {checkImage, []string{
			"python", "python:3.11-slim", "a/b/c", "localhost:5000/a", "[::1]:5000/a", "reg.example/a__b/c-d:T_1.x",
			"a@sha256:" + strings.Repeat("0", 64), "a:1@sha256:" + strings.Repeat("f", 64),
		}, []string{
			"", "A", "a:", "a:-x", "a b", "https://a/b", "a//b", "/a", "a/", "a@sha256:00", "a:b:c", "a\nRUN x", "a_", "a..b", "$A", "-a",
		}},
		"host path": {checkHostPath, []string{".", "./a", "a/b c", "a/..b", ".hidden"},
			[]string{"", "/a", "..", "../a", "a/..", "a/../b", "~", "~/a", `a\b`, "c:/x", "docker.sock", "run/docker.sock", "a\nb", "a\u2066b"}},
		"container path": {checkContainerPath, []string{"/a", "/a/b c", "/tmp/x", "/opt/x", "/usr/share/x"},
			[]string{"", "a", "/", "/a/", "/a//b", "/a/../b", "/./a", "/proc", "/proc/1", "/sys", "/dev", "/dev/shm", "/tmp", "/etc", "/a:b", "/tmp/mn-1", "/var/run/docker.sock", "/opt/venv/lib", "/a\x00"}},
		"wheel":  {checkWheel, []string{"w/a-1-py3-none-any.whl"}, []string{"a.zip", "/a.whl", "../a.whl"}},
		"gpu":    {checkGPU, []string{"0", "GPU-1a2b", "MIG-x"}, []string{"", "-1", "gpu", "all "}},
		"python": {checkPython, []string{"3.9", "3.10", "3.13"}, []string{"", "3", "3.1", "3.8", "3.14", "3.11.4", "2.7"}},
	} {
		for _, s := range c.yes {
			if problem, _ := c.check(s); problem != "" {
				t.Errorf("%s: %q %s", name, s, problem)
			}
		}
		for _, s := range c.not {
			if problem, _ := c.check(s); problem == "" {
				t.Errorf("%s: %q passes", name, s)
			}
		}
	}
}

func TestClass(t *testing.T) {
	for s, want := range map[string]bool{
		"a:B": true, "a.b_1.c:_D": true, "a": false, "a:": false, ":B": false, "a..b:C": false, "1a:B": false, "a:B.c": false,
		"a:B()": false, "a/b:C": false, "a:b:c": false, "a:B\n": false, "a.py:B;x": false,
	} {
		if classPattern().MatchString(s) != want {
			t.Errorf("%q: not %v", s, want)
		}
	}
}

func TestCore(t *testing.T) {
	huge, _ := new(big.Int).SetString("-36893488147419103232", 10)
	for s, want := range map[string]any{
		"": nil, "~": nil, "null": nil, "NULL": nil, "nULL": "nULL", "true": true, "FALSE": false, "yes": "yes", "no": "no", "on": "on",
		"0": int64(0), "010": int64(10), "-7": int64(-7), "+7": int64(7), "0o17": int64(15), "0x1F": int64(31), "-0x1": "-0x1",
		"9007199254740993": int64(9007199254740993), "18446744073709551615": uint64(math.MaxUint64), "-36893488147419103232": huge,
		"1_000": "1_000", "3.10": 3.1, ".5": .5, "5.": 5., "1e3": 1e3, "-1.5E-2": -.015, ".": ".", "e5": "e5", "1e": "1e", "+": "+", "--1": "--1",
		"1.2.3": "1.2.3", ".inf": math.Inf(1), "-.INF": math.Inf(-1), "+.Inf": math.Inf(1), "inf": "inf", "0b1": "0b1", "0o8": "0o8",
		"2001-01-01": "2001-01-01", "12:30": "12:30", "0x": "0x", "=": "=", "é": "é",
	} {
		got, ok := core(s)
		if b, is := want.(*big.Int); is {
			if g, is := got.(*big.Int); !is || g.Cmp(b) != 0 {
				t.Errorf("%q: %v", s, got)
			}
		} else if !ok || got != want {
			t.Errorf("%q: %T %v, not %T %v", s, got, got, want, want)
		}
	}
	if v, _ := core(".nan"); !math.IsNaN(v.(float64)) {
		t.Errorf("%v", v)
	}
	for _, s := range []string{"1e999", strings.Repeat("9", maxDigits+1)} {
		if _, ok := core(s); ok {
			t.Errorf("%.10q passes", s)
		}
	}
}

func TestSize(t *testing.T) {
	for s, want := range map[string]int64{
		"1": 1, "1B": 1, "64KiB": 65536, "2 MiB": 2 << 20, "1GiB": 1 << 30, "99999999999GiB": math.MaxInt64, "99999999999999999999": math.MaxInt64,
		"": -1, "KiB": -1, "1KB": -1, "1.5MiB": -1, "-1": -1, "1kib": -1, "0x1": -1, "1 TiB": -1, "+1": -1,
	} {
		got, _, ok := parseSize(s)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("%q: %d %v", s, got, ok)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"memory_mb", "max_frame", "on_full", "id", "node_type"}
	for s, want := range map[string]string{
		"memroy_mb": "memory_mb", "maxframe": "max_frame", "max-frame": "max_frame", "ONFULL": "on_full", "di": "id", "x": "", "node": "node_type", "zebra": "",
	} {
		if got := nearest(s, known); got != want {
			t.Errorf("%q: %q, not %q", s, got, want)
		}
	}
}

func TestDistribution(t *testing.T) {
	for s, want := range map[string]string{
		"A.b--C>=1": "a-b-c", "x[y]": "x", "x ; os_name == 'a'": "x; os_name == 'a'",
	} {
		if got := distribution(s); got != want {
			t.Errorf("%q: %q", s, got)
		}
	}
}
