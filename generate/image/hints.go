package image

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// failure is what is known of a build that failed.
type failure struct {
	step  string   // the instruction that failed; may be empty
	lines []string // its log, and the error
}

// hint says what to change so that the build goes on: mostly a field of the
// node's docker. It is empty if nothing is known.
func (f failure) hint() string {
	for _, explain := range []func(failure) string{
		failure.diskFull, failure.killed, failure.missing, failure.certificates, failure.network, failure.debian, failure.version, failure.oldPackage,
	} {
		if text := explain(f); text != "" {
			return text
		}
	}
	return ""
}

// find is what the pattern's first group matched in the first line that it
// matches.
func (f failure) find(pattern string) (string, bool) {
	all := f.all(pattern)
	if len(all) == 0 {
		return "", false
	}
	return all[0], true
}

// all are the first groups of all matches, each once.
func (f failure) all(pattern string) []string {
	p := regexp.MustCompile(pattern)
	var out []string
	for _, line := range f.lines {
		for _, m := range p.FindAllStringSubmatch(line, -1) {
			if text := m[len(m)-1]; !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return out
}

func (f failure) has(pattern string) bool {
	_, ok := f.find("(" + pattern + ")")
	return ok
}

// diskFull tells where and, as far as it is known, how much is missing.
func (f failure) diskFull() string {
	if !f.has(`(?i)no space left on device|disk quota exceeded|don't have enough free space`) {
		return ""
	}
	text := "the engine's disk is full"
	if path, ok := f.find(`(?i)(?:(?:write|mkdir|open|copy|create|sync|unpigz|rename|link|mknod)\S* |to |free space in |No space left on device: ')(/[^\s:',]+)`); ok {
		text += ": " + path
	}
	if need, ok := f.find(`After this operation, ([\d.,]+ ?[kMG]?B) of additional disk space`); ok {
		text += "; the Debian packages need " + need
	} else if sizes := f.all(`Downloading \S+ (\([\d.]+ ?[kMG]i?B\))`); len(sizes) > 0 {
		text += "; the last download has " + strings.Trim(sizes[len(sizes)-1], "()")
	}
	return text + ". docker system df tells what is on it, docker builder prune and docker image prune make room"
}

func (f failure) killed() string {
	if f.has(`exit code: 137\b|Killed signal terminated program|signal: killed|virtual memory exhausted|Cannot allocate memory`) {
		return "the kernel ended it, mostly for want of memory on the engine's machine: build fewer images at once, or take packages that need no compiling"
	}
	return ""
}

// missing names the Debian packages of headers, libraries and programs that a
// build of Python packages asked for and did not find.
func (f failure) missing() string {
	build, run := f.missingLibraries()
	tools := f.missingPrograms()
	if len(tools) > 0 { // what comes next would be its libraries
		for _, project := range f.all("(?:Failed building wheel for |Failed to build `?|is required for building )([A-Za-z0-9._-]+)") {
			if l, ok := wants(project); ok {
				build, run = append(build, l.dev...), append(run, l.run...)
			}
		}
	}
	build = slices.Concat(tools, build)
	if f.has(`(?i)requires rustc \d|rustc [\d.]+ is not supported|lock file version .* requires .-Znext-lockfile-bump`) {
		return "Debian's Rust is too old for it: take a version in python_packages that has a wheel for this Python"
	}
	if len(build) == 0 {
		return ""
	}
	text := "add build_dependencies: " + list(build) + " to its docker"
	if len(run) > 0 {
		text += ", and system_dependencies: " + list(run) + " to run with it"
	}
	return text
}

func (f failure) missingLibraries() (build, run []string) {
	for _, ask := range []struct {
		pattern string
		find    func(string) (library, bool)
	}{
		{`fatal error: '?([\w./+-]+)'?:? (?:No such file or directory|file not found)`, byHeader},
		{`(?:Package '?|No package '|Dependency "?|Dependency lookup for |system library .)([\w.+-]+?)['",` + "`" + `]?,? (?:was )?(?:required by |not found|found$|with method )`, byConfig},
		{`lib([\w.+-]+) library (?:was )?not found`, byObject},
		{`(?:cannot find|unable to find library) -l([\w.+-]+)`, byObject},
		{`(?i)(?:could not find|failed to find) (?:directory of )?(openssl)`, byConfig},
		{`(OPENSSL)_DIR`, byConfig},
	} {
		for _, name := range f.all(ask.pattern) {
			if l, ok := ask.find(name); ok {
				build, run = append(build, l.dev...), append(run, l.run...)
			}
		}
	}
	return build, run
}

// missingPrograms are the packages of the programs that were not found.
func (f failure) missingPrograms() []string {
	var out []string
	for _, pattern := range []string{
		`No such file or directory: '(?:/usr/bin/)?([\w+.-]+)'`,
		`error: command '(?:/usr/bin/)?([\w+.-]+)' failed: No such file or directory`,
		`(?:^|[\s:/])([\w+.-]+): (?:command )?not found`,
		`Unknown compiler\(s\): \[\[?'([\w+.-]+)'`,
		"linker `([\\w+.-]+)` not found",
		`Cannot find command '([\w+.-]+)'`,
		`([\w+.-]+) executable not found`,
		`([\w+.-]+) is required (?:for|to) build`,
		`(?i)the (pkg-config) command could not be found`,
	} {
		for _, name := range f.all(pattern) {
			out = append(out, programs()[name]...)
		}
	}
	for pattern, name := range map[string]string{
		`(?i)unable to find a (?:suitable )?(?:C\+* )?compiler|No CMAKE_C(?:XX)?_COMPILER could be found|no acceptable C compiler found|Could not find compiler`: compilers,
		`No CMAKE_Fortran_COMPILER could be found|no Fortran compiler found`:                                                                                     "gfortran",
		`(?i)can't find Rust compiler|Cargo, the Rust package manager, is not installed|Rust not found|Rust toolchain (?:is )?not (?:found|installed)`:           "cargo",
		`(?i)CMake must be installed|Problem with the CMake installation|CMake is not (?:installed|available)|Missing CMake executable`:                          "cmake",
		`(?i)Pkg-config for machine .* not found|pkg-config (?:binary|executable)? ?(?:is )?(?:not found|required)|pkg-config not installed`:                     "pkg-config",
	} {
		if f.has(pattern) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// list is a list as YAML has it, each entry once.
func list(names []string) string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func (f failure) certificates() string {
	switch {
	case f.has(`x509: certificate`):
		return "the engine does not trust the registry's certificate: its machine needs that of the company's authority"
	case f.has(`(?i)certificate.verify.failed|SSL certificate problem|certificate verification failed|invalid peer certificate|unable to get local issuer certificate`):
		return "where downloads go through a proxy with certificates of its own, set SSL_CERT_FILE to the file that has them: builds trust it, images do not keep it"
	}
	return ""
}

func (f failure) network() string {
	switch {
	case f.has(`(?i)407 Proxy Authentication Required|cannot connect to proxy|proxyconnect`):
		return "the proxy refuses: HTTP_PROXY, HTTPS_PROXY and NO_PROXY are passed to builds as they are set here, with user and password"
	case f.has(`failed to resolve source metadata.*(no such host|i/o timeout|connection refused|network is unreachable|TLS handshake timeout|context deadline exceeded)`):
		return "the engine itself pulls base images: its machine needs a way to the registry, or a proxy in the engine's own settings"
	case f.has(`(?i)pull access denied|insufficient_scope|401 Unauthorized`):
		return "is the name in docker.base_image right? For a private registry, docker login first"
	case f.has(`(?i)temporary failure in name resolution|name or service not known|could not resolve host|temporary failure resolving|failed to lookup address|dns error|no such host|network is unreachable|no route to host|connection timed out|i/o timeout|TLS handshake timeout|failed to establish a new connection|error sending request for url`):
		return "the build has no way to the network: HTTP_PROXY, HTTPS_PROXY and NO_PROXY are passed to builds as they are set here"
	}
	return ""
}

// debian is about packages that apt does not know.
func (f failure) debian() string {
	field := "system_dependencies"
	if strings.HasPrefix(f.step, "["+stageBuilder) {
		field = "build_dependencies"
	}
	if unknown := f.all(`Unable to locate package (\S+)`); len(unknown) > 0 {
		var near []string
		for _, name := range unknown {
			near = append(near, similar(name)...)
		}
		if len(near) > 0 {
			return fmt.Sprintf("Debian has no %s: did you mean %s in %s?", strings.Join(unknown, ", "), strings.Join(near, ", "), field)
		}
		return fmt.Sprintf("Debian has no %s: packages.debian.org has the names for %s", strings.Join(unknown, ", "), field)
	}
	if name, ok := f.find(`Package '([^']+)' has no installation candidate`); ok {
		return fmt.Sprintf("this Debian has %s under another name, such as %st64: write that in %s", name, name, field)
	}
	if name, ok := f.find(`E: Version '[^']*' for '([^']+)' was not found`); ok {
		return fmt.Sprintf("this Debian has another version of %s: write it without one in %s", name, field)
	}
	return ""
}

// stageBuilder is the stage of the Dockerfiles in which packages are built.
const stageBuilder = "builder"

// similar are known packages of Debian that somebody may have meant.
func similar(name string) []string {
	stem := func(s string) string {
		s = strings.TrimPrefix(strings.ToLower(s), "lib")
		s = strings.TrimSuffix(strings.TrimSuffix(s, "-devel"), "-dev")
		return strings.TrimRight(s, "0123456789.-")
	}
	want := stem(name)
	if len(want) < 3 {
		return nil
	}
	for _, l := range libraries() {
		packages := l.run
		if strings.Contains(name, "dev") {
			packages = l.dev
		}
		for _, p := range packages {
			if stem(p) == want {
				return []string{p}
			}
		}
	}
	for command, p := range commands() {
		if command == want {
			return []string{p}
		}
	}
	return nil
}
