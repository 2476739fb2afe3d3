package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/runtime"
)

// Sources are where facts come from.
type Sources struct {
	Version  string // of the plugin
	Iceoryx2 string // the version that the binding is for
	UID      int    // of the containers
	Client   client.APIClient
	// Attached proves that containers see this machine's shared memory.
	Attached func(ctx context.Context, image string) error
	// Left are the things of runs that nobody runs any more.
	Left func(ctx context.Context) ([]runtime.Leftover, error)
	// Explain says in one line why no engine answers.
	Explain func(error) error
	State   string // directory of compose files and reports; empty: there is no place for it
	Getenv  func(string) string
}

// Deadlines: of one question, and of all that the engine is asked one after
// the other. An engine that hangs is a finding, not a reason to hang.
const (
	questionTime = 2 * time.Second
	engineTime   = 3 * time.Second
)

// Gather sees everything that there is, at the same time.
func Gather(ctx context.Context, s Sources) Facts {
	var f Facts
	var wait sync.WaitGroup
	wait.Go(func() { f.Engine, f.Containers = s.engine(ctx) })
	wait.Go(func() { f.Probe = s.probe(ctx) })
	wait.Go(func() { f.Program = dockerCommand(ctx) })
	wait.Go(func() {
		f.Projects = s.projects()
		f.Shm = memory("/dev/shm")
		for _, p := range f.Projects {
			f.Shm.Ours += p.Bytes
		}
	})
	wait.Go(func() { f.Foreign = foreignRoot("/tmp/iceoryx2") })
	wait.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, engineTime)
		defer cancel()
		f.Left, _ = s.Left(ctx) // without the engine's part, if it does not answer: a finding of its own
	})
	f.Versions = s.versions()
	f.Bundles = s.bundles()
	f.CPUs = goruntime.NumCPU()
	f.Files = openFiles()
	wait.Wait()
	f.Disks = s.disks(f.Engine)
	return f
}

func (s Sources) versions() Versions {
	v := Versions{
		Plugin: s.Version, Go: goruntime.Version(), Platform: goruntime.GOOS + "/" + goruntime.GOARCH,
		Compose: "unknown", Client: "unknown", Iceoryx2: s.Iceoryx2,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, setting := range info.Settings { // the binding is there in builds with cgo only
		if setting.Key == "CGO_ENABLED" {
			v.SharedMemory = setting.Value == "1" && goruntime.GOOS == "linux"
		}
	}
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/docker/compose/v5":
			v.Compose = d.Version
		case "github.com/moby/moby/client":
			v.Client = d.Version
		}
	}
	return v
}

func dockerCommand(ctx context.Context) Program {
	path, err := exec.LookPath("docker")
	if err != nil {
		return Program{Err: errors.New("no docker command on the path")}
	}
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	return Program{Path: path, Version: strings.TrimSpace(string(out)), Err: err}
}

// engine asks the engine about itself, and for containers of nodes.
func (s Sources) engine(ctx context.Context) (Engine, []Container) {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	e := Engine{Host: s.Client.DaemonHost(), Components: map[string]string{}}
	ping, err := s.Client.Ping(ctx, client.PingOptions{})
	if err != nil {
		e.Err = s.Explain(err)
		return e, nil
	}
	var wait sync.WaitGroup
	var info client.SystemInfoResult
	var version client.ServerVersionResult
	var errs [3]error
	var containers []Container
	wait.Go(func() { info, errs[0] = s.Client.Info(ctx, client.InfoOptions{}) })
	wait.Go(func() { version, errs[1] = s.Client.ServerVersion(ctx, client.ServerVersionOptions{}) })
	wait.Go(func() { containers, errs[2] = s.containers(ctx) })
	wait.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		e.Err = s.Explain(err)
		return e, nil
	}
	i := info.Info
	e.BuildKit = ping.BuilderVersion == "2"
	e.Version, e.API, e.MinAPI = version.Version, version.APIVersion, version.MinAPIVersion
	for _, c := range version.Components {
		e.Components[c.Name] = c.Version
	}
	e.Storage, e.Root, e.CPUs, e.Memory = i.Driver, i.DockerRootDir, i.NCPU, i.MemTotal
	e.Cgroup = cmp.Or(i.CgroupVersion, "unknown")
	e.MemoryLimit, e.SwapLimit, e.CPULimit, e.PidsLimit = i.MemoryLimit, i.SwapLimit, i.CPUCfsQuota, i.PidsLimit
	e.System, e.Machine, e.Warnings = i.OperatingSystem, i.Name, i.Warnings
	return e, containers
}

// containers are those of nodes that run, whoever started them.
func (s Sources) containers(ctx context.Context) ([]Container, error) {
	var list []Container
	got, err := s.Client.ContainerList(ctx, client.ContainerListOptions{Filters: make(client.Filters).Add("label", "dev.medianode.node")})
	if err != nil {
		return nil, err
	}
	for _, c := range got.Items {
		list = append(list, Container{Project: c.Labels["com.docker.compose.project"]})
	}
	return list, nil
}

func (s Sources) probe(ctx context.Context) Probe {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	var p Probe
	images, err := s.Client.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		p.Err = s.Explain(err)
		return p
	}
	for _, i := range images.Items {
		if p.Image == "" || len(i.RepoTags) > 0 {
			p.Image = i.ID
		}
	}
	began := time.Now()
	p.Err = s.Attached(ctx, p.Image)
	p.Took = time.Since(began)
	if p.Image == "" && p.Err != nil {
		if errors.Is(p.Err, runtime.ErrDetached) {
			p.Image = "none" // refused by what the engine says of itself: proof enough
		} else {
			p.Err = errors.New("the engine has no image yet")
		}
	}
	return p
}

// projects are the directories of this user, and who runs them.
func (s Sources) projects() []Project {
	names, err := runtime.Projects(s.UID)
	if err != nil {
		return nil // of another user, which the shared memory's own check shows
	}
	var list []Project
	for _, name := range names {
		p := Project{Name: name, Bytes: runtime.TreeSize(runtime.Directory(s.UID, name))}
		if running, ok := errors.AsType[*runtime.RunningError](runtime.Running(s.UID, name)); ok {
			p.PID, p.Pipeline, p.Since = running.Owner.PID, running.Owner.Pipeline, running.Owner.Started
		}
		list = append(list, p)
	}
	return list
}

// maxForeign bounds the look at a directory that is not ours.
const maxForeign = 10_000

func foreignRoot(path string) Foreign {
	info, err := os.Lstat(path)
	if err != nil {
		return Foreign{}
	}
	f := Foreign{There: true, UID: owner(info), Writable: writable(path)}
	f.Err = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if f.Files++; f.Files == maxForeign {
			return fs.SkipAll
		}
		if info, err := d.Info(); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			f.Old++
		}
		return nil
	})
	return f
}

// bundles are the certificates that builds are given.
func (s Sources) bundles() []Bundle {
	var list []Bundle
	for _, name := range []string{"SSL_CERT_FILE", "PIP_CERT"} {
		path := s.Getenv(name)
		if path == "" {
			continue
		}
		b := Bundle{Variable: name, Path: path}
		text, err := os.ReadFile(path)
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err // its name is shown already
		}
		b.Err = err
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			if _, err := x509.ParseCertificate(block.Bytes); err == nil {
				b.Certificates++
			}
		}
		list = append(list, b)
	}
	return list
}

var errNoHome = errors.New("HOME and XDG_STATE_HOME are not set: nowhere to keep compose files and reports")

// What room on a disk is for.
const (
	useImages = "images"
	useState  = "state"
)

func (s Sources) disks(e Engine) []Disk {
	list := []Disk{{Use: useState, Err: errNoHome}}
	if s.State != "" {
		list[0] = room(useState, s.State)
	}
	if e.Err != nil || e.Root == "" {
		return list
	}
	images := room(useImages, e.Root)
	if name, err := os.Hostname(); err != nil || name != e.Machine || errors.Is(images.Err, fs.ErrNotExist) {
		images = Disk{Use: useImages, Path: e.Root, Remote: true}
	}
	return append(list, images)
}

// room is that of the nearest directory which is there.
func room(use, path string) Disk {
	d := Disk{Use: use, Path: path}
	for at := path; ; at = filepath.Dir(at) {
		d.Free, d.Err = free(at)
		if !errors.Is(d.Err, fs.ErrNotExist) || at == filepath.Dir(at) || use == useImages {
			return d
		}
	}
}
