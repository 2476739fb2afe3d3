package origin

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

func dockerKeys() []string {
	return []string{
		"python_version", "python_packages", "wheels", "system_dependencies", "build_dependencies", "source", "base_image", "image", "command",
		"env", "env_from", "volumes", "resource_limits", "gpu_devices", "network", "restart",
	}
}

func droppedDockerKeys() map[string]string {
	const shm = "shared memory is computed from max_frame, buffer and sessions"
	const own = "containers are hardened always, and alike"
	const logs = "logs are forwarded always"
	return map[string]string{
		"shm_size_mb": shm, "shm_size": shm, "security": own, "security_preset": own, "security_config": own, "cap_add": own, "cap_drop": own,
		"privileged": own, "ipc_mode": own, "log_forwarding": logs, "logging": logs,
		"fallback_policy": "a node with docker: never runs outside of its container",
		"health_check":    "a node says itself whether it is well; see health_interval_s",
	}
}

// docker is the container of a node: flat limits, other names.
func (c *converter) docker(d *yaml.Node, path string) {
	if d == nil || d.Kind != yaml.MappingNode || !c.first(d) {
		return
	}
	for _, names := range [][2]string{
		{"system_packages", "system_dependencies"}, {"apt_packages", "system_dependencies"}, {"requirements", "python_packages"},
		{"env_vars", "env"}, {"environment", "env"}, {"python", "python_version"}, {"restart_policy", "restart"}, {"gpus", "gpu_devices"},
	} {
		c.rename(d, path, names[0], names[1])
	}
	c.limits(d, path)
	for _, key := range keys(d) {
		if get(d, key.Value) == nil {
			c.note(key, path+"."+key.Value, "dropped: it was null")
			remove(d, key.Value)
		} else if why, ok := droppedDockerKeys()[key.Value]; ok {
			c.note(key, path+"."+key.Value, "dropped: %s", why)
			remove(d, key.Value)
		} else if !slices.Contains(dockerKeys(), key.Value) {
			c.note(key, path+"."+key.Value, "dropped: there is no such key of docker here")
			remove(d, key.Value)
		}
	}
	c.python(d, path)
	c.packages(d, path)
	c.volumes(d, path)
	c.env(d, path)
	c.gpus(d, path)
	for _, key := range keys(d) { // lists that say nothing
		if v := deref(get(d, key.Value)); v.Kind != yaml.ScalarNode && len(v.Content) == 0 {
			c.note(key, path+"."+key.Value, "dropped: it was empty")
			remove(d, key.Value)
		}
	}
	if get(d, "source") == nil && get(d, "image") == nil {
		set(d, "source", text("./nodes"))
		c.note(d, path+".source", "added: the directory of the node's code, ./nodes")
	}
	sortPairs(d, dockerKeys())
}

// minMemory is the least that the language takes, in MiB.
const minMemory = 128

func (c *converter) limits(d *yaml.Node, path string) {
	limits := deref(get(d, "resource_limits"))
	for _, key := range []string{"memory_mb", "cpu_cores"} {
		v := get(d, key)
		if v == nil {
			continue
		}
		c.note(keyOf(d, key), path+"."+key, "became resource_limits.%s", key)
		remove(d, key)
		if limits == nil {
			limits = emptyMapping()
			set(d, "resource_limits", limits)
		}
		if get(limits, key) == nil {
			set(limits, key, v)
		}
	}
	if limits == nil || limits.Kind != yaml.MappingNode {
		return
	}
	for _, key := range keys(limits) {
		if !slices.Contains([]string{"memory_mb", "cpu_cores", "pids"}, key.Value) {
			c.note(key, path+".resource_limits."+key.Value, "dropped: limits are memory_mb, cpu_cores and pids")
			remove(limits, key.Value)
		}
	}
	if m := get(limits, "memory_mb"); m != nil && number(m) < minMemory {
		c.note(m, path+".resource_limits.memory_mb", "%s became %d, the least", m.Value, minMemory)
		m.Value, m.Tag, m.Style = "128", "!!int", 0
	}
	if cpu := get(limits, "cpu_cores"); cpu != nil && number(cpu) < 0.1 {
		c.note(cpu, path+".resource_limits.cpu_cores", "%s became 0.1, the least", cpu.Value)
		cpu.Value, cpu.Tag, cpu.Style = "0.1", "!!float", 0
	}
}

func (c *converter) python(d *yaml.Node, path string) {
	v := get(d, "python_version")
	if v == nil {
		return
	}
	parts := strings.Split(v.Value, ".")
	short := strings.Join(parts[:min(2, len(parts))], ".")
	if !slices.Contains([]string{"3.9", "3.10", "3.11", "3.12", "3.13"}, short) {
		c.note(v, path+".python_version", "%q became 3.11: versions are 3.9 to 3.13", v.Value)
		short = "3.11"
	} else if short != v.Value {
		c.note(v, path+".python_version", "%q became %s: the image has the newest patch", v.Value, short)
	}
	v.Value, v.Tag, v.Style = short, "!!str", yaml.DoubleQuotedStyle
}

// packages leaves out what every image has, and what names no release.
func (c *converter) packages(d *yaml.Node, path string) {
	list := deref(get(d, "python_packages"))
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	var left []string
	list.Content = slices.DeleteFunc(list.Content, func(p *yaml.Node) bool {
		name := strings.ToLower(strings.TrimSpace(p.Value))
		switch {
		case name == "iceoryx2" || strings.HasPrefix(name, "iceoryx2="), strings.HasPrefix(name, "iceoryx2>"), strings.HasPrefix(name, "iceoryx2~"):
			c.note(p, path+".python_packages", "%s dropped: every image has it, at the version of the runtime", p.Value)
			return true
		case strings.Contains(name, "://"), strings.HasPrefix(name, "-"), strings.HasPrefix(name, "."), strings.HasPrefix(name, "/"):
			c.toDo(p, path+".python_packages", "%s dropped: name a release, or put its wheel into the project and name it in wheels", p.Value)
			left = append(left, p.Value)
			return true
		}
		return false
	})
	if len(left) > 0 {
		key := keyOf(d, "python_packages")
		key.HeadComment = strings.TrimPrefix(key.HeadComment+"\n# to do: "+strings.Join(strings.Fields(strings.Join(left, " ")), " "), "\n")
		if len(list.Content) == 0 {
			d.HeadComment = key.HeadComment
		}
	}
}

func (c *converter) volumes(d *yaml.Node, path string) {
	list := deref(get(d, "volumes"))
	if list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	path += ".volumes"
	list.Content = slices.DeleteFunc(list.Content, func(item *yaml.Node) bool {
		v := deref(item)
		if v.Kind != yaml.MappingNode {
			c.note(v, path, "dropped: want a mapping of host_path and container_path")
			return true
		}
		if !c.first(v) {
			return false
		}
		host := get(v, "host_path")
		kind := get(v, "mount_type")
		if kind != nil && kind.Value != "bind" || host == nil {
			c.note(v, path, "dropped: only directories and files of the machine can be mounted")
			return true
		}
		if strings.HasPrefix(host.Value, "/tmp") || strings.HasPrefix(host.Value, "/dev") {
			c.note(v, path, "%s dropped: frames go through shared memory of the project's own", host.Value)
			return true
		}
		for _, key := range keys(v) {
			if !slices.Contains([]string{"host_path", "container_path", "read_only"}, key.Value) {
				c.note(key, path+"."+key.Value, "dropped: a volume has host_path, container_path and read_only")
				remove(v, key.Value)
			}
		}
		if get(v, "read_only") == nil {
			set(v, "read_only", scalar("!!bool", "false"))
			c.note(v, path, "read_only: false added: a volume is read-only by default here")
		}
		if strings.HasPrefix(host.Value, "/") {
			c.toDo(host, path+".host_path", "%s is outside of the project: give --allow-mount %s, or put it inside", host.Value, host.Value)
			host.LineComment = "# to do: needs --allow-mount " + host.Value
		}
		return false
	})
}

// env holds texts: what has no value is an empty one.
func (c *converter) env(d *yaml.Node, path string) {
	env := deref(get(d, "env"))
	for _, key := range keys(env) {
		if get(env, key.Value) == nil {
			c.note(key, path+".env."+key.Value, `null became ""`)
			env.Content[place(env, key.Value)+1] = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Line: key.Line}
		}
	}
}

func (c *converter) gpus(d *yaml.Node, path string) {
	list := deref(get(d, "gpu_devices"))
	if list == nil || list.Kind != yaml.SequenceNode || len(list.Content) != 1 || list.Content[0].Value != "all" {
		return
	}
	c.note(list, path+".gpu_devices", "[all] became all")
	set(d, "gpu_devices", text("all"))
}
