package pipeline

import (
	"slices"
	"strconv"
	"strings"
)

func pythonVersions() []string { return []string{"3.9", "3.10", "3.11", "3.12", "3.13"} }

func checkPython(s string) (string, string) {
	known := pythonVersions()
	switch {
	case slices.Contains(known, s):
		return "", ""
	case s == "3.1":
		return "must be " + list(known), "did you mean 3.10? The zero counts"
	}
	for _, k := range slices.Backward(known) {
		if strings.HasPrefix(s, k+".") {
			return "names a patch release", "write " + k
		}
		if strings.HasSuffix(s, k) {
			return "must be " + list(known), "write " + k
		}
	}
	return "must be " + list(known), ""
}

// dockerMoved holds the origin's names, and those of compose, that have another
// name or no place here.
func dockerMoved() moved {
	const set = "remove it: it is the same for every container"
	const made = "remove it: it is made from the pipeline"
	const own = "remove it: the container's security is not a matter of the pipeline"
	const shm = "remove it: shared memory is computed from max_frame, buffer and sessions"
	m := moved{
		"memory_mb": "resource_limits.memory_mb", "cpu_cores": "resource_limits.cpu_cores",
		"cpus": "resource_limits.cpu_cores", "memory": "resource_limits.memory_mb", "mem_limit": "resource_limits.memory_mb",
		"pids": "resource_limits.pids", "pids_limit": "resource_limits.pids",
		"system_packages": "=system_dependencies", "apt_packages": "=system_dependencies", "apt": "=system_dependencies",
		"requirements": "=python_packages", "pip_packages": "=python_packages", "packages": "=python_packages", "pip": "=python_packages",
		"python": "=python_version", "environment": "=env", "env_vars": "=env", "mounts": "=volumes", "gpus": "=gpu_devices",
		"limits": "=resource_limits", "resources": "=resource_limits", "context": "=source", "build": "write source: DIRECTORY; the Dockerfile is generated",
		"path": "=source", "src": "=source", "code": "=source", "dir": "=source", "directory": "=source", "folder": "=source",
		"gpu": "write gpu_devices: all, or a list", "runtime": "gpu_devices asks for GPUs", "deploy": "see resource_limits, gpu_devices and restart",
		"networks": "write network: bridge to reach other machines", "secrets": "name the variables in env_from",
		"depends_on": "remove it: connections say who needs whom", "profiles": "remove it: every node of the file runs",
		"healthcheck": "write health_interval_s: SECONDS; a node says itself whether it is well",
		"platform":    "remove it: images are built for the engine's platform", "pull_policy": "remove it: what is missing is pulled",
		"expose": "remove it: frames do not travel over the network", "links": "remove it: connections say who needs whom",
		"restart_policy": "=restart", "entrypoint": "=command", "network_mode": "=network", "base": "=base_image",
		"shm_size_mb": shm, "shm_size": shm,
		"max_frame": "write outputs: {PORT: {max_frame: SIZE}} at the node", "params": "params stand at the node",
		"start_timeout_ms": "write it at the node, beside docker", "timeout_ms": "write it at the node, beside docker", "on_crash": "write it at the node, beside docker",
		"env_file": "name the variables in env_from",
		"ports":    "remove it: frames do not travel over the network", "user": "remove it: containers run as the caller",
		"dockerfile": "remove it: Dockerfiles are generated; use base_image",
	}
	for _, k := range []string{
		"privileged", "cap_add", "cap_drop", "devices", "security_opt", "security", "security_preset", "pid", "ipc", "userns",
		"userns_mode", "sysctls", "cgroup_parent", "extra_hosts",
	} {
		m[k] = own
	}
	for _, k := range []string{"container_name", "hostname", "labels", "annotations"} {
		m[k] = made
	}
	for _, k := range []string{
		"init", "tty", "stdin_open", "logging", "working_dir", "tmpfs", "ulimits", "read_only", "stop_signal", "stop_grace_period",
	} {
		m[k] = set
	}
	return m
}

func (p *parser) docker(parent *fields, v *node, n *Node) *Docker {
	d := &Docker{Pos: parent.pairs["docker"].at}
	f, ok := p.open(v, parent.sub("docker"), d.Pos, []string{
		"python_version", "python_packages", "wheels", "system_dependencies", "build_dependencies", "source",
		"base_image", "image", "command", "env", "env_from", "volumes", "resource_limits", "gpu_devices", "network", "restart", "health_interval_s",
	}, dockerMoved())
	if !ok {
		return d
	}
	d.PythonVersion = f.text("python_version", DefaultPythonVersion, checkPython)
	d.PythonPackages = f.texts("python_packages", checkRequirement, distribution)
	d.Wheels = f.texts("wheels", checkWheel, itself)
	d.SystemDependencies = f.texts("system_dependencies", checkDebian, debianName)
	d.BuildDependencies = f.texts("build_dependencies", checkDebian, debianName)
	d.Source = f.text("source", "", checkSource)
	d.BaseImage = f.text("base_image", "", checkImage)
	d.Image = f.text("image", "", checkImage)
	d.Command = f.command()
	d.Env, d.EnvFrom = f.env(), f.texts("env_from", checkEnvName, itself)
	f.envTwice(d)
	d.Volumes = f.volumes()
	d.Limits = f.limits()
	d.GPUDevices = f.gpus()
	d.Network = f.word("network", "none", networks()...)
	d.Restart = f.restart()
	d.HealthIntervalS = f.integer("health_interval_s", 0, 1, maxHealthInterval)
	if n.Module != "" && f.get("image") == nil {
		f.require("source", "the directory with "+moduleFile(n.Module)+", such as source: ./nodes/"+printable(cut(n.ID.V)))
	}
	f.imageTogether(d)
	return d
}

func checkSource(s string) (string, string) {
	if strings.Contains(s, "://") {
		return "is a URL", "a directory beside the pipeline file, such as ./nodes/asr"
	}
	return checkHostPath(s)
}

func checkWheel(s string) (string, string) {
	switch {
	case strings.Contains(s, "://"):
		return "is a URL", "download it, and name the file"
	case strings.ContainsAny(s, "*?"):
		return "is a pattern", "name each file"
	}
	if bad, hint := checkHostPath(s); bad != "" {
		return bad, hint
	}
	if !strings.HasSuffix(s, ".whl") {
		return "is not a wheel", "such as ./wheels/tool-1.0-py3-none-any.whl; packages of the index stand in python_packages"
	}
	return "", ""
}

func (f *fields) gpus() []Value[string] {
	if n := f.get("gpu_devices"); n != nil && n.kind == scalar && !n.null() && n.text != "all" {
		hint := "write all, or a list such as [0]"
		if problem, _ := checkGPU(n.text); problem == "" {
			hint = "write all, or [" + n.text + "]"
		}
		f.mismatch(n, f.sub("gpu_devices"), "a list or all", hint)
		return nil
	}
	if n := f.get("gpu_devices"); n != nil && n.kind == scalar && n.text == "all" {
		return []Value[string]{{n.text, n.pos, true}}
	}
	return f.texts("gpu_devices", checkGPU, itself)
}

// command takes words; a line of a shell is told how to write them.
func (f *fields) command() []Value[string] {
	n := f.get("command")
	if n == nil || n.kind != scalar || n.null() {
		return f.texts("command", optionalLine, nil)
	}
	words := strings.Fields(cut(n.text))
	for i, w := range words {
		words[i] = strconv.Quote(w)
	}
	f.mismatch(n, f.sub("command"), "a list", "write a word an item: ["+strings.Join(words, ", ")+"]")
	return nil
}

// env takes any scalar as it is written: 010 is the text 010.
func (f *fields) env() []EnvVar {
	v := f.get("env")
	if v == nil {
		return nil
	}
	if v.kind != mapping {
		f.mismatch(v, f.sub("env"), "a mapping", "write NAME: value on each line")
		return nil
	}
	out := make([]EnvVar, 0, len(v.pairs))
	for _, kv := range v.pairs {
		path := joinPath(f.sub("env"), kv.key)
		if problem, hint := checkEnvName(kv.key); problem != "" {
			f.fail(kv.at, path, hint, "%s %s", quote(kv.key), problem)
		}
		switch {
		case kv.value.kind == scalar && kv.value.null():
			f.fail(kv.value.pos, path, `write "" for an empty value, or list the name in env_from`, "must be text, not null")
			continue
		case kv.value.kind != scalar:
			f.mismatch(kv.value, path, "text", "")
			continue
		}
		f.check(kv.value, path, freeText)
		out = append(out, EnvVar{
			Name:  Value[string]{kv.key, kv.at, true},
			Value: Value[string]{kv.value.text, kv.value.pos, true},
		})
	}
	return out
}

func (f *fields) envTwice(d *Docker) {
	literal := make(map[string]Pos, len(d.Env))
	for _, e := range d.Env {
		literal[e.Name.V] = e.Name.Pos
	}
	for i, from := range d.EnvFrom {
		if pos, twice := literal[from.V]; twice {
			f.fail(from.Pos, joinIndex(f.sub("env_from"), i), "keep one of the two",
				"%s is already in env at %d:%d", quote(from.V), pos.Line, pos.Col)
		}
	}
}

func (f *fields) volumes() []Volume {
	var out []Volume
	first := map[string]Pos{}
	for i, item := range f.items("volumes") {
		path := joinIndex(f.sub("volumes"), i)
		if item.kind == scalar && !item.null() {
			f.mismatch(item, path, "a mapping", mountHint(item.text))
			continue
		}
		g, ok := f.open(item, path, item.pos, []string{"host_path", "container_path", "read_only"}, moved{
			"host": "=host_path", "source": "=host_path", "container": "=container_path", "target": "=container_path",
			"readonly": "=read_only", "ro": "=read_only", "mode": "write read_only: true or false", "type": "remove it: every volume is a bind mount",
		})
		if !ok {
			continue
		}
		g.require("host_path", "a path inside the project, such as ./data")
		g.require("container_path", "an absolute path, such as /data")
		v := Volume{Pos: item.pos}
		v.HostPath = g.text("host_path", "", checkMountPath)
		v.ContainerPath = g.text("container_path", "", checkContainerPath)
		v.ReadOnly = g.boolean("read_only", true)
		if before, dup := first[v.ContainerPath.V]; dup && v.ContainerPath.Set {
			f.fail(v.ContainerPath.Pos, path+".container_path", "", "%s is already mounted at %d:%d",
				quote(v.ContainerPath.V), before.Line, before.Col)
		} else {
			first[v.ContainerPath.V] = v.ContainerPath.Pos
		}
		out = append(out, v)
	}
	return out
}

func (f *fields) limits() Limits {
	v := f.get("resource_limits")
	at := f.at
	if v != nil {
		at = f.pairs["resource_limits"].at
	} else {
		v = &node{kind: mapping}
	}
	l := Limits{Pos: at}
	g, ok := f.open(v, f.sub("resource_limits"), at, []string{"memory_mb", "cpu_cores", "pids"}, moved{
		"cpus": "=cpu_cores", "cpu": "=cpu_cores", "memory": "write memory_mb, in MiB, such as memory_mb: 512", "mem_limit": "write memory_mb, in MiB, such as memory_mb: 512",
		"shm_size_mb": "remove it: shared memory is computed from max_frame, buffer and sessions",
		"gpu":         "write gpu_devices, beside resource_limits", "gpus": "write gpu_devices, beside resource_limits",
	})
	if !ok {
		return l
	}
	l.MemoryMB = g.integer("memory_mb", 0, 128, 1<<24)
	l.CPUCores = g.number("cpu_cores", 0.1, 1024)
	l.Pids = g.integer("pids", 0, 16, 1<<22)
	return l
}

func (f *fields) restart() Restart {
	r := Restart{Pos: f.at, Policy: Value[string]{V: "no", Pos: f.at}}
	v := f.get("restart")
	if v == nil {
		return r
	}
	if v.kind == scalar && !v.null() {
		f.mismatch(v, f.sub("restart"), "a mapping", "write restart: {policy: "+policyHint(v.text)+"}")
		r.meant = true
		return r
	}
	r.Pos = f.pairs["restart"].at
	g, ok := f.open(v, f.sub("restart"), r.Pos, []string{"policy", "max_attempts", "window_s"}, moved{
		"retries": "=max_attempts", "max_retries": "=max_attempts", "attempts": "=max_attempts", "condition": "=policy",
		"window": "write window_s, in seconds", "delay": "remove it: the container starts at once",
	})
	if !ok {
		return r
	}
	r.Policy = g.word("policy", "no", policies()...)
	r.meant = g.get("policy") != nil && g.get("policy").text != "no"
	r.MaxAttempts = g.integer("max_attempts", 0, 1, maxAttempts)
	r.WindowS = g.integer("window_s", 0, 1, maxMillis/1000)
	g.restartTogether(r)
	return r
}

// policyHint reads the short form of compose, with its number of attempts.
func policyHint(s string) string {
	name, attempts, _ := strings.Cut(s, ":")
	if name == "unless-stopped" {
		return "always"
	}
	for _, p := range policies() {
		if name == p && attempts != "" && len(attempts) < 5 && allDigits(attempts) {
			return p + ", max_attempts: " + attempts
		}
		if name == p {
			return p
		}
	}
	return "on-failure"
}

func networks() []string { return []string{"none", "bridge"} }

func policies() []string { return []string{"no", "on-failure", "always"} }
