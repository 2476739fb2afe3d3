package channel

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// DefaultOutput and DefaultInput are the ports a connection uses when it names
// none.
const (
	DefaultOutput = "output"
	DefaultInput  = "input"
)

// The labels of what this tool makes in an engine.
const (
	// UserLabel is on containers, volumes and networks of a run that belongs to a
	// process of this machine: the uid of its containers.
	UserLabel = "dev.medianode.uid"
	// ProbeLabel is on a container that is made to see whether the engine looks
	// at this machine's memory: the directory that it is asked for.
	ProbeLabel = "dev.medianode.probe"
)

// OutputName is the channel that carries what a node sends on a port.
func OutputName(session, node, port string) string {
	name := session + "_" + node + "_output"
	if port != DefaultOutput {
		name += "_" + port
	}
	return name
}

// LossyName is the second channel of a port whose readers do not agree: those
// that ask for drop_oldest read this one, so that they never delay the others.
// "~" cannot stand in an id, so no two derived names are equal by accident.
func LossyName(session, node, port string) string {
	return OutputName(session, node, port) + "~drop"
}

// InputName is the channel by which the runtime or a user injects frames.
func InputName(session, node string) string { return session + "_" + node + "_input" }

// ControlName is the channel by which the runtime commands a node's container.
func ControlName(node string) string { return "~" + node + "_control" }

// StatusName is the channel by which a node's container answers.
func StatusName(node string) string { return "~" + node + "_status" }

// CreditName is the event service that wakes a writer which waits for room.
func CreditName(channel string) string { return channel + "~credit" }

// LedgerName is the file beside the segments that holds a channel's ledger.
func LedgerName(channel string) string { return "medianode_ledger_" + channel }

// Domain keeps the projects of one machine apart: iceoryx2 isolates by these
// two strings alone.
type Domain struct {
	Root   string `json:"root"`   // iceoryx2's root path, the same string in every process
	Prefix string `json:"prefix"` // of every iceoryx2 file name
}

// NewDomain derives the domain of a project. The strings are short because a
// socket below the root must fit 108 bytes.
func NewDomain(uid int, project string) Domain {
	sum := sha256.Sum256([]byte(strconv.Itoa(uid) + "/" + project))
	id := hex.EncodeToString(sum[:6])
	return Domain{Root: "/tmp/mn-" + id, Prefix: "mn" + id + "_"}
}
