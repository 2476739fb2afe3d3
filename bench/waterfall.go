//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// stages are what up does, in order, by what is seen of it from outside: files
// of the project, events of the engine, messages of the node.
func stages() [][2]string {
	return [][2]string{
		{"probe created", "docker, plugin, plan, image checked"},
		{"probe destroyed", "proof that the engine sees this memory"},
		{"project locked", ""},
		{"project directory", "engine asked for leftovers"},
		{"channels", "channels made"},
		{"container created", "compose loaded; network, volumes, container created"},
		{"container started", "container started"},
		{"hello", "interpreter, SDK and iceoryx2 imported"},
		{"loaded", "module imported, load"},
		{"ready", "session's channels opened, open"},
		{"first frame at the sink", "compose returned, start, first frame"},
		{"closed", "last frame"},
		{"bye", "exit told, node says bye"},
		{"container died", "process and container ended"},
		{"container destroyed", "container removed"},
		{"volume destroyed", "volumes removed"},
		{"prompt", "directory removed, report, prompt"},
	}
}

// marks are when the stages were seen to be over.
type marks struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (m *marks) set(name string, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.at[name]; !ok {
		m.at[name] = at
	}
}

// waterfall prints where the time of up goes. It watches closely, so these
// rounds are not those of the table.
func waterfall(ctx context.Context, w io.Writer, up launch, project, image string, rounds int) error {
	spent := map[string][]time.Duration{}
	for range rounds {
		m, began, err := watched(ctx, up, project, image)
		if err != nil {
			return err
		}
		last := began
		for _, s := range stages() {
			if at, ok := m.at[s[0]]; ok {
				spent[s[0]] = append(spent[s[0]], at.Sub(last))
				last = at
			}
		}
	}
	t := newTable("where the time of up goes", "median", "until")
	var total time.Duration
	for _, s := range stages() {
		if len(spent[s[0]]) > 0 {
			d := median(spent[s[0]])
			total += d
			t.row(s[1], d, s[0])
		}
	}
	t.row("sum", total, "")
	t.print(w)
	return nil
}

// watched runs up once.
func watched(ctx context.Context, up launch, project, image string) (*marks, time.Time, error) {
	ctx, cancel := context.WithCancel(ctx)
	m := &marks{at: map[string]time.Time{}}
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	listening := make(chan error, 1)
	group.Go(func() { listening <- m.engine(ctx, project, image) })
	select { // give the events time to flow: there is no sign of it
	case err := <-listening:
		return nil, time.Time{}, err
	case <-time.After(300 * time.Millisecond):
	}
	began := time.Now()
	group.Go(func() { m.files(ctx, project) })
	_, err := up.run(ctx, m)
	m.set("prompt", time.Now())
	time.Sleep(100 * time.Millisecond) // the last events
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := &marks{at: m.at}
	m.at = map[string]time.Time{}
	return seen, began, err
}

// engine listens to the engine's events of the project.
func (m *marks) engine(ctx context.Context, project, image string) error {
	cmd := exec.CommandContext(ctx, "docker", "events", "--format", "{{json .}}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e struct {
			Type, Action string
			TimeNano     int64 `json:"timeNano"`
			Actor        struct {
				ID         string
				Attributes map[string]string
			}
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		of := e.Actor.Attributes["com.docker.compose.project"]
		ours := of == project
		at := time.Unix(0, e.TimeNano)
		switch {
		case of == "" && e.Type == "container" && e.Actor.Attributes["image"] == image:
			m.set(map[string]string{"create": "probe created", "destroy": "probe destroyed"}[e.Action], at)
		case ours && e.Type == "container" && e.Action == "create":
			m.set("container created", at)
		case ours && e.Type == "container" && e.Action == "start":
			m.set("container started", at)
		case ours && e.Type == "container" && e.Action == "die":
			m.set("container died", at)
		case ours && e.Type == "container" && e.Action == "destroy":
			m.set("container destroyed", at)
		case e.Type == "volume" && e.Action == "destroy" && e.Actor.ID == project+"_shm":
			m.set("volume destroyed", at)
		}
	}
	return cmd.Wait()
}

// files watches what up makes, and by the ledger of the node's status how many
// messages it has sent.
func (m *marks) files(ctx context.Context, project string) {
	dir := filepath.Join("/dev/shm", "medianode-"+strconv.Itoa(containerUID()), project)
	ledger := filepath.Join(dir, "shm", channel.LedgerName(channel.StatusName("greeter")))
	watch := []struct{ path, name string }{{dir + ".lock", "project locked"}, {dir, "project directory"}, {ledger, "channels"}}
	for ctx.Err() == nil && len(watch) > 0 {
		if _, err := os.Lstat(watch[0].path); err == nil {
			m.set(watch[0].name, time.Now())
			watch = watch[1:]
			continue
		}
		time.Sleep(200 * time.Microsecond)
	}
	file, err := os.Open(ledger)
	if err != nil {
		return
	}
	defer file.Close()
	messages := []string{"hello", "loaded", "ready", "closed", "bye"}
	for seen := 0; ctx.Err() == nil && seen < len(messages); time.Sleep(200 * time.Microsecond) {
		var next [8]byte
		if _, err := file.ReadAt(next[:], 16); err != nil {
			return
		}
		for ; seen < min(len(messages), int(binary.NativeEndian.Uint64(next[:]))); seen++ {
			m.set(messages[seen], time.Now())
		}
	}
}
