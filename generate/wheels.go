package generate

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

const (
	// maxWheels bounds the wheel files of a node: they are held in memory and
	// hashed at every command.
	maxWheels = 256 * mib

	wheelsDir  = "wheels"
	wheelsPath = "/run/medianode-wheels"
)

// wheels reads the wheel files of a node, as files of its build context.
func (r *resolver) wheels(at string, d *pipeline.Docker) ([]File, bool) {
	var files []File
	ok := true
	room := int64(maxWheels)
	seen := map[string]string{} // distribution: who brings it
	for _, p := range d.PythonPackages {
		seen[normalized(requirementName(p.V))] = "python_packages"
	}
	for i, v := range d.Wheels {
		where := mistake{pos: v.Pos, path: fmt.Sprintf("%s[%d]", at, i)}
		refuse := func(hint, format string, args ...any) {
			where.hint, ok = hint, false
			r.fail(where, format, args...)
		}
		wheel, err := parseWheel(path.Base(v.V))
		if err != nil {
			refuse("such as tool-1.0-py3-none-any.whl", "%q %v", v.V, err)
			continue
		}
		if why := wheel.misfit(d.PythonVersion.V, r.host.Arch); why != "" {
			refuse("", "%q %s", v.V, why)
			continue
		}
		name := normalized(wheel.name)
		switch other := seen[name]; {
		case name == "iceoryx2":
			refuse("remove it", "iceoryx2 is always there, at version %s", iceoryx2Version)
			continue
		case other != "":
			refuse("keep one of the two", "%q brings %s, which %s brings too", v.V, wheel.name, other)
			continue
		}
		seen[name] = fmt.Sprintf("%q", v.V)
		file, err := read(r.source, path.Clean(v.V), room)
		if errors.Is(err, errTooLarge) {
			refuse("put it on a package index and name it in python_packages", "with %q the wheels are more than %s", v.V, size(maxWheels))
			continue
		}
		if err != nil {
			refuse("", "%v", err)
			continue
		}
		room -= int64(len(file.Data))
		file.Path, file.Mode = wheelsDir+"/"+path.Base(v.V), 0o644
		files = append(files, file)
	}
	return files, ok
}

// wheelArguments are the wheels as pip is told them.
func wheelArguments(wheels []pipeline.Value[string]) []string {
	out := wheelFiles(wheels)
	for i, w := range out {
		out[i] = wheelsPath + "/" + w
	}
	return out
}

// wheelFiles are sorted: where they come from, and their order, mean nothing.
func wheelFiles(wheels []pipeline.Value[string]) []string {
	out := texts(wheels)
	for i, w := range out {
		out[i] = path.Base(w)
	}
	slices.Sort(out)
	return out
}

// wheel is the name of a wheel file, taken apart as PEP 427 has it. The tags may
// each be a set.
type wheel struct {
	name                   string
	pythons, abis, systems []string
}

func parseWheel(file string) (wheel, error) {
	stem, isWheel := strings.CutSuffix(file, ".whl")
	parts := strings.Split(stem, "-")
	if !isWheel || len(parts) != 5 && len(parts) != 6 {
		return wheel{}, errors.New("is not the name of a wheel: want NAME-VERSION-PYTHON-ABI-PLATFORM.whl")
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	const digits = "0123456789"
	for i, p := range parts {
		allowed := letters + digits + "_."
		if i == 1 {
			allowed += "+!"
		}
		if p == "" || strings.Trim(p, allowed) != "" || strings.Contains("._", p[:1]) {
			return wheel{}, fmt.Errorf("is not the name of a wheel: %q is no part of one", p)
		}
	}
	if !strings.Contains(digits, parts[1][:1]) {
		return wheel{}, fmt.Errorf("is not the name of a wheel: %q is no version", parts[1])
	}
	if len(parts) == 6 && !strings.Contains(digits, parts[2][:1]) {
		return wheel{}, fmt.Errorf("is not the name of a wheel: the build number %q does not begin with a digit", parts[2])
	}
	tag := func(back int) []string { return strings.Split(parts[len(parts)-back], ".") }
	return wheel{parts[0], tag(3), tag(2), tag(1)}, nil
}

// misfit tells why pip would refuse the wheel; empty if it would not, as far as
// the name says.
func (w wheel) misfit(version, arch string) string {
	_, digits, _ := strings.Cut(version, ".")
	minor, err := strconv.Atoi(digits)
	if err != nil {
		return "" // the version is a mistake of its own
	}
	fits := func(python string) bool {
		return slices.ContainsFunc(w.abis, func(abi string) bool { return pythonFits(python, abi, minor) })
	}
	if !slices.ContainsFunc(w.pythons, fits) {
		return fmt.Sprintf("is for %s-%s, not for Python %s", strings.Join(w.pythons, "."), strings.Join(w.abis, "."), version)
	}
	pure := slices.Contains(w.abis, "none") // pip takes compiled code for a named platform only
	if !slices.ContainsFunc(w.systems, func(s string) bool { return systemFits(s, arch) && (pure || s != "any") }) {
		machine := "Linux"
		if arch != "" {
			machine += " on " + arch
		}
		return fmt.Sprintf("is for %s, not for %s", strings.Join(w.systems, "."), machine)
	}
	return ""
}

// pythonFits holds one tag pair against CPython 3.minor, as packaging's
// sys_tags does.
func pythonFits(python, abi string, minor int) bool {
	if python == "py3" {
		return abi == "none"
	}
	kind, digits, found := python, "", false
	for _, k := range []string{"py3", "cp3"} {
		if digits, found = strings.CutPrefix(python, k); found {
			kind = k
			break
		}
	}
	have, err := strconv.Atoi(digits)
	if !found || err != nil || digits != strconv.Itoa(have) || have > minor {
		return false
	}
	switch {
	case kind == "py3":
		return abi == "none"
	case have == minor:
		return abi == python || abi == "abi3" || abi == "none"
	}
	return abi == "abi3" && have >= 2
}

// systemFits holds a platform tag against Linux on the engine's machine; an
// empty arch may be any.
func systemFits(system, arch string) bool {
	if system == "any" {
		return true
	}
	if !slices.ContainsFunc([]string{"linux_", "manylinux", "musllinux"}, func(p string) bool { return strings.HasPrefix(system, p) }) {
		return false
	}
	switch arch {
	case "":
		return true
	case "amd64":
		arch = "x86_64"
	case "arm64":
		arch = "aarch64"
	}
	return strings.HasSuffix(system, "_"+arch)
}

// normalized is a distribution's name as PEP 503 compares it.
func normalized(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return c == '-' || c == '_' || c == '.' })
	return strings.Join(words, "-")
}

// requirementName is what stands before extras, versions and markers.
func requirementName(requirement string) string {
	if end := strings.IndexAny(requirement, " \t[(<>=!~;"); end >= 0 {
		return requirement[:end]
	}
	return requirement
}
