package runtime

import (
	"encoding/json"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// A process that supervises a project serves the sessions of others over a
// socket in the project's directory: one connection a session, JSON messages
// both ways. Frames do not go this way; a session has its own channels.

// sendTimeout is how long a peer may take to read a message.
const sendTimeout = 5 * time.Second

// message is one message; one of its parts is set.
type message struct {
	// From the session.
	Open    *opening         `json:"open,omitempty"`
	Node    string           `json:"node,omitempty"` // of Command, Status, Restart and Ended
	Command *channel.Command `json:"command,omitempty"`

	// From the supervisor.
	Accepted  bool            `json:"accepted,omitempty"`
	Refused   string          `json:"refused,omitempty"`
	Running   string          `json:"running,omitempty"`   // refused: why the project takes no session
	Container *Container      `json:"container,omitempty"` // of a node, running or ended
	Loaded    bool            `json:"loaded,omitempty"`    // of that node
	Status    *channel.Status `json:"status,omitempty"`
	Restart   string          `json:"restart,omitempty"` // why a node is started again
	Number    int             `json:"number,omitempty"`  // of that restart, or of the last one, in the run
	Ended     *NodeError      `json:"ended,omitempty"`   // and will not be started again
}

// opening asks for a session.
type opening struct {
	Session string `json:"session"`
	Digest  string `json:"digest"`
	PID     int    `json:"pid"`
	Resume  bool   `json:"resume,omitempty"` // it was open with a supervisor before this one
}

// peer is one end of a connection. Sending never waits: whoever sends is a loop
// that has others to serve.
type peer struct {
	conn  net.Conn
	mu    sync.Mutex
	queue []message
	bell  chan struct{}
	done  chan struct{}
	once  sync.Once
}

func newPeer(conn net.Conn) *peer {
	return &peer{conn: conn, bell: make(chan struct{}, 1), done: make(chan struct{})}
}

func (w *peer) send(m message) {
	w.mu.Lock()
	w.queue = append(w.queue, m)
	w.mu.Unlock()
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

// write sends what is queued until the wire is closed.
func (w *peer) write() {
	encoder := json.NewEncoder(w.conn)
	for {
		w.mu.Lock()
		queue := w.queue
		w.queue = nil
		w.mu.Unlock()
		for _, m := range queue {
			_ = w.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
			if encoder.Encode(m) != nil {
				w.close()
				return
			}
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-w.bell:
		case <-w.done:
			return
		}
	}
}

// read gives each message that comes, until the wire is closed.
func (w *peer) read(each func(message)) {
	decoder := json.NewDecoder(w.conn)
	for {
		var m message
		if decoder.Decode(&m) != nil {
			w.close()
			return
		}
		each(m)
	}
}

func (w *peer) isClosed() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

func (w *peer) close() {
	w.once.Do(func() {
		close(w.done)
		_ = w.conn.Close()
	})
}

// maxSocket is the length of a path that a socket may have.
const maxSocket = 100

func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, "sock")
	if len(path) > maxSocket {
		return "", errors.New("the project's name is too long for a socket: " + path)
	}
	return path, nil
}
