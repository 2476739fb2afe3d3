package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A session whose process is gone is for the others to end, if there are any: down
// would end theirs.
func TestCloseLostSession(t *testing.T) {
	project := fmt.Sprintf("closelost%d", os.Getpid())
	dir := Directory(os.Getuid(), project)
	if err := os.MkdirAll(seatDir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(seatDir(dir), "lost"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CloseSession(os.Getuid(), project, "lost"); err == nil || !strings.Contains(err.Error(), "down -p "+project) {
		t.Errorf("alone: %v", err)
	}
	other, err := takeSeat(dir, "other", seatText{PID: os.Getpid(), Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	err = CloseSession(os.Getuid(), project, "lost")
	if err == nil || strings.Contains(err.Error(), "down") || !strings.Contains(err.Error(), "other sessions end it") {
		t.Errorf("with another: %v", err)
	}
	if err := other.leave(); err != nil {
		t.Error(err)
	}
}
