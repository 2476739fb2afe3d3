package runtime

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// NodeState is what the supervising process says of a node.
type NodeState struct {
	State    string `json:"state"`
	Restarts int    `json:"restarts,omitempty"`
}

func nodesPath(dir string) string { return filepath.Join(dir, "nodes.json") }

// tellNodes writes how the nodes are where NodeStates finds it.
func (s *Session) tellNodes() {
	if s.link != nil || s.seat == nil {
		return // another process supervises, or nothing is there yet
	}
	states := make(map[string]NodeState, len(s.members))
	for _, m := range s.members {
		states[m.ID] = NodeState{m.state, m.restarts}
	}
	text, err := json.Marshal(states)
	if err != nil || string(text) == s.nodesTold {
		return
	}
	s.nodesTold = string(text)
	_ = replaceFile(nodesPath(s.c.Dir), text) // it is for the eye: errors are not
}

// NodeStates are the nodes of a running project, as the process says that
// supervises it; none if nobody does.
func NodeStates(uid int, project string) map[string]NodeState {
	text, err := os.ReadFile(nodesPath(Directory(uid, project)))
	if err != nil {
		return nil
	}
	var states map[string]NodeState
	_ = json.Unmarshal(text, &states) // of another version: nothing is known
	return states
}
