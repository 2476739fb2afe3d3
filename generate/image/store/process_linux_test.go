package store

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refuseLocks makes every file lock of this process fail, as on a file system
// that has none.
func refuseLocks() error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_FCNTL, Jf: 4},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 24}, // its second argument
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.F_SETLK, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.F_OFD_SETLK, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOLCK)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return errno
	}
	return nil
}

func TestFileSystemWithoutLocks(t *testing.T) {
	path := temporary(t)
	for _, what := range []string{"no file", "a file in write-ahead mode"} {
		if what != "no file" {
			s := openTest(t, path, testOptions())
			put(t, s, full("asr", "1"))
			s.Close()
		}
		out, err := childCommand(t, "without-locks", path).CombinedOutput()
		if strings.HasPrefix(string(out), "skip:") {
			t.Skip(string(out))
		}
		if err != nil || strings.Count(string(out), "the file system has no locks; nothing is kept") != 1 {
			t.Errorf("%s: %v: %s", what, err, out)
		}
		t.Logf("%s: %s", what, out)
	}
	if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) > 0 {
		t.Errorf("set aside: %q", aside)
	}
}

// What may not be written is left alone and said once.
func TestReadOnly(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("root makes files that another user may only read")
	}
	for name, modes := range map[string][2]os.FileMode{
		"file":          {0o444, 0o777},
		"directory":     {0o666, 0o555},
		"not to be had": {0o600, 0o700},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := os.MkdirTemp("", "store")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			path := filepath.Join(dir, "image_cache.db")
			s := openTest(t, path, testOptions())
			put(t, s, full("asr", "1"))
			s.Close()
			os.Chmod(path, modes[0])
			os.Chmod(dir, modes[1])
			binary := filepath.Join(t.TempDir(), "store.test")
			copyForAll(t, binary)
			cmd := childCommand(t, "use", path)
			cmd.Path, cmd.Dir = binary, "/"
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			out, err := cmd.CombinedOutput()
			if err != nil || strings.Count(string(out), "nothing is kept") != 1 {
				t.Errorf("%v: %s", err, out)
			}
			t.Logf("%s", out)
			if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) > 0 {
				t.Errorf("set aside: %q", aside)
			}
		})
	}
}

// copyForAll copies this test to where another user may run it.
func copyForAll(t *testing.T, to string) {
	t.Helper()
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(to); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
}

func TestRemoteFileSystems(t *testing.T) {
	for magic, want := range map[int64]bool{unix.NFS_SUPER_MAGIC: true, unix.CIFS_SUPER_MAGIC: true, unix.FUSE_SUPER_MAGIC: true, unix.EXT4_SUPER_MAGIC: false, unix.TMPFS_MAGIC: false, unix.BTRFS_SUPER_MAGIC: false, unix.OVERLAYFS_SUPER_MAGIC: false} {
		if got := remoteType(magic); got != want {
			t.Errorf("%#x: %v", magic, got)
		}
	}
	if remote(filepath.Join(t.TempDir(), "not", "yet", "there")) {
		t.Error("the temporary directory is remote")
	}
}

// Whatever SQLite could not make for want of room, the note says that there is
// none, and what can be read is.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no file system to fill: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	fill := func() {
		file, err := os.Create(filepath.Join(dir, "filler"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, piece := range []int{64 << 10, 4 << 10, 1} {
			for block := make([]byte, piece); err == nil; {
				_, err = file.Write(block)
			}
			err = nil
		}
	}
	path := filepath.Join(dir, "image_cache.db")
	for _, before := range []string{"a database", "no database"} {
		os.Remove(filepath.Join(dir, "filler"))
		if before == "a database" {
			s := openTest(t, path, testOptions())
			put(t, s, full("asr", "1"))
			quiet(t, s)
			s.Close()
		} else if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		fill()
		s := openTest(t, path, testOptions())
		for i := range 100 {
			put(t, s, full("tts", strings.Repeat("1", i+1)))
		}
		notes := s.Notes()
		if len(notes) != 1 || !strings.Contains(notes[0], ": the disk is full; nothing is kept") {
			t.Errorf("%s: notes %q", before, notes)
		}
		if got := get(t, s, Ref{"tts", "1"}); len(got) != 1 {
			t.Errorf("%s: in memory: %v", before, got)
		}
		s.Close()
	}
	if aside, _ := filepath.Glob(path + ".corrupt-*"); len(aside) > 0 {
		t.Errorf("set aside: %q", aside)
	}
}
