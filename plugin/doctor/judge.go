package doctor

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/runtime"
)

// Status is how bad it is.
type Status string

// The statuses: Warn is for what may matter, Fail for what keeps pipelines with
// containers from running.
const (
	OK   Status = "ok"
	Warn Status = "warn"
	Fail Status = "fail"
)

// Finding is what one check found, and what to do about it.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"`
}

// Judge is every finding of some facts, always in the same order.
func Judge(f Facts) []Finding {
	findings := []Finding{versions(f.Versions), program(f.Program)}
	findings = append(findings, engine(f.Engine)...)
	findings = append(findings, probe(f.Engine, f.Probe), shm(f.Shm), limits(f.Engine))
	findings = append(findings, projects(f), leftovers(f.Left), foreign(f.Foreign))
	findings = append(findings, processors(f), files(f.Files))
	for _, d := range f.Disks {
		findings = append(findings, disk(d))
	}
	return append(findings, certificates(f.Bundles)...)
}

func versions(v Versions) Finding {
	f := Finding{"plugin", OK, fmt.Sprintf("%s, %s, compose %s, client %s, iceoryx2 %s, %s", v.Plugin, v.Platform, v.Compose, v.Client, v.Iceoryx2, v.Go), ""}
	if !v.SharedMemory {
		f.Status, f.Found = Fail, f.Found+"; built without shared memory"
		f.Do = "install a build for Linux with cgo: make install"
	}
	return f
}

func program(p Program) Finding {
	f := Finding{Check: "docker command", Status: OK, Found: p.Version + " at " + p.Path}
	if p.Err != nil {
		f.Status, f.Found = Warn, p.Err.Error()
		f.Do = "the plugin works alone, as docker-medianode; for 'docker medianode' install the docker command"
	}
	return f
}

func engine(e Engine) []Finding {
	if e.Err != nil {
		return []Finding{{"engine", Fail, e.Err.Error(), "start the engine, or name another with DOCKER_HOST or 'docker context use'; verbs up to generate need none"}}
	}
	list := []Finding{{"engine", OK, fmt.Sprintf("%s, API %s (from %s), %s, at %s", e.Version, e.API, e.MinAPI, e.System, e.Host), ""}}
	build := Finding{"build", OK, "BuildKit, storage " + e.Storage, ""}
	if !e.BuildKit {
		build = Finding{"build", Fail, "the engine's builder is not BuildKit, storage " + e.Storage, `images are built by BuildKit: remove "features": {"buildkit": false} from the engine's daemon.json, or take a newer engine`}
	}
	return append(list, build, security(e))
}

// floor is the oldest version of a component without known ways out of a
// container or a build, a version for each line that was mended.
type floor struct {
	component, why string
	versions       []string
}

func floors() []floor {
	return []floor{
		{"runc", "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881: a container can write to the host", []string{"1.2.8", "1.3.3", "1.4.0"}},
		{"buildkit", "CVE-2024-23651 to 23653: a build can leave its container", []string{"0.12.5"}},
		{"docker", "CVE-2024-23651 to 23653 in its BuildKit: a build can leave its container", []string{"24.0.9", "25.0.2"}},
	}
}

func security(e Engine) Finding {
	known := map[string]string{"docker": e.Version}
	for name, version := range e.Components {
		known[strings.ToLower(name)] = version
	}
	var seen, old, do []string
	for _, f := range floors() {
		version, ok := known[f.component]
		if !ok || (f.component == "docker" && strings.HasPrefix(version, "2.")) { // the library's own numbers
			continue
		}
		v, ok := parseVersion(version)
		if !ok {
			continue
		}
		seen = append(seen, f.component+" "+version)
		if v.below(f.versions) {
			old = append(old, fmt.Sprintf("%s %s: %s", f.component, version, f.why))
			do = append(do, f.component+" "+strings.Join(f.versions, " or "))
		}
	}
	switch {
	case len(old) > 0:
		return Finding{"known holes", Warn, strings.Join(old, "; "), "update to " + strings.Join(do, ", ") + " or newer"}
	case len(seen) == 0:
		return Finding{"known holes", OK, "the engine does not tell the versions of its parts", ""}
	}
	return Finding{"known holes", OK, "none in " + strings.Join(seen, ", "), ""}
}

func probe(e Engine, p Probe) Finding {
	const check = "attached"
	switch {
	case e.Err != nil:
		return Finding{check, Warn, "not known: no engine answers", ""}
	case p.Err != nil && p.Image == "":
		return Finding{check, Warn, "not proved: " + p.Err.Error(), "the first 'docker medianode up' proves it"}
	case p.Err != nil: // it says itself what to do
		return Finding{check, Fail, p.Err.Error(), ""}
	}
	return Finding{check, OK, fmt.Sprintf("containers see this machine's shared memory (%d ms)", p.Took.Milliseconds()), ""}
}

// minShm is what a small pipeline of video takes.
const minShm = 64 << 20

func shm(m Memory) Finding {
	const check = "shared memory"
	if m.Err != nil {
		return Finding{check, Fail, m.Err.Error(), "mount a tmpfs there: mount -t tmpfs -o mode=1777 tmpfs " + m.Path}
	}
	options := slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return strings.HasPrefix(o, "size=") })
	found := fmt.Sprintf("%s: %s, %s free of %s, %s in our projects, %s", m.Path, m.Type, size(m.Free), size(m.Size), size(m.Ours), strings.Join(options, ","))
	switch {
	case slices.Contains(options, "ro"):
		return Finding{check, Fail, found, "it is mounted read-only: mount -o remount,rw " + m.Path}
	case m.Type != "tmpfs":
		return Finding{check, Fail, found, "frames would go to a disk: mount a tmpfs on " + m.Path}
	case m.Free < minShm:
		return Finding{check, Warn, found, "that holds few frames: see what is in it ('du -a " + m.Path + "'), or make it larger: mount -o remount,size=2g " + m.Path}
	}
	return Finding{check, OK, found, ""}
}

func limits(e Engine) Finding {
	const check = "limits"
	if e.Err != nil {
		return Finding{check, Warn, "not known: no engine answers", ""}
	}
	found := fmt.Sprintf("cgroup v%s, %s of memory", e.Cgroup, size(e.Memory))
	var missing []string
	for _, l := range []struct {
		has  bool
		name string
	}{{e.MemoryLimit, "memory"}, {e.SwapLimit, "swap"}, {e.CPULimit, "CPU"}, {e.PidsLimit, "pids"}} {
		if !l.has {
			missing = append(missing, l.name)
		}
	}
	if len(missing) > 0 {
		status := Warn
		if !e.MemoryLimit {
			status = Fail
		}
		advice := "boot with cgroup_enable=memory swapaccount=1, or change to cgroup v2"
		if e.Cgroup == "2" { // what is missing there was not handed down
			advice = "see /sys/fs/cgroup/cgroup.controllers: for memory boot with cgroup_enable=memory, and give the engine's service Delegate=yes"
		}
		return Finding{check, status, found + "; the kernel does not enforce: " + strings.Join(missing, ", "), advice}
	}
	if len(e.Warnings) > 0 {
		said := strings.ReplaceAll(strings.Join(e.Warnings, "; "), "WARNING: ", "")
		return Finding{check, Warn, found + "; the engine says: " + said, "limits hold; this is the engine's own advice"}
	}
	return Finding{check, OK, found + "; memory, swap, CPU and pids are enforced", ""}
}

func projects(f Facts) Finding {
	var running []string
	for _, p := range f.Projects {
		if p.PID > 0 {
			running = append(running, fmt.Sprintf("%s (process %d, %s)", p.Name, p.PID, size(p.Bytes)))
		}
	}
	for _, c := range f.Containers {
		if text := c.Project + " (in containers alone)"; c.alone(f) && !slices.Contains(running, text) {
			running = append(running, text)
		}
	}
	if len(running) == 0 {
		return Finding{"running", OK, "no project", ""}
	}
	return Finding{"running", OK, strings.Join(running, ", "), ""}
}

// alone says that a container's project has no directory here, and that it is no
// leftover: its runtime is in a container too, or compose runs it.
func (c Container) alone(f Facts) bool {
	return c.Project != "" && !slices.ContainsFunc(f.Projects, func(p Project) bool { return p.Name == c.Project }) &&
		!slices.ContainsFunc(f.Left, func(l runtime.Leftover) bool { return l.Project == c.Project })
}

// leftovers are what gc would remove.
func leftovers(left []runtime.Leftover) Finding {
	if len(left) == 0 {
		return Finding{"leftovers", OK, "none", ""}
	}
	var names []string
	for _, l := range left {
		text := l.Kind + " " + l.Name
		if l.State != "" {
			text += " (" + l.State + ")"
		}
		if l.Bytes > 0 {
			text += " (" + size(l.Bytes) + ")"
		}
		names = append(names, text)
	}
	return Finding{"leftovers", Warn, strings.Join(names, ", "), "docker medianode gc removes them"}
}

func foreign(f Foreign) Finding {
	const check = "other iceoryx2"
	found := fmt.Sprintf("/tmp/iceoryx2 of uid %d, %d files, %d older than a day; projects have roots of their own and never use it", f.UID, f.Files, f.Old)
	switch {
	case !f.There:
		return Finding{check, OK, "no /tmp/iceoryx2", ""}
	case f.Err != nil:
		return Finding{check, Warn, "/tmp/iceoryx2: " + f.Err.Error(), "other programs of yours that use iceoryx2 may not start"}
	case !f.Writable:
		return Finding{check, Warn, found, fmt.Sprintf("other programs of yours that use iceoryx2 cannot start: have uid %d remove it", f.UID)}
	}
	return Finding{check, OK, found, ""}
}

func processors(f Facts) Finding {
	found := fmt.Sprintf("%d", f.CPUs)
	if f.Engine.Err == nil {
		found = fmt.Sprintf("%d here, %d for containers", f.CPUs, f.Engine.CPUs)
	}
	if f.CPUs < 2 {
		return Finding{"processors", Warn, found, "with one processor a hop waits for the scheduler: use two or more"}
	}
	return Finding{"processors", OK, found, ""}
}

// minFiles is enough for some hundred connections.
const minFiles = 1024

func files(f Files) Finding {
	found := fmt.Sprintf("%d, up to %d", f.Soft, f.Hard)
	switch {
	case f.Err != nil:
		return Finding{"open files", Warn, f.Err.Error(), ""}
	case f.Soft < minFiles:
		return Finding{"open files", Warn, found, "each connection takes some: ulimit -n 4096"}
	}
	return Finding{"open files", OK, found, ""}
}

// Room on a disk: below the first an image of PyTorch does not fit, below the
// second nothing does.
const (
	littleDisk = 5 << 30
	noDisk     = 512 << 20
)

func disk(d Disk) Finding {
	check := "disk: " + d.Use
	found := fmt.Sprintf("%s free at %s", size(d.Free), d.Path)
	little, none := int64(littleDisk), int64(noDisk)
	if d.Use != useImages {
		little, none = 64<<20, 1<<20 // compose files and reports
	}
	switch {
	case d.Remote:
		return Finding{check, OK, d.Path + " is not on this machine", ""}
	case errors.Is(d.Err, errNoHome):
		return Finding{check, Fail, d.Err.Error(), "set HOME"}
	case d.Err != nil:
		return Finding{check, Warn, d.Err.Error(), ""}
	case d.Free < none:
		return Finding{check, Fail, found, "make room: 'docker system df' and 'docker builder prune' for images"}
	case d.Free < little:
		return Finding{check, Warn, found, "make room: 'docker system df' and 'docker builder prune' for images"}
	}
	return Finding{check, OK, found, ""}
}

func certificates(bundles []Bundle) []Finding {
	if len(bundles) == 0 {
		return []Finding{{"certificates", OK, "the system's own; neither SSL_CERT_FILE nor PIP_CERT is set", ""}}
	}
	var list []Finding
	for _, b := range bundles {
		f := Finding{"certificates", OK, fmt.Sprintf("%s=%s: %d certificates", b.Variable, b.Path, b.Certificates), ""}
		switch {
		case b.Err != nil:
			f.Status, f.Found = Fail, fmt.Sprintf("%s=%s: %s", b.Variable, b.Path, b.Err)
			f.Do = "builds are given this file: name one that can be read, or unset " + b.Variable
		case b.Certificates == 0:
			f.Status, f.Do = Fail, "there is no PEM certificate in it: name another file, or unset "+b.Variable
		}
		list = append(list, f)
	}
	return list
}

// Worst is the worst status of some findings.
func Worst(findings []Finding) Status {
	worst := OK
	for _, f := range findings {
		if f.Status == Fail || (f.Status == Warn && worst == OK) {
			worst = f.Status
		}
	}
	return worst
}
