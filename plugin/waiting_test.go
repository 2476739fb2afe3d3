package plugin

import (
	"io"
	"testing"

	"github.com/medianode/docker-medianode/runtime"
)

func TestWaitingNamesWhoIsLate(t *testing.T) {
	w := newWaiting(io.Discard)
	defer w.close()
	if line := w.line(); line != "" {
		t.Errorf("nobody is late: %q", line)
	}
	w.note("asr", runtime.StateLoading)
	w.note("sink", runtime.StateReady)
	w.note("camera", runtime.StateStarting)
	if got, want := w.line(), "waiting: asr is loading, camera is starting"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	w.note("asr", runtime.StateReady)
	w.note("camera", runtime.StateRunning)
	if line := w.line(); line != "" {
		t.Errorf("nobody is late any more: %q", line)
	}
	w.close()
}
