package plugin

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/medianode/docker-medianode/runtime"
	"github.com/medianode/docker-medianode/runtime/channel"
)

// running is what the compose file in a project's state directory says of the
// pipeline that runs: the verbs that look at it need no pipeline file.
type running struct {
	Nodes map[string]struct {
		Source  string `yaml:"source"` // file:line:column
		Type    string `yaml:"type"`
		Service string `yaml:"service"`
	} `yaml:"nodes"`
	Channels []struct {
		Name string   `yaml:"name"`
		From string   `yaml:"from"`
		To   []string `yaml:"to"`
	} `yaml:"channels"`
}

// readRunning is empty for a project that was never started by this user.
func readRunning(project string) (running, error) {
	state, err := stateDir(project)
	if err != nil {
		return running{}, err
	}
	path := filepath.Join(state, "compose.yaml")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return running{}, nil
	}
	if err != nil {
		return running{}, err
	}
	return parseRunning(path, text)
}

// parseRunning reads a compose file of that path.
func parseRunning(path string, text []byte) (running, error) {
	var file struct {
		Pipeline running `yaml:"x-medianode"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		return running{}, fmt.Errorf("%s: %w", path, err)
	}
	return file.Pipeline, nil
}

// ids are the nodes in the order of the pipeline file.
func (r running) ids() []string {
	ids := make([]string, 0, len(r.Nodes))
	for id := range r.Nodes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		if la, lb := r.line(a), r.line(b); la != lb {
			return la - lb
		}
		return strings.Compare(a, b)
	})
	return ids
}

// line is that of a node, or, where several share one, with the column in it.
func (r running) line(id string) int {
	parts := strings.Split(r.Nodes[id].Source, ":")
	if len(parts) < 3 {
		return 0
	}
	var line, column int
	_, _ = fmt.Sscan(parts[len(parts)-2], &line)
	_, _ = fmt.Sscan(parts[len(parts)-1], &column)
	return line<<16 + column
}

// graph is what the runtime must know to look at the project.
func (r running) graph(project string) runtime.Graph {
	g := runtime.Graph{Project: project, UID: user().UID}
	for _, id := range r.ids() {
		g.Nodes = append(g.Nodes, runtime.GraphNode{ID: id, Service: r.Nodes[id].Service})
	}
	for _, c := range r.Channels {
		if !strings.Contains(c.Name, channel.SessionMark) {
			continue // by which the runtime speaks with a container
		}
		g.Channels = append(g.Channels, runtime.GraphChannel{Name: c.Name, From: c.From, To: c.To})
	}
	return g
}

// service is a node's compose service; the id of a node of which nothing is known
// may be one.
func (r running) service(id string) (string, error) {
	n, known := r.Nodes[id]
	switch {
	case known && n.Service == "":
		return "", exit(exitFailed, fmt.Sprintf("node %s is built in (%s): it has no container", id, n.Type))
	case known:
		return n.Service, nil
	case len(r.Nodes) > 0:
		return "", r.unknown(id)
	}
	return id, nil
}

func (r running) unknown(id string) error {
	return exit(exitFailed, fmt.Sprintf("the pipeline has no node %s: it has %s", id, strings.Join(r.ids(), ", ")))
}
