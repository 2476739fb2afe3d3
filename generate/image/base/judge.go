package base

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// minGlibc is what iceoryx2's wheel for x86-64 was built for, minor version of
// glibc 2.
const minGlibc = 34

// maxLine is how long a finding may be, characters: an image may say what it
// likes.
const maxLine = 400

// venvPath is where the virtual environment of every node lies.
const venvPath = "/opt/venv"

// Judge holds the facts of a base against what a node needs: errors first. No
// finding: the base is fine.
func Judge(f Facts, n Need) []Finding {
	j := &judge{}
	j.platform(f.Config, n)
	j.onBuild(f.Config.OnBuild)
	j.environment(f.Config.Env)
	if f.Python == nil {
		j.noPython(f, n)
	} else {
		j.python(f, n)
		j.libraries(*f.Python, n)
		j.programs(*f.Python, n)
	}
	j.leftovers(f.Config)
	slices.SortStableFunc(j.found, func(a, b Finding) int { return int(a.Severity) - int(b.Severity) })
	return j.found
}

// Fits says whether nodes can be built on the base: no finding is an error.
func Fits(found []Finding) bool {
	return !slices.ContainsFunc(found, func(f Finding) bool { return f.Severity == pipeline.Error })
}

// Line is one line of a text that came out of an image, for a terminal.
func Line(text string) string { return short(text, maxLine) }

type judge struct{ found []Finding }

func (j *judge) fail(hint, format string, args ...any) {
	j.found = append(j.found, Finding{pipeline.Error, short(fmt.Sprintf(format, args...), maxLine), short(hint, maxLine)})
}

func (j *judge) warn(hint, format string, args ...any) {
	j.found = append(j.found, Finding{pipeline.Warning, short(fmt.Sprintf(format, args...), maxLine), short(hint, maxLine)})
}

func (j *judge) platform(c Config, n Need) {
	if c.OS != "linux" {
		j.fail("base on an image for Linux", "is for %s; nodes run on Linux", c.OS)
	}
	if n.Arch != "" && c.Arch != n.Arch {
		j.fail("pull or build it for linux/"+n.Arch, "is for %s; the engine builds for %s", c.Arch, n.Arch)
	}
}

// onBuild judges what runs in our builds at every FROM, in each of their stages
// and before any step of ours. What copies takes from our context, of which
// whoever wrote the trigger knows nothing.
func (j *judge) onBuild(triggers []string) {
	for _, t := range triggers {
		word, _, _ := strings.Cut(strings.TrimSpace(t), " ")
		word = strings.ToUpper(word)
		switch {
		case (word == "COPY" || word == "ADD") && !strings.Contains(t, "--from="):
			j.fail("base on an image without this ONBUILD", "has the trigger ONBUILD %s: it would copy out of the node's build context, which is not the one it was written for", short(t, 80))
		case slices.Contains([]string{"USER", "ENTRYPOINT", "CMD", "STOPSIGNAL", "WORKDIR", "LABEL", "EXPOSE"}, word):
			// The Dockerfile of a node sets its own, or it does nothing.
		default:
			j.warn("", "has the trigger ONBUILD %s: it runs in each stage of every node's build, before anything else", short(t, 80))
		}
	}
}

func (j *judge) environment(env map[string]string) {
	have := func(name string) bool { return env[name] != "" }
	if have("PYTHONHOME") {
		j.fail("leave it out of the image: ENV PYTHONHOME= is enough", "sets PYTHONHOME to %s: no virtual environment works with it", env["PYTHONHOME"])
	}
	for _, name := range elsewhere() {
		if have(name) {
			j.fail("leave it out of the image", "sets %s to %s: packages would be installed elsewhere than into the node's environment", name, env[name])
		}
	}
	if have("PYTHONPATH") {
		j.warn("install what is there as packages, or name them in python_packages", "sets PYTHONPATH to %s: a node sees /app instead", env["PYTHONPATH"])
	}
	if have("LD_PRELOAD") {
		j.warn("", "sets LD_PRELOAD to %s: it is loaded into every process of the build and of the node", env["LD_PRELOAD"])
	}
}

// elsewhere are variables that make pip or uv install to another place.
func elsewhere() []string {
	return []string{"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "UV_TARGET", "UV_PREFIX"}
}

// noPython says why there is none, as exactly as it is known.
func (j *judge) noPython(f Facts, n Need) {
	switch f.Why {
	case Missing:
		hint := "install Python " + n.Python + " in it, or base on python:" + n.Python + "-slim"
		if len(f.Elsewhere) > 0 {
			directory, _, _ := cutLast(f.Elsewhere[0], "/")
			hint = fmt.Sprintf("there is %s: put its directory on the PATH, ENV PATH=%s:$PATH", f.Elsewhere[0], directory)
		}
		j.fail(hint, "has no python3 on its PATH, %s", f.Config.Path)
	case Closed:
		where := "python3"
		if len(f.Elsewhere) > 0 {
			where = f.Elsewhere[0]
		}
		j.fail("install it where everybody may read and run it, such as /usr/local", "has a Python that user %d, who runs the node, may not run: %s", n.UID, where)
	case Foreign:
		j.fail("pull or build it for the engine's machine", "has a python3 that this machine cannot run: %s", f.Detail)
	case Hung:
		j.fail("", "has a python3 that does not end: it was given a few lines and %s", f.Detail)
	case Flooded:
		j.fail("", "has a python3 that prints without end: more than %s for a program of a few lines", f.Detail)
	case Failed:
		j.fail("docker run --rm --entrypoint python3 IMAGE -I -c 1 shows it", "has a python3 that does not work: %s", f.Detail)
	}
}

func (j *judge) python(f Facts, n Need) {
	p := f.Python
	if have := p.Minor(); have != n.Python {
		j.fail(fmt.Sprintf("write python_version: %q, or base on an image with Python %s", have, n.Python),
			"has Python %s (%s), but docker.python_version is %s", p.Version, p.Path, n.Python)
	}
	if p.Implementation != "CPython" {
		j.fail("base on an image with CPython", "has %s: iceoryx2 is there for CPython", p.Implementation)
	}
	if p.FreeThreaded {
		j.fail("base on an image with a usual build of Python", "has a free-threaded Python: iceoryx2 has no wheel for it")
	}
	if p.Bits != 64 {
		j.fail("base on an image with a 64-bit Python", "has a %d-bit Python: iceoryx2 has no wheel for it", p.Bits)
	}
	var lacks []string
	for _, m := range p.Lacks {
		if m != "venv" && m != "ensurepip" {
			lacks = append(lacks, m)
		}
	}
	if len(lacks) < len(p.Lacks) {
		j.fail(`install it in the image: on Debian the package "python3-venv"`, "has a Python without %s: no virtual environment can be made", missing(p.Lacks, "venv", "ensurepip"))
	}
	if len(lacks) > 0 {
		j.fail("base on an image with the whole standard library", "has a Python without the modules %s", strings.Join(lacks, ", "))
	}
	if len(p.Hides) > 0 {
		j.fail("remove it from the image, or rename it", "has %s, which hides the SDK", strings.Join(p.Hides, " and "))
	}
	if p.Venv != "" && minor(p.Venv) != p.Minor() {
		j.warn("", "has a virtual environment of Python %s at %s: builds replace it by one of Python %s", p.Venv, venvPath, p.Minor())
	}
}

// libraries judges what iceoryx2 is and what it stands on.
func (j *judge) libraries(p Python, n Need) {
	hint := "base on Debian 12, Ubuntu 22.04 or newer"
	switch {
	case p.Musl:
		j.fail("base on Debian or Ubuntu, not on Alpine", "is built on musl: iceoryx2 has wheels for glibc only")
	case p.Machine != "x86_64": // built from source there
	case p.Glibc == "":
		j.fail(hint, "has no glibc: iceoryx2's wheel needs glibc 2.%d", minGlibc)
	case !atLeast(p.Glibc, minGlibc):
		j.fail(hint, "has glibc %s: iceoryx2's wheel needs glibc 2.%d or newer", p.Glibc, minGlibc)
	}
	if p.Iceoryx2 != "" && n.Iceoryx2 != "" && p.Iceoryx2 != n.Iceoryx2 {
		j.warn("leave iceoryx2 out of the image, or make it anew with docker medianode base build",
			"has iceoryx2 %s: nodes get %s, and programs of the image that use the other cannot talk to them", p.Iceoryx2, n.Iceoryx2)
	}
}

func (j *judge) programs(p Python, n Need) {
	if !slices.Contains(p.Programs, "install") {
		j.fail("install Debian's coreutils in it", "has no program install, which a node's build runs")
	}
	if len(n.Debian) > 0 && !slices.Contains(p.Programs, "apt-get") {
		j.fail("install them in the image itself, and leave them out of the pipeline", "has no apt-get, which is to install %s", strings.Join(n.Debian, ", "))
	}
}

// leftovers are settings of the base that the node's container inherits.
func (j *judge) leftovers(c Config) {
	for _, v := range c.Volumes {
		j.warn("", "declares the volume %s: every container of the node gets one of its own, which it may write to", v)
	}
	if c.Health {
		j.warn("end the image's Dockerfile with HEALTHCHECK NONE", "has a health check: it runs in the node's container, again and again")
	}
}

// missing are the wanted words that are in list, in words.
func missing(list []string, wanted ...string) string {
	var got []string
	for _, w := range wanted {
		if slices.Contains(list, w) {
			got = append(got, w)
		}
	}
	return strings.Join(got, " and ")
}

// minor is 3.11 of 3.11.7.
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}

// atLeast compares glibc 2.x.
func atLeast(version string, want int) bool {
	major, rest, _ := strings.Cut(version, ".")
	digits, _, _ := strings.Cut(rest, ".")
	first, err := strconv.Atoi(major)
	second, bad := strconv.Atoi(digits)
	return err == nil && bad == nil && (first > 2 || first == 2 && second >= want)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// short is one line of a text, for a terminal.
func short(s string, most int) string {
	s = strings.Join(strings.Fields(strings.Map(visible, s)), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

// visible drops what would steer a terminal: an image may say what it likes.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case !unicode.IsPrint(r):
		return -1
	}
	return r
}
