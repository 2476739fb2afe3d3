//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sizes are the payloads: 20 ms of 48 kHz stereo f32's half, 1080p I420, 4K RGB.
func sizes() []size {
	return []size{{"3.8 KB", 3840, 2000}, {"3.1 MB", 3110400, 200}, {"24.9 MB", 24883200, 40}}
}

type size struct {
	name  string
	bytes int
	trips int // round trips in a round
}

// floors prints what no transport on this machine can beat.
func floors(ctx context.Context, w io.Writer, rounds int) error {
	var near, far, hand []time.Duration
	copies := map[string][]time.Duration{}
	defer unpin()
	for range rounds {
		for _, s := range sizes() {
			copies[s.name] = append(copies[s.name], copyTime(s.bytes))
		}
		for core, wakes := range []*[]time.Duration{&near, &far} {
			d, err := eventfdWake(ctx, core)
			if err != nil {
				return err
			}
			*wakes = append(*wakes, d)
		}
		hand = append(hand, spinHandOff())
	}
	t := newTable("floor", "median", "")
	for _, s := range sizes() {
		d := median(copies[s.name])
		t.row("copy of "+s.name, d, fmt.Sprintf("%.1f GB/s", float64(s.bytes)/float64(d)))
	}
	t.row("eventfd wake of a process on the other core", median(far), "of what blocks")
	t.row("eventfd wake of a process on the same core", median(near), "")
	t.row("hand-off between two spinning threads", median(hand), "of what polls")
	t.print(w)
	return nil
}

// copyTime is the time of one copy between two buffers that take turns, so that
// neither is in the cache just because it was used last.
func copyTime(n int) time.Duration {
	var buffers [4][]byte
	for i := range buffers {
		buffers[i] = make([]byte, n)
		copy(buffers[i], buffers[0])
		for j := 0; j < n; j += 4096 {
			buffers[i][j] = 1
		}
	}
	count := max(8, min(20000, 100<<20/n))
	var each []time.Duration
	batch := max(1, count/20)
	for done := 0; done < count; done += batch {
		began := time.Now()
		for i := range batch {
			copy(buffers[i%4], buffers[(i+1)%4])
		}
		each = append(each, time.Since(began)/time.Duration(batch))
	}
	return median(each)
}

// spinHandOff is half the round trip of a flag between two spinning threads.
func spinHandOff() time.Duration {
	const trips, batches = 1000, 50
	var turn atomic.Uint32
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread() // for good: the thread ends with it
		pinThread(1)
		defer close(done)
		for range trips * batches {
			for turn.Load() != 1 {
			}
			turn.Store(0)
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pinThread(0)
	var each []time.Duration
	for range batches {
		began := time.Now()
		for range trips {
			turn.Store(1)
			for turn.Load() != 0 {
			}
		}
		each = append(each, time.Since(began)/(2*trips))
	}
	<-done
	return median(each)
}

// eventfdWake is half the round trip of a wake-up between two processes that
// sleep in a read, this one on core 0.
func eventfdWake(ctx context.Context, core int) (time.Duration, error) {
	var files [2]*os.File
	for i := range files {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			return 0, err
		}
		files[i] = os.NewFile(uintptr(fd), "eventfd")
		defer files[i].Close()
	}
	cmd := exec.CommandContext(ctx, os.Args[0], strconv.Itoa(core))
	cmd.Env = append(os.Environ(), envChild+"=eventfd")
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, files[:]
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pinThread(0)
	// Fd makes the descriptors block, which is what is wanted.
	there, back := int(files[0].Fd()), int(files[1].Fd())
	var each []time.Duration
	for i := range 2200 {
		value := uint64(1)
		if i == 2199 {
			value = last
		}
		began := time.Now()
		if err := signalEvent(there, value); err != nil {
			return 0, err
		}
		if _, err := waitEvent(back); err != nil {
			return 0, err
		}
		if i >= 200 {
			each = append(each, time.Since(began)/2)
		}
	}
	return median(each), cmd.Wait()
}

// last ends the other process.
const last = 1 << 40

func eventfdChild(core string) error {
	pin(core)
	for {
		value, err := waitEvent(3)
		if err != nil {
			return err
		}
		if err := signalEvent(4, 1); err != nil || value >= last {
			return err
		}
	}
}

func signalEvent(fd int, value uint64) error {
	var b [8]byte
	binary.NativeEndian.PutUint64(b[:], value)
	_, err := unix.Write(fd, b[:])
	return err
}

func waitEvent(fd int) (uint64, error) {
	var b [8]byte
	for {
		_, err := unix.Read(fd, b[:])
		if err != unix.EINTR {
			return binary.NativeEndian.Uint64(b[:]), err
		}
	}
}

// sum reads every byte; len(b) is a multiple of 32 for all sizes.
func sum(b []byte) uint64 {
	words := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/8)
	var s0, s1, s2, s3 uint64
	for ; len(words) >= 4; words = words[4:] {
		s0 += words[0]
		s1 += words[1]
		s2 += words[2]
		s3 += words[3]
	}
	for _, w := range words {
		s0 += w
	}
	return s0 + s1 + s2 + s3
}
