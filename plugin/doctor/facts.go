// Package doctor looks at a machine and says what of it would keep pipelines
// from running, and what to do. What is there is gathered first, everything at
// the same time; judging it is pure.
package doctor

import (
	"time"

	"github.com/medianode/docker-medianode/runtime"
)

// Facts are what was seen. Sizes are bytes.
type Facts struct {
	Versions   Versions
	Program    Program // the docker command
	Engine     Engine
	Probe      Probe
	Shm        Memory
	Projects   []Project
	Left       []runtime.Leftover // what gc would remove
	Foreign    Foreign
	Containers []Container
	Bundles    []Bundle
	Disks      []Disk
	CPUs       int // of this process
	Files      Files
}

// Versions are of the plugin and what is built into it.
type Versions struct {
	Plugin, Go, Platform, Compose, Client, Iceoryx2 string
	SharedMemory                                    bool // the binding to iceoryx2 is built in
}

// Program is a command on the path.
type Program struct {
	Path, Version string
	Err           error
}

// Engine is what the engine says of itself. Err is why it does not answer; all
// else is empty then.
type Engine struct {
	Host            string // the endpoint
	Err             error
	Version         string
	API, MinAPI     string
	Components      map[string]string // runc, containerd, buildkit: versions
	BuildKit        bool
	Storage         string
	Root            string // where images lie, on the engine's machine
	CPUs            int
	Memory          int64
	Cgroup          string // 1 or 2
	MemoryLimit     bool
	SwapLimit       bool
	CPULimit        bool
	PidsLimit       bool
	Warnings        []string
	System, Machine string
}

// Probe is whether containers see this machine's shared memory.
type Probe struct {
	Image string // that it was tried with; empty: the engine has none
	Err   error
	Took  time.Duration
}

// Memory is the file system of shared memory.
type Memory struct {
	Path, Type string
	Options    []string // of the mount
	Size, Free int64
	Ours       int64 // bytes of this user's projects
	Err        error
}

// Project is one that has a directory here.
type Project struct {
	Name, Pipeline string
	PID            int // of its owner; 0: nobody runs it
	Since          time.Time
	Bytes          int64
}

// Foreign is /tmp/iceoryx2, which programs that are not ours use.
type Foreign struct {
	There    bool
	UID      int
	Writable bool // for this user
	Files    int
	Old      int // not changed for a day
	Err      error
}

// Container is one of a node that runs.
type Container struct{ Project string }

// Bundle is a file of certificates that the environment names.
type Bundle struct {
	Variable, Path string
	Certificates   int
	Err            error
}

// Disk is the room below a directory.
type Disk struct {
	Use, Path string
	Free      int64
	Err       error
	Remote    bool // it is not on this machine
}

// Files are the limits of open files of this process.
type Files struct {
	Soft, Hard uint64
	Err        error
}
