package channeltest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// Worker is the test's side of a worker.
type Worker struct {
	// Kill ends the worker's process as SIGKILL does; nil if it has none.
	Kill func()

	mu      sync.Mutex
	encoder *json.Encoder
	next    uint64
	waiting map[uint64]chan Answer
	gone    error
}

func connect(in io.Writer, out io.Reader) *Worker {
	w := &Worker{encoder: json.NewEncoder(in), waiting: map[uint64]chan Answer{}}
	go func() {
		lines := json.NewDecoder(out)
		for {
			var a Answer
			if err := lines.Decode(&a); err != nil {
				w.lost(err)
				return
			}
			w.mu.Lock()
			c := w.waiting[a.ID]
			delete(w.waiting, a.ID)
			w.mu.Unlock()
			if c != nil {
				c <- a
			}
		}
	}()
	return w
}

// lost answers what is not answered when a worker is gone.
func (w *Worker) lost(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = err
	for id, c := range w.waiting {
		c <- Answer{ID: id, Kind: "gone", Error: err.Error()}
	}
	clear(w.waiting)
}

// Start sends a request; the answer comes by the channel.
func (w *Worker) Start(q Request) <-chan Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	q.ID = w.next
	c := make(chan Answer, 1)
	if w.gone != nil {
		c <- Answer{ID: q.ID, Kind: "gone", Error: w.gone.Error()}
		return c
	}
	w.waiting[q.ID] = c
	if err := w.encoder.Encode(q); err != nil {
		delete(w.waiting, q.ID)
		c <- Answer{ID: q.ID, Kind: "gone", Error: err.Error()}
	}
	return c
}

// patience is how long a test waits for an answer that is due.
const patience = 60 * time.Second

// Call sends a request and waits for the answer, which may be an error.
func (w *Worker) Call(t testing.TB, q Request) Answer {
	t.Helper()
	return wait(t, q.Do, w.Start(q))
}

// Do is Call for a request that must not fail.
func (w *Worker) Do(t testing.TB, q Request) Answer {
	t.Helper()
	return good(t, q.Do, w.Call(t, q))
}

func wait(t testing.TB, what string, c <-chan Answer) Answer {
	t.Helper()
	select {
	case a := <-c:
		return a
	case <-time.After(patience):
		t.Fatalf("%s: no answer in %v", what, patience)
		return Answer{}
	}
}

func good(t testing.TB, what string, a Answer) Answer {
	t.Helper()
	if a.Kind != "" {
		t.Fatalf("%s: %s: %s", what, a.Kind, a.Error)
	}
	return a
}

// Inside is a worker in this process.
func Inside(t testing.TB, d channel.Domain, dir string, open Open) *Worker {
	t.Helper()
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := Serve(inRead, outWrite, open)
		served <- errors.Join(err, outWrite.Close())
	}()
	w := connect(inWrite, outRead)
	t.Cleanup(func() {
		_ = inWrite.Close()
		if err := <-served; err != nil {
			t.Errorf("worker: %v", err)
		}
	})
	w.Do(t, Request{Do: "hello", Domain: &d, Dir: dir})
	return w
}

// Process is a worker in a process of its own.
func Process(t testing.TB, d channel.Domain, dir string, env []string, command ...string) *Worker {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, outWrite, err := os.Pipe() // read to its end, also after Wait
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = outWrite
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = outWrite.Close()
	w := connect(in, out)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); close(ended) }()
	killed := false
	w.Kill = func() {
		killed = true
		_ = cmd.Process.Kill()
		if err := <-ended; err == nil {
			t.Error("the worker was killed and ended well")
		}
	}
	t.Cleanup(func() {
		_ = in.Close()
		select {
		case err := <-ended:
			if err != nil && !killed {
				t.Errorf("worker %v: %v", command, err)
			}
		case <-time.After(patience):
			t.Errorf("worker %v does not end", command)
			_ = cmd.Process.Kill()
		}
		_ = out.Close()
	})
	a := w.Do(t, Request{Do: "hello", Domain: &d, Dir: dir})
	t.Logf("worker in %s with iceoryx2 %s", a.Language, a.Iceoryx2)
	return w
}
