//go:build cgo && linux

package iox

/*
#cgo LDFLAGS: ${SRCDIR}/shim/target/release/libmedianode_iox.a -lm -ldl -lpthread
#include <stdlib.h>
#include "iox.h"

// The library keeps no pointer of Go and calls nothing in Go, so that what the
// calls below point to stays on the stack.
#cgo noescape iox_outlet_loan
#cgo nocallback iox_outlet_loan
#cgo noescape iox_outlet_refresh
#cgo nocallback iox_outlet_refresh
#cgo noescape iox_loan_send
#cgo nocallback iox_loan_send
#cgo noescape iox_loan_drop
#cgo nocallback iox_loan_drop
#cgo noescape iox_inlet_receive
#cgo nocallback iox_inlet_receive
#cgo noescape iox_inlet_pending
#cgo nocallback iox_inlet_pending
#cgo noescape iox_inlet_release
#cgo nocallback iox_inlet_release
#cgo noescape iox_bell_ring
#cgo nocallback iox_bell_ring
#cgo noescape iox_bell_drain
#cgo nocallback iox_bell_drain
*/
import "C"

import (
	"bytes"
	"unsafe"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// The types of the library under names that say nothing of C. This file alone
// calls it.
type (
	cNode    = C.iox_node
	cChannel = C.iox_channel
	cOutlet  = C.iox_outlet
	cInlet   = C.iox_inlet
	cBell    = C.iox_bell
	cFrame   = C.iox_frame
	cSpec    = C.iox_spec
)

// check is the error that a call returned, if any.
func check(op string, code C.int32_t, text *C.iox_text) error {
	if code == C.IOX_OK {
		return nil
	}
	// Not C.GoString: it would put every caller's text on the heap.
	words := unsafe.Slice((*byte)(unsafe.Pointer(&text.text)), len(text.text))
	words, _, _ = bytes.Cut(words, []byte{0})
	return &Error{
		Op: op, Code: Code(code), Text: string(words),
		Need: uint64(text.need), Have: uint64(text.have),
	}
}

func openNode(d channel.Domain, dir string) (*cNode, error) {
	root, prefix, path := C.CString(d.Root), C.CString(d.Prefix), C.CString(dir)
	defer C.free(unsafe.Pointer(root))
	defer C.free(unsafe.Pointer(prefix))
	defer C.free(unsafe.Pointer(path))
	var node *cNode
	var text C.iox_text
	code := C.iox_node_open(root, prefix, path, &node, &text)
	return node, check("open iceoryx2 in "+dir, code, &text)
}

func dropNode(n *cNode) { C.iox_node_drop(n) }

func clean(n *cNode) (int, error) {
	var count C.uint64_t
	var text C.iox_text
	code := C.iox_node_clean(n, &count, &text)
	return int(count), check("clean", code, &text)
}

// withSpec calls f with a spec as the library wants it.
func withSpec(s channel.Spec, f func(*cSpec) error) error {
	name, credit := C.CString(s.Name), C.CString(channel.CreditName(s.Name))
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(credit))
	return f(&cSpec{
		name: name, credit: credit,
		max_frame:       C.uint64_t(max(1, s.MaxFrame)),
		max_subscribers: C.uint64_t(s.MaxSubscribers()),
		max_nodes:       C.uint64_t(s.MaxNodes()),
		buffer:          C.uint64_t(s.Queue()),
		hold:            C.uint64_t(s.Hold()),
		loans:           C.uint64_t(s.Loans),
		history:         C.uint64_t(s.History()),
	})
}

func createChannel(n *cNode, s *cSpec) (*cChannel, error) {
	var c *cChannel
	var text C.iox_text
	code := C.iox_channel_create(n, s, &c, &text)
	return c, check("create channel", code, &text)
}

func dropChannel(c *cChannel) { C.iox_channel_drop(c) }

func openOutlet(n *cNode, s *cSpec) (*cOutlet, error) {
	var o *cOutlet
	var text C.iox_text
	code := C.iox_outlet_open(n, s, &o, &text)
	return o, check("open publisher", code, &text)
}

func dropOutlet(o *cOutlet) { C.iox_outlet_drop(o) }

func loan(o *cOutlet, n int) (cFrame, error) {
	var frame cFrame
	var text C.iox_text
	code := C.iox_outlet_loan(o, C.uint64_t(n), &frame, &text)
	return frame, check("loan", code, &text)
}

func refreshOutlet(o *cOutlet) error {
	var text C.iox_text
	code := C.iox_outlet_refresh(o, &text)
	return check("refresh", code, &text)
}

func sendLoan(handle unsafe.Pointer) error {
	var text C.iox_text
	code := C.iox_loan_send(handle, &text)
	return check("send", code, &text)
}

func dropLoan(handle unsafe.Pointer) { C.iox_loan_drop(handle) }

func openInlet(n *cNode, s *cSpec, r channel.Reader) (*cInlet, error) {
	var in *cInlet
	var text C.iox_text
	asks := *s
	if !r.Retry {
		asks.history = 0
	}
	code := C.iox_inlet_open(n, &asks, C.uint64_t(r.Queue()), &in, &text)
	return in, check("open subscriber", code, &text)
}

func dropInlet(in *cInlet) { C.iox_inlet_drop(in) }

// receive fills frames, which must not be empty.
func receive(in *cInlet, frames []cFrame) (int, error) {
	var count C.uint64_t
	var text C.iox_text
	code := C.iox_inlet_receive(in, &frames[0], C.uint64_t(len(frames)), &count, &text)
	return int(count), check("receive", code, &text)
}

func pending(in *cInlet) (bool, error) {
	var has C.uint64_t
	var text C.iox_text
	code := C.iox_inlet_pending(in, &has, &text)
	return has != 0, check("receive", code, &text)
}

func release(handle unsafe.Pointer) { C.iox_inlet_release(&handle, 1) }

func openBell(n *cNode, s *cSpec, writer bool) (*cBell, error) {
	var b *cBell
	var text C.iox_text
	var side C.uint64_t
	if writer {
		side = 1
	}
	code := C.iox_bell_open(n, s, side, &b, &text)
	return b, check("open events", code, &text)
}

func dropBell(b *cBell) { C.iox_bell_drop(b) }

func bellFD(b *cBell) int { return int(C.iox_bell_fd(b)) }

func ringBell(b *cBell) error {
	var text C.iox_text
	code := C.iox_bell_ring(b, &text)
	return check("wake", code, &text)
}

func drainBell(b *cBell) (bool, error) {
	var rung C.uint64_t
	var text C.iox_text
	code := C.iox_bell_drain(b, &rung, &text)
	return rung != 0, check("wait", code, &text)
}

// raw is a frame as package channel sees it.
func raw(f cFrame) (header *channel.Header, payload []byte) {
	return (*channel.Header)(f.header), unsafe.Slice((*byte)(f.payload), int(f.len))
}
