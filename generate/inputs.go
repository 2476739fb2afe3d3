package generate

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// Recipe is what the pipeline file asks of an image, code and wheels apart. The
// lists are sorted.
type Recipe struct {
	PythonVersion                                         string
	SystemDependencies, BuildDependencies, PythonPackages []string
}

func recipeOf(d *pipeline.Docker) Recipe {
	return Recipe{
		PythonVersion: d.PythonVersion.V, PythonPackages: texts(d.PythonPackages),
		SystemDependencies: texts(d.SystemDependencies), BuildDependencies: texts(d.BuildDependencies),
	}
}

// Inputs is everything that the key of an image is made of, by name: it tells
// what differs between two images of a node. Digests are the first 12 digits of
// a SHA-256; no key is made of them.
type Inputs struct {
	RecipeVersion      string            `json:"recipe_version"`
	Script             string            `json:"script"`     // digest of the build script
	Dockerfile         string            `json:"dockerfile"` // digest of it and of what else it takes
	Iceoryx2Version    string            `json:"iceoryx2_version"`
	SDK                string            `json:"sdk"` // digest of the Python package
	Platform           string            `json:"platform"`
	PythonVersion      string            `json:"python_version"`
	BaseImage          string            `json:"base_image"`
	SystemDependencies []string          `json:"system_dependencies,omitempty"`
	BuildDependencies  []string          `json:"build_dependencies,omitempty"`
	PythonPackages     []string          `json:"python_packages,omitempty"`
	Wheels             map[string]string `json:"wheels,omitempty"` // file name: digest
	Source             map[string]string `json:"source"`           // path: digest, and " x" if it is executable
}

// Inputs describes the image.
func (img Image) Inputs() Inputs {
	in := Inputs{
		RecipeVersion: recipeVersion, Iceoryx2Version: iceoryx2Version, Platform: img.Platform, BaseImage: img.Base,
		PythonVersion: img.Recipe.PythonVersion, SystemDependencies: img.Recipe.SystemDependencies,
		BuildDependencies: img.Recipe.BuildDependencies, PythonPackages: img.Recipe.PythonPackages,
		Wheels: map[string]string{}, Source: map[string]string{},
	}
	var script, sdk, rest []File
	for _, f := range img.Context {
		kind, name, _ := strings.Cut(f.Path, "/")
		switch {
		case kind == "app" && name != "":
			in.Source[name] = short(digestOf(f.Data))
			if f.Mode&0o111 != 0 {
				in.Source[name] += executable
			}
		case kind == wheelsDir && name != "":
			in.Wheels[name] = short(digestOf(f.Data))
		case kind == "sdk" && name != "":
			sdk = append(sdk, f)
		case kind == scriptDir && name != "":
			script = append(script, f)
		default:
			rest = append(rest, f)
		}
	}
	in.Script, in.SDK = short(digestFiles(script)), short(digestFiles(sdk))
	in.Dockerfile = short(digestFiles(append(rest, File{Path: "Dockerfile", Data: img.Dockerfile})))
	return in
}

const executable = " x"

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func digestFiles(files []File) string { return Image{Context: files}.key() }

func short(digest string) string { return digest[:12] }

// Changes says what differs from the inputs of an older image: one short phrase
// for each, in an order that is always the same. There is none if nothing
// differs.
func (in Inputs) Changes(old Inputs) []string {
	var out []string
	say := func(what, before, now string) {
		if before != now {
			out = append(out, what+" "+cmp.Or(before, "none")+" → "+cmp.Or(now, "none"))
		}
	}
	say("python_version", old.PythonVersion, in.PythonVersion)
	if usual := func(i Inputs) bool { return i.BaseImage == standardBase(i.PythonVersion) }; !usual(old) || !usual(in) {
		say("base_image", old.BaseImage, in.BaseImage)
	}
	say("platform", old.Platform, in.Platform)
	for _, list := range []struct {
		name        string
		before, now []string
	}{
		{"system_dependencies", old.SystemDependencies, in.SystemDependencies},
		{"build_dependencies", old.BuildDependencies, in.BuildDependencies},
		{"python_packages", old.PythonPackages, in.PythonPackages},
	} {
		if d := difference(list.before, list.now); len(d) > 0 {
			out = append(out, list.name+": "+some(d))
		}
	}
	for _, files := range []struct {
		name        string
		before, now map[string]string
	}{{"wheels", old.Wheels, in.Wheels}, {"code", old.Source, in.Source}} {
		if d := differentFiles(files.before, files.now); len(d) > 0 {
			out = append(out, files.name+": "+some(d))
		}
	}
	return append(out, in.own(old, len(out) > 0)...)
}

// own are the changes that medianode itself brings. The Dockerfile differs with
// what it is made of, so its own difference counts only if nothing else tells it.
func (in Inputs) own(old Inputs, explained bool) []string {
	var out []string
	if in.Iceoryx2Version != old.Iceoryx2Version {
		out = append(out, "iceoryx2 "+cmp.Or(old.Iceoryx2Version, "none")+" → "+in.Iceoryx2Version)
	}
	if in.SDK != old.SDK {
		out = append(out, "the Python SDK changed")
	}
	made := in.RecipeVersion != old.RecipeVersion || in.Script != old.Script
	if made || !explained && len(out) == 0 && in.Dockerfile != old.Dockerfile {
		out = append(out, "medianode itself builds it in another way")
	}
	return out
}

// difference are the entries that came, then those that went.
func difference(before, now []string) []string {
	var out []string
	for _, s := range now {
		if !slices.Contains(before, s) {
			out = append(out, "+ "+s)
		}
	}
	for _, s := range before {
		if !slices.Contains(now, s) {
			out = append(out, "- "+s)
		}
	}
	return out
}

// differentFiles says of each file whether it changed, is new or is gone.
func differentFiles(before, now map[string]string) []string {
	names := map[string]bool{}
	for name := range before {
		names[name] = true
	}
	for name := range now {
		names[name] = true
	}
	var out []string
	for _, name := range sorted(names) {
		was, had := before[name]
		is, has := now[name]
		switch {
		case !had:
			out = append(out, name+" new")
		case !has:
			out = append(out, name+" gone")
		case is == was:
		case strings.TrimSuffix(is, executable) != strings.TrimSuffix(was, executable):
			out = append(out, name+" changed")
		case strings.HasSuffix(is, executable):
			out = append(out, name+" made executable")
		default:
			out = append(out, name+" no longer executable")
		}
	}
	return out
}

// some are the first of many things, and how many more there are.
func some(things []string) string {
	const shown = 4
	if len(things) <= shown+1 {
		return strings.Join(things, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(things[:shown], ", "), len(things)-shown)
}
