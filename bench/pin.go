//go:build linux

package main

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// otherCore is where the other end of a hop runs; this one is on core 0. Left to
// the scheduler, both are on one core in one round and on two in the next, and a
// wake-up costs ten times more in one than in the other.
const otherCore = "1"

// pin keeps this process on a core; a machine without it leaves things as they are.
func pin(core string) {
	n, err := strconv.Atoi(core)
	if err != nil {
		return
	}
	var one unix.CPUSet
	one.Set(n)
	setThreads(&one) // not checked by NumCPU, which is 1 where this process was started by a pinned one
	runtime.GOMAXPROCS(1)
}

// unpin ends pin of this process.
func unpin() {
	var all unix.CPUSet
	for i := range 1024 {
		all.Set(i)
	}
	setThreads(&all)
	runtime.GOMAXPROCS(runtime.NumCPU())
}

// setThreads moves the threads that there are; new ones inherit it.
func setThreads(cores *unix.CPUSet) {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			_ = unix.SchedSetaffinity(tid, cores)
		}
	}
}

// pinThread keeps the calling thread on a core.
func pinThread(core int) {
	var one unix.CPUSet
	one.Set(core)
	_ = unix.SchedSetaffinity(0, &one)
}
