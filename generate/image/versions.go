package image

import (
	"fmt"
	"slices"
	"strings"
)

// version is about Python packages that no index has as they were asked for.
func (f failure) version() string {
	if want, ok := f.find(`Could not find a version that satisfies the requirement (.+?)(?: \(from (?:-r|versions).*)?$`); ok {
		return f.pipVersion(want)
	}
	if f.has(`conflicting dependencies|ResolutionImpossible`) {
		return "loosen or change one of the versions in python_packages"
	}
	if name, ok := f.find(`Because (\S+) was not found in the package registry`); ok {
		return unknownPackage(name)
	}
	if python, ok := f.find(`does not satisfy Python([<>=!~.,\d*]+)`); ok {
		return "set docker.python_version to one that fits " + python + ", or take another version of the package"
	}
	if want, ok := f.find(`Because there is no version of (\S+)`); ok {
		return "no package index has " + strings.TrimRight(want, ",") + ": correct it in python_packages"
	}
	if want, ok := f.find(`Because (\S+) has no wheels with a matching Python`); ok {
		return want + " has no wheel for this Python: take another version of it, or another docker.python_version"
	}
	if f.has(`conclude that your requirements are unsatisfiable|conclude that .* are incompatible`) {
		return "loosen or change one of the versions in python_packages"
	}
	return ""
}

func unknownPackage(name string) string {
	return fmt.Sprintf("no package index has %s for this Python: correct its name in python_packages, or give its file in wheels", name)
}

func (f failure) pipVersion(want string) string {
	name, wanted := want, ""
	if at := strings.IndexAny(want, "[=<>!~ ;"); at >= 0 {
		name = want[:at]
		wanted = strings.Trim(want[strings.LastIndexAny(want, "=<>!~ ")+1:], " ")
	}
	if ignored, ok := f.find(`Ignored the following versions that require a different python version: (.+)`); ok {
		if python := requires(ignored, wanted); python != "" {
			return fmt.Sprintf("%s needs Python %s: set docker.python_version, or take another version of the package", want, python)
		}
	}
	text, _ := f.find(`\(from versions: (.+?)\)`)
	if text == "" || text == "none" {
		return unknownPackage(name)
	}
	all := strings.Split(text, ", ")
	have := slices.DeleteFunc(slices.Clone(all), func(v string) bool { return strings.ContainsAny(v, "abcrv") && !strings.Contains(v, "post") })
	if len(have) == 0 { // there are previews only
		have = all
	}
	newest := have[len(have)-1]
	near := nearest(have, wanted)
	if len(near) == 0 || near[len(near)-1] == newest {
		return fmt.Sprintf("the newest %s for this Python is %s: correct it in python_packages", name, newest)
	}
	return fmt.Sprintf("there is %s %s, and %s is the newest for this Python: correct it in python_packages", name, strings.Join(near, ", "), newest)
}

// requires is the Python that a version needs, in pip's list of such versions.
func requires(ignored, version string) string {
	for entry := range strings.SplitSeq(ignored, "; ") {
		if have, python, ok := strings.Cut(entry, " Requires-Python "); ok && have == version {
			return python
		}
	}
	return ""
}

// nearest are the last three versions that begin as the wanted one does.
func nearest(have []string, wanted string) []string {
	for parts := strings.Split(wanted, "."); len(parts) > 1; {
		parts = parts[:len(parts)-1]
		var near []string
		for _, v := range have {
			if strings.HasPrefix(v, strings.Join(parts, ".")+".") {
				near = append(near, v)
			}
		}
		if len(near) > 0 {
			return near[max(0, len(near)-3):]
		}
	}
	return nil
}

// oldPackage tells sources that were written for older Pythons.
func (f failure) oldPackage() string {
	if f.has(`No module named 'distutils'|pkgutil' has no attribute 'ImpImporter'|longintrepr\.h: No such file|'PyFrameObject'.* has no member|implicit declaration of function '_PyUnicode`) {
		return "the package is too old for this Python: take a newer version, or an older docker.python_version"
	}
	if f.has(`No module named 'pkg_resources'|use_2to3 is invalid`) {
		return "the package is too old for today's setuptools: take a newer version"
	}
	if f.has(`is not a supported wheel on this platform`) {
		return "the wheel is for another Python or machine: see its name, and docker.python_version"
	}
	return ""
}

// ImportHint says what an image lacks, from the last words of a node: a library
// that a module loads, or a program that it starts. It is empty if nothing is
// known.
func ImportHint(lines []string) string {
	f := failure{lines: lines}
	var packages []string
	for _, pattern := range []string{
		`lib([\w.+-]+?)\.so[\w.]*: cannot open shared object file`,
		`cannot load library '(?:lib)?([\w.+-]+?)(?:\.so[\w.]*)?'`,
		`(?i)(sndfile|portaudio) library not found`,
		`Unable to find (zbar) shared library`,
		`No library called "([\w.+-]+?)(?:-2)?" was found`,
	} {
		for _, name := range f.all(pattern) {
			if l, ok := byObject(name); ok {
				packages = append(packages, l.run...)
			} else if l, ok := byObject(strings.ToLower(name)); ok {
				packages = append(packages, l.run...)
			}
		}
	}
	for _, pattern := range []string{`No such file or directory: '([\w+.-]+)'`, `(?:^|[\s:/])([\w+.-]+): (?:command )?not found`} {
		for _, name := range f.all(pattern) {
			if p, ok := commands()[name]; ok {
				packages = append(packages, p)
			}
		}
	}
	if f.has(`(?i)failed to (?:import|find) libmagic`) {
		packages = append(packages, "libmagic1")
	}
	if len(packages) == 0 {
		return ""
	}
	return "add system_dependencies: " + list(packages) + " to its docker"
}
