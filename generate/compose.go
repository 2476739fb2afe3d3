package generate

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

const (
	shmVolume      = "shm"
	rootVolume     = "iox"
	runtimeService = "runtime"
	configFile     = "iceoryx2.toml"
	composeFile    = "compose.yaml"

	// rootSize bounds iceoryx2's root in the portable form: a few KiB a service,
	// a node and a port.
	rootSize    = 16 * mib
	tmpfs       = "/tmp:size=64m,mode=1777"
	millisecond = types.Duration(1_000_000) // in nanoseconds
	stopGrace   = 10_000 * millisecond
	networkName = "default"
)

// Project is the plan as a compose project. Nothing in a service changes from
// run to run, or with a comment in the pipeline: compose makes a container anew
// when its service changes.
func (p *Plan) Project() *types.Project {
	project := &types.Project{
		Name:     p.Name,
		Services: types.Services{},
		Volumes: types.Volumes{
			shmVolume:  p.volume(shmVolume, p.SharedMemory),
			rootVolume: p.volume(rootVolume, rootSize),
		},
		Extensions: types.Extensions{"x-medianode": p.extension()},
	}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if !n.Container {
			continue
		}
		project.Services[n.Service] = p.service(n)
		if n.docker.Network.V == "bridge" {
			project.Networks = types.Networks{networkName: {Name: volumeName(p.Name, networkName), Labels: p.owned()}}
		}
	}
	return project
}

func (p *Plan) service(n *Node) types.ServiceConfig {
	yes := true
	grace := stopGrace
	s := types.ServiceConfig{
		Name:         n.Service,
		Restart:      p.restart(n),
		Deploy:       devices(n.docker.GPUDevices),
		WorkloadSpec: types.WorkloadSpec{HealthCheck: healthCheck(n)},
		ContainerSpec: types.ContainerSpec{
			Image: n.Image, PullPolicy: types.PullPolicyNever, Command: command(n),
			User:            fmt.Sprintf("%d:%d", p.UID, p.GID),
			CapDrop:         []string{"ALL"},
			SecurityOpt:     []string{"no-new-privileges:true"},
			ReadOnly:        true,
			Init:            &yes,
			StopSignal:      "SIGTERM",
			StopGracePeriod: &grace,
			MemLimit:        types.UnitBytes(n.Limits.Memory),
			MemSwapLimit:    types.UnitBytes(n.Limits.Memory),
			CPUS:            float32(n.Limits.CPUs),
			PidsLimit:       n.Limits.Pids,
			ShmSize:         types.UnitBytes(p.SharedMemory),
			Tmpfs:           types.StringList{tmpfs},
			Logging:         &types.LoggingConfig{Driver: "local", Options: types.Options{"max-size": "10m", "max-file": "3"}},
			Environment:     environment(n),
			Volumes:         p.mounts(n),
			Labels:          types.Labels{"dev.medianode.node": n.ID},
		},
	}
	maps.Copy(s.Labels, p.owned())
	if n.Finished {
		s.PullPolicy = types.PullPolicyMissing
	} else {
		s.Labels["dev.medianode.key"] = n.key
	}
	if n.Side {
		s.ShmSize = 0 // it has no part in the pipeline's memory
	}
	if n.docker.Network.V == "bridge" {
		s.Networks = map[string]*types.ServiceNetworkConfig{networkName: nil}
	} else {
		s.NetworkMode = "none"
	}
	return s
}

// restart is the engine's own policy. In the attached form the runtime starts
// containers again, because it knows what each of them was at. The portable form
// takes on-failure for always too: a node that has finished exits with 0.
func (p *Plan) restart(n *Node) string {
	if p.Form == Attached || n.Restart.Policy == "" || n.Restart.Policy == "no" {
		return types.RestartPolicyNo
	}
	if n.Restart.MaxAttempts == 0 {
		return types.RestartPolicyOnFailure
	}
	return fmt.Sprintf("%s:%d", types.RestartPolicyOnFailure, n.Restart.MaxAttempts)
}

// command is the program of a finished image, if the pipeline names one.
func command(n *Node) types.ShellCommand {
	var words types.ShellCommand
	for _, w := range n.docker.Command {
		words = append(words, w.V)
	}
	return words
}

// aliveFile is on the container's own tmpfs. The node writes the second since
// boot in it in which its thread was last outside of user code.
const aliveFile = "/tmp/medianode-alive"

// healthCheck asks whether the node's thread came by within five seconds. The
// shell does it alone: each further process would double what a check costs.
func healthCheck(n *Node) *types.HealthCheckConfig {
	if n.HealthIntervalS == 0 {
		return nil
	}
	const test = `read -r now _ </proc/uptime && read -r at <` + aliveFile + ` && [ $((${now%.*} - at)) -le 5 ] || { echo "the node's thread has not come by for more than 5 s, or never"; exit 1; }`
	interval, timeout := types.Duration(n.HealthIntervalS)*1000*millisecond, 5000*millisecond
	start, retries := types.Duration(n.StartTimeoutMS)*millisecond, uint64(3)
	return &types.HealthCheckConfig{
		Test: types.HealthCheckTest{"CMD-SHELL", test}, Interval: &interval, Timeout: &timeout, StartPeriod: &start, Retries: &retries,
	}
}

// devices asks for GPUs: those named, or all.
func devices(gpus []pipeline.Value[string]) *types.DeployConfig {
	if len(gpus) == 0 {
		return nil
	}
	request := types.DeviceRequest{Driver: "nvidia", Capabilities: []string{"gpu"}}
	for _, g := range gpus {
		if g.V == "all" {
			request.Count, request.IDs = -1, nil
			break
		}
		request.IDs = append(request.IDs, g.V)
	}
	return &types.DeployConfig{Resources: types.Resources{Reservations: &types.Resource{Devices: []types.DeviceRequest{request}}}}
}

// environment is what the contract with the SDK names, with caches on the
// container's own tmpfs, and over it what the pipeline sets.
func environment(n *Node) types.MappingWithEquals {
	const cache = "/tmp/cache"
	literal := map[string]string{
		channel.EnvNode: n.wiring, channel.EnvParams: n.params,
		"HOME": "/tmp/home", "USER": "medianode", "PYTHONUNBUFFERED": "1",
		"XDG_CACHE_HOME": cache, "XDG_CONFIG_HOME": "/tmp/config", "XDG_DATA_HOME": "/tmp/data",
		"HF_HOME": cache + "/huggingface", "MPLCONFIGDIR": cache + "/matplotlib", "NUMBA_CACHE_DIR": cache + "/numba",
	}
	if n.Side {
		// A foreign image does not make the directory, and gets no wiring.
		literal["HOME"] = "/tmp"
		delete(literal, channel.EnvNode)
		delete(literal, channel.EnvParams)
		if len(n.Params) > 0 {
			literal[channel.EnvParams] = n.params
		}
	}
	for _, e := range n.docker.Env {
		literal[e.Name.V] = e.Value.V
	}
	out := make(types.MappingWithEquals, len(literal)+len(n.docker.EnvFrom))
	for name, value := range literal {
		out[name] = &value
	}
	for _, from := range n.docker.EnvFrom {
		out[from.V] = nil // compose takes it from the caller's environment
	}
	return out
}

// mounts are shared memory, iceoryx2's root at both its paths and its
// configuration, then the node's own volumes.
func (p *Plan) mounts(n *Node) []types.ServiceVolumeConfig {
	shared := func(source, target string) types.ServiceVolumeConfig {
		// Without nocopy the first mount gives the host's directory the owner and
		// mode of the image's.
		return types.ServiceVolumeConfig{
			Type: types.VolumeTypeVolume, Source: source, Target: target, Volume: &types.ServiceVolumeVolume{NoCopy: true},
		}
	}
	bind := func(source, target string, readOnly bool) types.ServiceVolumeConfig {
		return types.ServiceVolumeConfig{
			Type: types.VolumeTypeBind, Source: source, Target: target, ReadOnly: readOnly,
			Bind: &types.ServiceVolumeBind{CreateHostPath: false},
		}
	}
	var out []types.ServiceVolumeConfig
	if !n.Side {
		out = append(out,
			shared(shmVolume, "/dev/shm"),
			shared(rootVolume, p.Domain.Root),
			shared(rootVolume, "/tmp/iceoryx2"),
			bind("./"+configFile, "/etc/iceoryx2/"+configFile, true),
		)
	}
	for _, m := range n.Mounts {
		out = append(out, bind(p.hostPath(m.Source), m.Target, m.ReadOnly))
	}
	return out
}

func (p *Plan) hostPath(source string) string {
	if path.IsAbs(source) {
		return source
	}
	full := path.Join(p.base, source)
	if path.IsAbs(full) || full == ".." || len(full) > 2 && full[:3] == "../" {
		return full
	}
	return "./" + full
}

// volume is a directory of the host, or a tmpfs of the size that the plan needs.
func (p *Plan) volume(name string, bytes int64) types.VolumeConfig {
	options := types.Options{"type": "none", "o": "bind", "device": path.Join(p.dir, name)}
	if p.Form == Portable {
		options = types.Options{"type": "tmpfs", "device": "tmpfs", "o": fmt.Sprintf("size=%d,uid=%d,gid=%d,mode=0700", bytes, p.UID, p.GID)}
	}
	return types.VolumeConfig{Name: volumeName(p.Name, name), Driver: "local", DriverOpts: options, Labels: p.owned()}
}

// owned are the labels by which gc knows what a dead run has left, and whose it
// was. The portable form is run by compose, which nobody here owns.
func (p *Plan) owned() types.Labels {
	if p.Form != Attached {
		return nil
	}
	return types.Labels{channel.UserLabel: strconv.Itoa(p.UID)}
}

// extension is x-medianode: what the file says for people and tools, and no
// container depends on.
func (p *Plan) extension() map[string]any {
	nodes := map[string]any{}
	for _, n := range p.Nodes {
		entry := map[string]any{"source": fmt.Sprintf("%s:%d:%d", path.Base(p.File), n.Pos.Line, n.Pos.Col), "type": n.Type}
		if n.Service != "" {
			entry["service"] = n.Service
		}
		nodes[n.ID] = entry
	}
	var channels []any
	for _, c := range p.Channels {
		readers := []any{}
		for _, r := range c.Readers {
			readers = append(readers, r.Node+"."+r.Port)
		}
		channels = append(channels, map[string]any{
			"name": c.Name, "from": c.From + "." + c.FromPort, "to": readers, "policy": c.Policy.String(),
			"max_frame": c.MaxFrame, "bytes": c.Sizes.Total(), "count": c.Count,
		})
	}
	return map[string]any{
		"form": p.Form.String(), "sessions": p.Sessions, "shared_memory": p.SharedMemory,
		"iceoryx2": map[string]any{"version": iceoryx2Version, "root": p.Domain.Root, "prefix": p.Domain.Prefix},
		"nodes":    nodes, "channels": slices.Clip(channels),
	}
}
