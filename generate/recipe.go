package generate

import (
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/medianode/docker-medianode/generate/dockerfile"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

const (
	// iceoryx2Version is that of the runtime's own iceoryx2: other versions lay
	// shared memory out differently.
	iceoryx2Version = "0.10.0"
	// recipeVersion is part of every key; it changes when a recipe means
	// something else with the same bytes.
	recipeVersion = "2"

	venv          = "/opt/venv"
	scriptDir     = "build"
	scriptPath    = "/run/medianode-build"
	requirements  = "requirements.txt"
	requirementsP = "/run/requirements.txt"
	sdkDir        = "sdk"
	sdkPath       = "/run/medianode-sdk"
	layersPath    = "/layers"
	// slots is how many packages of a node, the heaviest, have a layer of their
	// own. An empty one costs some 20 ms of a build.
	slots       = 6
	aptConfFile = "apt.conf"
	aptConf     = "// In place of the file by which Debian's images empty apt's cache.\n"

	stageBuilder, stageSDK, stageRuntime = "builder", "sdk", "runtime"
)

// Repository is what the references of all built images begin with.
const Repository = "medianode/"

// What each step runs: a program of Python in a directory.
//
//go:embed build/*.py build/uv.toml
var buildScript embed.FS

// image plans the image of a node. It depends on what is in the image and on
// nothing else: limits, environment, volumes and params build nothing anew.
func (r *resolver) image(at string, n *pipeline.Node) (Image, bool) {
	d := n.Docker
	code, err := r.code(path.Clean(d.Source.V))
	if err != nil {
		r.fail(mistake{pos: d.Source.Pos, path: at + ".source"}, "%v", err)
		return Image{}, false
	}
	ok := r.checkCode(at+".source", n, code) && r.checkPackages(at+".python_packages", d)
	wheels, fit := r.wheels(at+".wheels", d)
	ok = ok && fit
	if len(r.sdk) == 0 {
		r.fail(mistake{pos: n.Pos, path: at}, "the Python SDK is missing from this build of medianode")
		return Image{}, false
	}
	img := Image{Node: n.ID.V, Base: baseImage(d), Recipe: recipeOf(d), Platform: platform(r.host.Arch), Context: supplies(d)}
	img.Context = append(append(img.Context, wheels...), r.sdk...)
	for _, f := range code.files {
		img.Context = append(img.Context, File{"app/" + f.Path, f.Mode, f.Data})
	}
	for _, l := range code.left {
		img.Left = append(img.Left, l.path)
	}
	slices.SortFunc(img.Context, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	if img.Dockerfile, err = recipe(d).Bytes(); err != nil {
		r.fail(mistake{pos: d.Pos, path: at}, "%v", err)
		return Image{}, false
	}
	img.Key = img.key()
	img.Ref = Repository + component(n.ID.V) + ":" + img.Key[:12]
	return img, ok
}

// platform is an engine's architecture as BuildKit names it; empty: its own.
func platform(arch string) string {
	switch arch {
	case "":
		return ""
	case "x86_64":
		arch = "amd64"
	case "aarch64":
		arch = "arm64"
	}
	return "linux/" + arch
}

// supplies are the files of a context that are ours, the SDK apart.
func supplies(d *pipeline.Docker) []File {
	files := scripts()
	if len(d.SystemDependencies)+len(d.BuildDependencies) > 0 {
		files = append(files, File{aptConfFile, 0o644, []byte(aptConf)})
	}
	if len(d.PythonPackages) > 0 {
		files = append(files, File{requirements, 0o644, requirementsText(d.PythonPackages)})
	}
	return files
}

func scripts() []File {
	entries, err := buildScript.ReadDir(scriptDir)
	if err != nil { // it is embedded
		panic(err)
	}
	files := make([]File, len(entries))
	for i, entry := range entries {
		name := scriptDir + "/" + entry.Name()
		data, err := buildScript.ReadFile(name)
		if err != nil {
			panic(err)
		}
		files[i] = File{name, 0o644, data}
	}
	return files
}

// checkCode looks for the node's module, and for what would hide the SDK.
func (r *resolver) checkCode(at string, n *pipeline.Node, code *contents) bool {
	have := func(name string) bool {
		return slices.ContainsFunc(code.files, func(f File) bool { return f.Path == name })
	}
	where := mistake{pos: n.Docker.Source.Pos, path: at}
	if have("medianode.py") || have("medianode/__init__.py") {
		where.hint = "rename it"
		r.fail(where, "%q holds a module medianode, which hides the SDK", n.Docker.Source.V)
		return false
	}
	file := strings.ReplaceAll(n.Module, ".", "/")
	for _, f := range code.files {
		if f.Path == file+".py" || f.Path == file+"/__init__.py" {
			return r.checkClass(strings.TrimSuffix(at, "docker.source")+"node_type", n, f)
		}
	}
	if n.Module == "" {
		return true
	}
	if r.leftOut(where, n, code) {
		return false
	}
	var modules []string
	for _, f := range code.files {
		if strings.HasSuffix(f.Path, ".py") && len(modules) < 5 {
			modules = append(modules, f.Path)
		}
	}
	if len(modules) > 0 {
		where.hint = "there is " + strings.Join(modules, ", ")
	}
	r.fail(where, "%q has neither %s.py nor %s/__init__.py for node_type %s", n.Docker.Source.V, file, file, n.Type.V)
	return false
}

// checkPackages keeps the version of iceoryx2 out of the pipeline's hands.
func (r *resolver) checkPackages(at string, d *pipeline.Docker) bool {
	ok := true
	for i, p := range d.PythonPackages {
		if normalized(requirementName(p.V)) == "iceoryx2" {
			m := mistake{pos: p.Pos, path: fmt.Sprintf("%s[%d]", at, i), hint: "remove it"}
			r.fail(m, "iceoryx2 is always there, at version %s", iceoryx2Version)
			ok = false
		}
	}
	return ok
}

func requirementsText(packages []pipeline.Value[string]) []byte {
	return []byte(strings.Join(texts(packages), "\n") + "\n")
}

// texts are sorted: the order says nothing, and must build nothing anew.
func texts(values []pipeline.Value[string]) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.TrimSpace(v.V)
	}
	slices.Sort(out)
	return out
}

func baseImage(d *pipeline.Docker) string {
	switch base := d.BaseImage.V; base {
	case "":
	case stageBuilder, stageSDK, stageRuntime:
		return base + ":latest" // without a tag it would be the stage of this name
	default:
		return base
	}
	return standardBase(d.PythonVersion.V)
}

func standardBase(python string) string { return "python:" + python + "-slim" }

// recipe is the Dockerfile of a node: what changes seldom comes first. The
// layers above the Debian packages depend on their own bytes alone, so nodes
// share those that are equal, and nothing has to be put together on disk for
// the engine to have them: no step may come after the first linked copy.
func recipe(d *pipeline.Docker) dockerfile.File {
	base := baseImage(d)
	return dockerfile.File{
		Comment: "Generated by docker medianode.",
		Stages: []dockerfile.Stage{
			{From: base, Name: stageBuilder, Steps: asRoot(d, builder(d))},
			{From: base, Name: stageSDK, Steps: asRoot(d, []dockerfile.Instruction{sdkStep()})},
			{From: base, Name: stageRuntime, Steps: asRoot(d, final(d))},
		},
	}
}

// asRoot undoes the user of a base image that is not Python's own.
func asRoot(d *pipeline.Docker, steps []dockerfile.Instruction) []dockerfile.Instruction {
	if d.BaseImage.V == "" {
		return steps
	}
	return append([]dockerfile.Instruction{dockerfile.User("0:0")}, steps...)
}

func builder(d *pipeline.Docker) []dockerfile.Instruction {
	var steps []dockerfile.Instruction
	if d.BaseImage.V != "" {
		steps = append(steps, script("python", d.PythonVersion.V))
	}
	const pin = "iceoryx2==" + iceoryx2Version
	steps = append(steps, download("venv", pin))
	if len(d.BuildDependencies) > 0 {
		steps = append(steps, apt(d.BuildDependencies))
	}
	n := packageLayers(d)
	if n == 0 {
		return append(steps, script("layers", "0"))
	}
	// One call for all of them: they are weighed against each other.
	arguments := []string{"install", strconv.Itoa(n)}
	if len(d.PythonPackages) > 0 {
		arguments = append(arguments, "-r", requirementsP)
	}
	install := download(append(append(arguments, pin), wheelArguments(d.Wheels)...)...)
	if len(d.PythonPackages) > 0 {
		install.Mounts = append(install.Mounts, dockerfile.Bind(requirements, requirementsP))
	}
	if len(d.Wheels) > 0 {
		install.Mounts = append(install.Mounts, dockerfile.Bind(wheelsDir, wheelsPath))
	}
	return append(steps, install)
}

// packageLayers is how many layers the packages of a node have beside the rest.
func packageLayers(d *pipeline.Docker) int {
	if len(d.PythonPackages)+len(d.Wheels) == 0 {
		return 0
	}
	return slots
}

// sdkStep compiles the SDK where it will be.
func sdkStep() dockerfile.Run {
	run := script("sdk", sdkPath+"/medianode")
	run.Mounts = append(run.Mounts, dockerfile.Bind(sdkDir, sdkPath))
	return run
}

func final(d *pipeline.Docker) []dockerfile.Instruction {
	var steps []dockerfile.Instruction
	if len(d.SystemDependencies) > 0 {
		steps = append(steps, apt(d.SystemDependencies))
	}
	steps = append(append(steps, dropped(d)...),
		dockerfile.Workdir("/app"),
		dockerfile.Env{
			{Name: "PATH", Value: venv + "/bin:$PATH", Expand: true},
			{Name: "PYTHONDONTWRITEBYTECODE", Value: "1"},
			{Name: "PYTHONPATH", Value: "/app"},
			{Name: "PYTHONUNBUFFERED", Value: "1"},
		})
	steps = append(append(steps, installed(d)...), layer(stageSDK, "sdk"))
	return append(steps,
		dockerfile.Copy{Link: true, Source: "app/", Target: "/app/"},
		dockerfile.User("1000:1000"),
		dockerfile.StopSignal("SIGTERM"),
		dockerfile.Entrypoint{},
		dockerfile.Cmd{"python", "-m", "medianode"},
	)
}

// installed copies what the builder has made, a layer after the other.
func installed(d *pipeline.Docker) []dockerfile.Instruction {
	steps := []dockerfile.Instruction{layer(stageBuilder, "common")}
	for i := range packageLayers(d) {
		steps = append(steps, layer(stageBuilder, strconv.Itoa(i)))
	}
	return append(steps, layer(stageBuilder, "rest"))
}

// layer copies one. The last word of the source is part of BuildKit's own key,
// so it is the same for all.
func layer(stage, name string) dockerfile.Instruction {
	return dockerfile.Copy{From: stage, Link: true, Source: layersPath + "/" + name + "/root/", Target: "/"}
}

// script is a step of the program in build, without network needs.
func script(args ...string) dockerfile.Run {
	return dockerfile.Run{
		Mounts: []dockerfile.Mount{dockerfile.Bind(scriptDir, scriptPath)},
		Args:   append([]string{"python3", "-B", scriptPath}, args...),
	}
}

// download is such a step that asks a package index. Everything in its
// cache may be used by several builds at once.
func download(args ...string) dockerfile.Run {
	run := script(args...)
	run.Mounts = append(run.Mounts, dockerfile.Mount{Type: "cache", ID: "medianode", Target: "/root/.cache", Sharing: "shared"},
		dockerfile.Secret("ca", "/run/secrets/ca"))
	return run
}

// apt installs Debian packages and leaves neither its cache nor its logs. The
// image may have docker-clean, which empties the cache, or not.
func apt(packages []pipeline.Value[string]) dockerfile.Run {
	run := script(append([]string{"apt"}, texts(packages)...)...)
	run.Mounts = append(run.Mounts, dockerfile.Cache("/var/cache/apt"), dockerfile.Cache("/var/lib/apt"),
		dockerfile.Mount{Type: "tmpfs", Target: "/var/log"}, dockerfile.Bind(aptConfFile, "/etc/apt/apt.conf.d/docker-clean"), dockerfile.Secret("ca", "/run/secrets/ca"))
	return run
}

// key is the SHA-256 of everything that the image is made of, each part with
// its length in front, so that no two recipes give the same bytes.
func (img Image) key() string {
	h := sha256.New()
	part := func(b []byte) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(b)))
		h.Write(length[:])
		h.Write(b)
	}
	part([]byte(recipeVersion))
	part([]byte(img.Platform))
	part(img.Dockerfile)
	for _, f := range img.Context {
		part([]byte(f.Path))
		part([]byte(f.Mode.String()))
		part(f.Data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// component is an id as part of an image name: lower case, single separators.
func component(id string) string {
	words := strings.FieldsFunc(strings.ToLower(id), func(c rune) bool { return c == '-' || c == '_' })
	return strings.Join(words, "-")
}
