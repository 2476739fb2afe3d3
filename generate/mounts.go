package generate

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// Mount is one bind mount of a node.
type Mount struct {
	// Source has no symbolic link left in it: what was checked is what is
	// mounted. It is relative to the pipeline's directory, or absolute.
	Source   string
	Target   string // in the container
	ReadOnly bool
	Allowed  bool // outside the project, allowed by Host.AllowMount
}

// volumes plans the node's own mounts: each is there, inside the project or
// allowed by name, and gives no way to the engine or the kernel.
func (r *resolver) volumes(at string, n *pipeline.Node, out *Node) {
	for i, v := range n.Docker.Volumes {
		m, hint, err := r.mount(v)
		if err != nil {
			r.fail(mistake{pos: v.HostPath.Pos, path: fmt.Sprintf("%s[%d].host_path", at, i), hint: hint}, "%v", err)
			continue
		}
		out.Mounts = append(out.Mounts, m)
	}
}

func (r *resolver) mount(v pipeline.Volume) (m Mount, hint string, err error) {
	m = Mount{Target: v.ContainerPath.V, ReadOnly: v.ReadOnly.V}
	if path.IsAbs(v.HostPath.V) {
		m.Allowed = true
		m.Source, hint, err = r.outside(v.HostPath.V)
		return m, hint, err
	}
	real, err := follow(r.source, path.Clean(v.HostPath.V))
	if err != nil {
		if errors.Is(err, errOutside) {
			hint = "write the absolute path and allow it with --allow-mount"
		}
		return m, hint, explain(v.HostPath.V, err)
	}
	info, err := fs.Stat(r.source, real)
	if err != nil {
		return m, "", explain(v.HostPath.V, err)
	}
	m.Source = real
	if full := path.Join(r.plan.base, real); path.IsAbs(full) {
		if r.host.RealPath != nil { // the project itself may be reached by a link
			if way, _, err := r.host.RealPath(full); err == nil {
				full = way
			}
		}
		if problem := r.holdsSocket(full); problem != "" {
			return m, "", fmt.Errorf("%q %s", v.HostPath.V, problem)
		}
	}
	if problem := special(real, info.Mode()); problem != "" {
		return m, "", fmt.Errorf("%q %s", v.HostPath.V, problem)
	}
	return m, "", nil
}

// outside is the real path of an absolute one, if it may be mounted.
func (r *resolver) outside(name string) (real, hint string, err error) {
	if problem := r.never(path.Clean(name)); problem != "" {
		return "", "", fmt.Errorf("%q %s", name, problem)
	}
	if r.host.RealPath == nil {
		return "", "write a path inside the project", fmt.Errorf("%q is outside the project", name)
	}
	real, mode, err := r.host.RealPath(path.Clean(name))
	if err != nil {
		return "", "", explainOutside(name, err)
	}
	text := fmt.Sprintf("%q", name)
	if real != path.Clean(name) {
		text += fmt.Sprintf(", which leads to %q,", real)
	}
	for _, problem := range []string{r.never(real), special(real, mode)} {
		if problem != "" {
			return "", "", fmt.Errorf("%s %s", text, problem)
		}
	}
	if !slices.ContainsFunc(r.host.AllowMount, func(allowed string) bool { return within(real, allowed) }) {
		return "", "allow it with --allow-mount " + real, fmt.Errorf("%s is outside the project", text)
	}
	return real, "", nil
}

func explainOutside(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return explain(name, err)
	}
	return fmt.Errorf("%q: %w", name, err)
}

// within tells whether a clean absolute path is dir or below it.
func within(name, dir string) bool {
	return name == dir || dir == "/" || strings.HasPrefix(name, dir+"/")
}

// never tells what no flag allows: the whole machine, the kernel's file systems
// and devices, and what holds the engine's socket.
func (r *resolver) never(name string) string {
	if name == "/" {
		return "is the whole machine, which no node may have"
	}
	for _, kernel := range []string{"/proc", "/sys", "/dev"} {
		if within(name, kernel) {
			return "belongs to the kernel: nothing of " + kernel + " may be mounted"
		}
	}
	return r.holdsSocket(name)
}

// holdsSocket also refuses the directories above a socket: whoever talks to
// the engine is root.
func (r *resolver) holdsSocket(name string) string {
	sockets := append([]string{
		"/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/var/run/containerd/containerd.sock",
	}, r.host.Sockets...)
	for _, s := range sockets {
		switch {
		case s == name:
			return "is the engine's socket, which no node may have"
		case within(s, name):
			return fmt.Sprintf("holds the engine's socket %s, which no node may have", s)
		}
	}
	return ""
}

// special refuses what is neither a file nor a directory, and a socket by its
// name even where it is no socket yet.
func special(name string, mode fs.FileMode) string {
	switch base := path.Base(name); {
	case strings.HasSuffix(base, "docker.sock") || strings.HasSuffix(base, "containerd.sock"):
		return "is the engine's socket, which no node may have"
	case mode&fs.ModeSocket != 0:
		return "is a socket: only files and directories can be mounted"
	case mode&fs.ModeType&^fs.ModeDir != 0:
		return "is neither a file nor a directory"
	}
	return ""
}
