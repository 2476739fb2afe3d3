package runtime

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitDescriptors is for this test; more than that stay open.
func limitDescriptors(t *testing.T, n int) {
	t.Helper()
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	less := unix.Rlimit{Cur: uint64(n), Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	})
}

// Who may open enough files for its session, but not for the containers' channels,
// leaves them to another session, and says why it ends if there is none.
func TestTakeoverWithoutDescriptors(t *testing.T) {
	r := newSharedRig(t, 0, 2)
	s := r.start()
	c, _ := r.second(0)
	guest, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if guest.descriptors(false) >= s.descriptors(true) {
		t.Fatalf("%d descriptors to take part, %d to supervise", guest.descriptors(false), s.descriptors(true))
	}
	limitDescriptors(t, s.descriptors(true)-1)
	if err := errors.Join(s.Stop(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
	// The project is nobody's meanwhile: another session could have it.
	for end := time.Now().Add(takeoverTimeout / 2); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err := runningIn(r.config.Dir, r.config.Project); err != nil {
			t.Fatalf("it has the project: %v", err)
		}
	}
	var short *DescriptorError
	if err := guest.Wait(t.Context()); !errors.As(err, &short) || short.Need != s.descriptors(true) {
		t.Errorf("Wait: %v", err)
	}
	r.end(guest)
}
