//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing/fstest"
	"time"

	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
	"github.com/medianode/docker-medianode/runtime/python"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

//go:embed images/*.Dockerfile images/nodes/work.py
var peerFiles embed.FS

const (
	imagesBase = "python:3.11-slim"
	// Native wheels, and one package that has none on the index and is compiled.
	imagesPackages = "numpy==2.3.5 soundfile==0.13.1 webrtcvad==2.0.10"
	leanBuild      = "gcc libc6-dev"
	seedBuild      = "build-essential gcc g++ git wget libsndfile1-dev libavcodec-dev"
	seedRuntime    = "libsndfile1 ffmpeg libsox-fmt-all"
)

// subject is one way to make the image of a node.
type subject struct {
	name string
	make func(code string) (generate.Image, error)
	// gzip is how docker build compresses layers if nobody says anything.
	gzip bool
}

// figures are what a subject costs: bytes that its image has beside its base's,
// and the times of builds.
type figures struct {
	compressed, unpacked int64
	layers               int
	cold                 time.Duration
	warm, code           []time.Duration
}

// images measures what is in an image and how long it takes to build, beside
// Dockerfiles with the same content.
func images(ctx context.Context, w io.Writer, rounds int, only string, verbose bool) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	b, err := newBuilds()
	if err != nil {
		return err
	}
	defer b.close()
	if verbose {
		if b.kit.Progress, err = image.NewProgress(os.Stderr, "plain"); err != nil {
			return err
		}
	}
	all := []subject{
		{"single stage", b.peer("single", leanBuild, ""), true},
		{"ours", b.ours(leanBuild, "", imagesPackages), false},
		{"single stage, template's packages", b.peer("single", seedBuild, seedRuntime), true},
		{"the template literally", b.peer("template", "", ""), true},
		{"ours, template's packages", b.ours(seedBuild, seedRuntime, imagesPackages), false},
	}
	base, err := b.sizes(ctx, imagesBase, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "Images of a node with %s on %s (%s compressed, %s unpacked, which all have).\n\n",
		imagesPackages, imagesBase, megabytes(base.compressed), megabytes(base.unpacked))
	var failed []error
	t := newTable("image", "compressed", "unpacked", "layers", "cold", "warm", "code only")
	for _, s := range all {
		if !pattern.MatchString(s.name) {
			continue
		}
		f, err := b.measure(ctx, s, base, rounds)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
			continue
		}
		t.row(s.name, megabytes(f.compressed), megabytes(f.unpacked), f.layers, f.cold, median(f.warm), median(f.code))
	}
	t.print(w)
	fmt.Fprint(w, `Bytes are those beside the base's. Cold: no step and no download is cached, once. Warm: nothing has
changed, code only: one line of the node's code has; medians.
Ours has the SDK and the compiled bytecode of its packages but not of their tests; its layers are compressed with
zstd, those of the others with gzip, as docker build does it.

`)
	if !pattern.MatchString("eight nodes") {
		return errors.Join(failed...)
	}
	return errors.Join(append(failed, b.eight(ctx, w))...)
}

// eight builds nodes that have nearly everything in common, together, after one
// of them alone.
func (b *builds) eight(ctx context.Context, w io.Writer) error {
	mark := b.unique()
	alone, err := b.oursMarked(mark, leanBuild, "", imagesPackages)("0")
	if err != nil {
		return err
	}
	b.rename(&alone, "alone")
	one, err := b.build(ctx, alone, false)
	if err != nil {
		return err
	}
	mark = b.unique()
	var nodes []generate.Image
	for i, extra := range []string{"", "", "", "", " six==1.16.0", " tqdm==4.67.1", " pyyaml==6.0.2", " scipy==1.16.3"} {
		img, err := b.oursMarked(mark, leanBuild, "", imagesPackages+extra)(strconv.Itoa(i))
		if err != nil {
			return err
		}
		b.rename(&img, "eight"+strconv.Itoa(i))
		nodes = append(nodes, img)
	}
	began := time.Now()
	if _, err := image.BuildAll(ctx, b.kit, nodes, 0); err != nil {
		return err
	}
	took := time.Since(began)
	seen := map[string]bool{}
	base, err := b.sizes(ctx, imagesBase, nil)
	if err != nil {
		return err
	}
	single, err := b.sizes(ctx, alone.Ref, base.blobs)
	if err != nil {
		return err
	}
	var sum, shared int64
	for _, img := range nodes {
		s, err := b.sizes(ctx, img.Ref, base.blobs)
		if err != nil {
			return err
		}
		for blob, n := range s.blobs {
			sum += n
			if !seen[blob] {
				shared += n
			}
			seen[blob] = true
		}
	}
	t := newTable("cold", "time", "compressed")
	t.row("one node", one, megabytes(single.compressed))
	t.row("eight nodes at once", took, fmt.Sprintf("%s (%s if they shared nothing)", megabytes(shared), megabytes(sum)))
	t.print(w)
	fmt.Fprint(w, "Four of the eight differ in code alone, one each has six, tqdm, pyyaml and scipy besides.\n\n")
	return nil
}

// builds builds and measures images of its own names, and removes them.
type builds struct {
	client *client.Client
	kit    image.BuildKit
	refs   map[string]bool
	count  int
}

func newBuilds() (*builds, error) {
	c, err := client.New(client.FromEnv)
	if err != nil {
		return nil, err
	}
	kit := image.BuildKit{Engine: c, CA: os.Getenv("PIP_CERT"), Proxy: image.ProxyFromEnv(os.Environ())}
	return &builds{client: c, kit: kit, refs: map[string]bool{}}, nil
}

func (b *builds) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ref := range b.refs {
		_, _ = b.client.ImageRemove(ctx, ref, client.ImageRemoveOptions{Force: true})
	}
	_ = b.client.Close()
}

func (b *builds) unique() string {
	b.count++
	return fmt.Sprintf("%d-%d-%d", os.Getpid(), time.Now().UnixNano(), b.count)
}

func (b *builds) rename(img *generate.Image, name string) {
	img.Ref = "medianode-bench/" + name + ":" + strconv.Itoa(os.Getpid())
	b.refs[img.Ref] = true
}

// measure builds one subject cold, then warm and with other code in turns.
func (b *builds) measure(ctx context.Context, s subject, base layers, rounds int) (figures, error) {
	var f figures
	code := 0
	next := func(change bool) (time.Duration, error) {
		if change {
			code++
		}
		img, err := s.make(strconv.Itoa(code))
		if err != nil {
			return 0, err
		}
		b.rename(&img, "subject")
		return b.build(ctx, img, s.gzip)
	}
	var err error
	if f.cold, err = next(true); err != nil {
		return f, err
	}
	for range rounds {
		for _, change := range []bool{false, true} {
			took, err := next(change)
			if err != nil {
				return f, err
			}
			if change {
				f.code = append(f.code, took)
			} else {
				f.warm = append(f.warm, took)
			}
		}
	}
	got, err := b.sizes(ctx, "medianode-bench/subject:"+strconv.Itoa(os.Getpid()), base.blobs)
	f.compressed, f.unpacked, f.layers = got.compressed, got.unpacked, len(got.blobs)
	return f, err
}

func (b *builds) build(ctx context.Context, img generate.Image, gzip bool) (time.Duration, error) {
	kit := b.kit
	kit.Gzip = gzip
	began := time.Now()
	_, err := kit.Build(ctx, img)
	var failed *image.BuildError
	if errors.As(err, &failed) {
		err = fmt.Errorf("%w\n%s", err, strings.Join(failed.Log, "\n"))
	}
	return time.Since(began), err
}

var cacheMount = regexp.MustCompile(`--mount=type=cache,(id=[^,]*,)?target=([^, ]*)`)

// cold makes the steps and caches of a Dockerfile known to no engine: nobody
// else's cache is touched for it.
func cold(text []byte, mark string) []byte {
	return cacheMount.ReplaceAll(text, []byte("--mount=type=cache,id=bench-"+mark+"-${2},target=${2}"))
}

// ours is the image of a node as the product plans it.
func (b *builds) ours(build, runtime, packages string) func(string) (generate.Image, error) {
	return b.oursMarked(b.unique(), build, runtime, packages)
}

func (b *builds) oursMarked(mark, build, runtime, packages string) func(string) (generate.Image, error) {
	list := func(s string) string { return "[" + strings.Join(strings.Fields(s), ", ") + "]" }
	text := fmt.Sprintf(`version: v1
nodes:
  - id: bench
    node_type: work:Work
    docker:
      python_version: 3.11
      python_packages: %s
      build_dependencies: %s
      system_dependencies: %s
      source: nodes
`, list(packages), list(build), list(runtime))
	return func(code string) (generate.Image, error) {
		spec, err := pipeline.Parse("pipeline.yaml", []byte(text), nil)
		if err != nil {
			return generate.Image{}, err
		}
		source := fstest.MapFS{"nodes/work.py": {Data: peerCode(code)}}
		plan, err := generate.Resolve(spec, "bench", generate.Host{Arch: "amd64"}, source, python.Package())
		if err != nil {
			return generate.Image{}, err
		}
		img := plan.Images[0]
		img.Dockerfile = cold(img.Dockerfile, mark)
		img.Key = mark + code
		// Equal bytes are equal layers, whatever made them: only other bytes are cold.
		const made = "        os.makedirs(f\"{LAYERS}/{name}/root\", exist_ok=True)\n"
		for i, f := range img.Context {
			if f.Path != "build/layers.py" {
				continue
			}
			if !bytes.Contains(f.Data, []byte(made)) {
				return img, errors.New("build does not make layers where it did")
			}
			img.Context[i].Data = bytes.ReplaceAll(f.Data, []byte(made), []byte(made+"        open(f\"{LAYERS}/{name}/root/"+mark+"\", \"w\").write(\""+mark+"\")\n"))
		}
		return img, nil
	}
}

// peer is a Dockerfile of others, with the certificates that this machine needs.
func (b *builds) peer(name, build, runtime string) func(string) (generate.Image, error) {
	mark := b.unique()
	return func(code string) (generate.Image, error) {
		data, err := peerFiles.ReadFile("images/" + name + ".Dockerfile")
		if err != nil {
			return generate.Image{}, err
		}
		text := strings.NewReplacer("BUILD_PACKAGES", build, "RUNTIME_PACKAGES", runtime).Replace(string(data))
		run := "RUN --mount=type=tmpfs,target=/bench-" + mark + " "
		if b.kit.CA != "" {
			run += "--mount=type=secret,id=ca,target=/run/secrets/ca "
			text = strings.NewReplacer("pip install", "PIP_CERT=/run/secrets/ca pip install", "apt-get ", "apt-get -o Acquire::https::CaInfo=/run/secrets/ca ").Replace(text)
		}
		text = strings.ReplaceAll(text, "RUN ", run)
		return generate.Image{
			Node: "bench", Key: mark + code, Platform: "linux/amd64", Dockerfile: cold([]byte(text), mark),
			Context: []generate.File{
				{Path: "app/work.py", Mode: 0o644, Data: peerCode(code)},
				{Path: "requirements.txt", Mode: 0o644, Data: []byte(strings.ReplaceAll(imagesPackages, " ", "\n") + "\n")},
			},
		}, nil
	}
}

func peerCode(code string) []byte {
	data, err := peerFiles.ReadFile("images/nodes/work.py")
	if err != nil { // it is embedded
		panic(err)
	}
	return append(data, "# "+code+"\n"...)
}

// layers are the layers of an image that another does not have.
type layers struct {
	compressed, unpacked int64
	blobs                map[string]int64 // digest: bytes compressed
}

// sizes reads an image as the engine stores it.
func (b *builds) sizes(ctx context.Context, ref string, without map[string]int64) (layers, error) {
	out := layers{blobs: map[string]int64{}}
	r, err := b.client.ImageSave(ctx, []string{ref})
	if err != nil {
		return out, err
	}
	defer r.Close()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		digest, isBlob := strings.CutPrefix(h.Name, "blobs/sha256/")
		if _, other := without[digest]; !isBlob || other || digest == "" {
			continue
		}
		if n := unpackedSize(archive); n > 0 {
			out.blobs[digest] = h.Size
			out.compressed += h.Size
			out.unpacked += n
		}
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
