package store

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test's binary is also the other processes: the variable says what to do,
// and with which file.
const envChild = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if what, path, ok := strings.Cut(os.Getenv(envChild), " "); ok {
		if err := child(what, path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(what, path string) error {
	ctx := context.Background()
	switch what {
	case "write":
		notes, err := childWrites(ctx, path, 50)
		fmt.Print(notes)
		return err
	case "write-for-ever":
		_, err := childWrites(ctx, path, 1<<30)
		return err
	case "without-locks":
		if err := refuseLocks(); err != nil {
			fmt.Println("skip:", err)
			return nil
		}
	}
	// Use it once and say what there is to say.
	s, err := Open(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := useAsCache(ctx, s); err != nil {
		return err
	}
	fmt.Println(strings.Join(s.Notes(), "\n"))
	return nil
}

// childWrites counts up in a row that all share, and puts one of its own.
func childWrites(ctx context.Context, path string, n int) (notes string, err error) {
	s, err := Open(ctx, path)
	if err != nil {
		return "", err
	}
	defer s.Close()
	me := "process-" + strconv.Itoa(os.Getpid())
	for i := range n {
		tag := strconv.Itoa(i)
		if err := s.Put(ctx, full("shared", "1"), full(me, tag)); err != nil {
			return "", err
		}
		if err := s.Touch(ctx, []Use{{Ref{"shared", "1"}, "captions", me}}); err != nil {
			return "", err
		}
		got, err := s.Get(ctx, []Ref{{me, tag}, {"shared", "1"}})
		if err != nil {
			return "", err
		}
		if len(got) != 2 {
			return "", fmt.Errorf("%s: round %d: %v", me, i, got)
		}
	}
	return strings.Join(s.Notes(), "\n"), nil
}

func childCommand(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), envChild+"="+what+" "+path)
	if strings.Contains(what, " ") {
		t.Fatal("one word")
	}
	return cmd
}

// Eight processes begin with no file, or a useless one, and write at once.
func TestProcesses(t *testing.T) {
	const processes = 8
	for _, before := range []string{"", "garbage "} {
		t.Run(before+"before", func(t *testing.T) {
			path := temporary(t)
			if before != "" {
				os.MkdirAll(filepath.Dir(path), 0o700)
				os.WriteFile(path, []byte(strings.Repeat(before, 1000)), 0o600)
			}
			begun := time.Now()
			var wait sync.WaitGroup
			for range processes {
				wait.Go(func() {
					out, err := childCommand(t, "write", path).CombinedOutput()
					if err != nil || strings.Contains(string(out), "nothing is kept") || before == "" && len(out) > 0 {
						t.Errorf("%v: %s", err, out)
					}
				})
			}
			wait.Wait()
			t.Logf("%d processes: %v", processes, time.Since(begun))
			s := openTest(t, path, testOptions())
			list, err := s.List(t.Context())
			if err != nil || len(list) != processes*50+1 {
				t.Fatalf("%d rows, %v", len(list), err)
			}
			for i := 1; i < len(list); i++ {
				if list[i].Used >= list[i-1].Used {
					t.Fatalf("the same sequence twice: %+v", list[i])
				}
			}
			if row := get(t, s, Ref{"shared", "1"})[Ref{"shared", "1"}]; row.Used == 0 {
				t.Error("no shared row")
			}
			quiet(t, s)
		})
	}
}

// Killed at any point: nothing is damaged, and nobody waits for the dead.
func TestKilledWhileWriting(t *testing.T) {
	path := temporary(t)
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	for i := range rounds {
		cmd := childCommand(t, "write-for-ever", path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+7*i) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		s, err := open(t.Context(), path, testOptions())
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if err := useAsCache(t.Context(), s); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("waited %v", took)
		}
		quiet(t, s)
		s.Close()
	}
}

// A lock that somebody holds is waited for, but not for ever.
func TestLockOfAnother(t *testing.T) {
	path := temporary(t)
	s := openTest(t, path, testOptions())
	put(t, s, full("asr", "1"))
	other := openTest(t, path, testOptions())
	hold := func(d time.Duration) {
		tx, err := other.db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		time.AfterFunc(d, func() { tx.Rollback() })
	}
	hold(1500 * time.Millisecond) // longer than SQLite itself waits
	put(t, s, full("tts", "1"))
	if got := get(t, s, Ref{"asr", "1"}); len(got) != 1 {
		t.Errorf("%v", got)
	}
	quiet(t, s)
	hold(7 * time.Second)
	if got := get(t, s, Ref{"asr", "1"}); len(got) != 1 {
		t.Errorf("a writer keeps a reader out: %v", got)
	}
	put(t, s, full("new", "1"))
	notes := s.Notes()
	if len(notes) != 1 || !strings.Contains(notes[0], "locked by another process for 2s; nothing is kept") {
		t.Errorf("notes %q", notes)
	}
	if got := get(t, s, Ref{"new", "1"}); len(got) != 1 {
		t.Errorf("in memory: %v", got)
	}
}

// Without locks SQLite refuses write-ahead logging: the older journal does.
func TestWithoutWriteAheadLogging(t *testing.T) {
	if os.PathSeparator != '/' {
		t.Skip("this VFS is Unix's")
	}
	path := temporary(t)
	opt := testOptions()
	opt.vfs = "unix-none"
	s := openTest(t, path, opt)
	if err := useAsCache(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	var mode string
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode == "wal" {
		t.Errorf("journal %q, %v", mode, err)
	}
	quiet(t, s)
	s.Close()
	if got := get(t, openTest(t, path, opt), Ref{"asr", "1f2e"}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
