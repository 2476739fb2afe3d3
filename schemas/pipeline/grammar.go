package pipeline

import (
	"path"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// pattern compiles on first use: the plugin starts at every docker --help, long
// before it needs a grammar.
func pattern(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:` + expr + `)$`) })
}

const (
	idExpr     = `[A-Za-z][A-Za-z0-9_-]{0,62}`
	classExpr  = pyName + `(?:\.` + pyName + `)*:` + pyName
	debianExpr = `[a-z0-9][a-z0-9+.-]*[a-z0-9+](?:=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?`
	gpuExpr    = `[0-9]{1,3}|GPU-[0-9a-fA-F-]{1,64}|MIG-[0-9a-zA-Z/-]{1,64}`

	envName   = `[A-Za-z_][A-Za-z0-9_]*`
	pyName    = `[A-Za-z_][A-Za-z0-9_]*`
	host      = `(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?`
	component = `[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`
	reference = `(?:` + host + `/)?` + component + `(?:/` + component + `)*` +
		`(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[+._-][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?`
)

var (
	idPattern     = pattern(idExpr)
	envPattern    = pattern(envName)
	classPattern  = pattern(classExpr)
	debianPattern = pattern(debianExpr)
	imagePattern  = pattern(reference)
	gpuPattern    = pattern(gpuExpr)
)

// maxText bounds a path or a word, maxMatch what a pattern is tried on.
const (
	maxText  = 4096
	maxMatch = 256
)

// oneLine is what every short text must be, whatever its grammar: control
// characters and line ends are how text leaves the place it was put in.
func oneLine(s string) (string, string) {
	switch {
	case s == "":
		return "must not be empty", ""
	case len(s) > maxText:
		return "is too long", ""
	case strings.IndexFunc(s, hidden) >= 0:
		hint := ""
		if rest := strings.TrimRight(s, "\n"); rest != "" && strings.IndexFunc(rest, hidden) < 0 {
			hint = "write it behind the colon, without | or >"
		}
		return "must be one line without control characters", hint
	}
	return "", ""
}

// hidden also covers what turns the direction of a line: it makes a text look
// like another.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x2029
}

// freeText may hold line ends and tabs, and be empty.
func freeText(s string) (string, string) {
	if strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) >= 0 {
		return "must not hold control characters", ""
	}
	return "", ""
}

func isLine(s string) bool {
	problem, _ := oneLine(s)
	return problem == ""
}

func optionalLine(s string) (string, string) {
	if s == "" {
		return "", ""
	}
	return oneLine(s)
}

func matches(p func() *regexp.Regexp, problem, hint string) checker {
	return func(s string) (string, string) {
		if bad, h := oneLine(s); bad != "" {
			return bad, h
		}
		if len(s) > maxMatch || !p().MatchString(s) {
			return problem, hint
		}
		return "", ""
	}
}

func checkID(s string) (string, string) {
	hint := "a letter, then up to 62 letters, digits, - or _"
	if strings.ContainsAny(s, "“”‘’„") {
		hint = "plain quotes are \" and '"
	}
	return matches(idPattern, "is not an id", hint)(s)
}

func checkEnvName(s string) (string, string) {
	return matches(envPattern, "is not the name of an environment variable", "letters, digits and _, not a digit first")(s)
}

func checkDebian(s string) (string, string) {
	hint := "a name such as libsndfile1, or name=version"
	switch low := strings.ToLower(strings.Replace(s, "==", "=", 1)); {
	case low != s && len(s) <= shown && debianPattern().MatchString(low):
		hint = "write " + low
	case len(strings.Fields(s)) > 1:
		hint = "write each package as an item of its own"
	}
	return matches(debianPattern, "is not a Debian package", hint)(s)
}

func checkGPU(s string) (string, string) {
	hint := "an index, or an id that begins with GPU- or MIG-"
	if s == "all" {
		hint = "write gpu_devices: all"
	} else if i, ok := strings.CutPrefix(s, "cuda:"); ok && gpuPattern().MatchString(i) {
		hint = "write " + i
	}
	return matches(gpuPattern, "is not a GPU", hint)(s)
}

func checkImage(s string) (string, string) {
	hint := "such as python:3.11-slim or registry.example/team/base:1"
	if strings.ToLower(s) != s && imagePattern().MatchString(strings.ToLower(s)) {
		hint = "repository names are lower case"
	}
	return matches(imagePattern, "is not an image reference", hint)(s)
}

// debianName is what must not be listed twice.
func debianName(s string) string {
	name, _, _ := strings.Cut(s, "=")
	return name
}

// checkMountPath also takes an absolute path: whether it may be mounted is for
// the caller of the pipeline to say, who knows the machine.
func checkMountPath(s string) (string, string) {
	switch bad, hint := oneLine(s); {
	case bad != "":
		return bad, hint
	case !path.IsAbs(s):
		return checkHostPath(s)
	case strings.HasSuffix(path.Clean(s), "docker.sock") || path.Base(s) == "containerd.sock":
		return "is the engine's socket, which no node may have", ""
	case strings.Contains(s, `\`):
		return "must be written with /", ""
	case path.Clean(s) != s:
		return "is not a clean path", "write " + printable(cut(path.Clean(s)))
	}
	return "", ""
}

// checkHostPath keeps a path inside the project as far as its text can tell.
func checkHostPath(s string) (string, string) {
	if bad, hint := oneLine(s); bad != "" {
		return bad, hint
	}
	inside := "a path inside the directory of the pipeline file, such as ./data"
	switch {
	case strings.HasSuffix(path.Clean(s), "docker.sock") || path.Base(s) == "containerd.sock":
		return "is the engine's socket, which no node may have", ""
	case strings.Contains(s, `\`):
		return "must be written with /", ""
	case path.IsAbs(s):
		return "must not be absolute", inside
	case strings.HasPrefix(s, "~"):
		return "must not begin with ~", inside
	case len(s) > 1 && s[1] == ':':
		return "must not name a drive", inside
	}
	for part := range strings.SplitSeq(s, "/") {
		if part == ".." {
			return "must not hold ..", inside
		}
	}
	return "", ""
}

// checkContainerPath wants an absolute, clean path outside what the container
// itself is made of.
func checkContainerPath(s string) (string, string) {
	if bad, hint := oneLine(s); bad != "" {
		return bad, hint
	}
	if !path.IsAbs(s) {
		return "must be absolute", "such as /data"
	}
	if path.Clean(s) != s {
		return "is not a clean path", "write " + printable(cut(path.Clean(s)))
	}
	if strings.ContainsAny(s, `\:`) {
		return `must not hold \ or :`, ""
	}
	for _, own := range []string{"/proc", "/sys", "/dev", "/opt/venv", "/tmp/iceoryx2", "/etc/iceoryx2"} {
		if s == own || strings.HasPrefix(s, own+"/") {
			return "belongs to the container itself", "such as /data"
		}
	}
	switch s {
	case "/", "/tmp", "/opt", "/etc", "/usr", "/bin", "/lib", "/lib64", "/sbin", "/var", "/run":
		return "would hide part of the image", "mount below it, such as /data"
	}
	if strings.HasPrefix(s, "/tmp/mn-") || path.Base(s) == "docker.sock" {
		return "belongs to the container itself", "such as /data"
	}
	return "", ""
}
