// Command link sends a frame to itself in the two directories that it is given:
// it shows that a program with this library links and runs.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/iox"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "link:", err)
		os.Exit(1)
	}
}

func run(root, dir string) error {
	t, err := iox.Open(channel.Domain{Root: root, Prefix: "link_"}, dir)
	if err != nil {
		return err
	}
	s := channel.Spec{Name: "main_a_output", MaxFrame: 16, Loans: 1, Readers: []channel.Reader{{Node: "b", Port: "input", Buffer: 1, Hold: 1}}}
	c, err := t.Create(s)
	if err != nil {
		return err
	}
	r, err := channel.NewSubscriber(t, s, 0)
	if err != nil {
		return err
	}
	p, err := channel.NewPublisher(t, s)
	if err != nil {
		return err
	}
	l, err := p.Loan(5)
	if err != nil {
		return err
	}
	copy(l.Payload, "frame")
	if err := l.Send(context.Background()); err != nil {
		return err
	}
	f, err := r.Receive(context.Background())
	if err != nil {
		return err
	}
	fmt.Printf("%s\n", f.Payload)
	if err := f.Release(); err != nil {
		return err
	}
	if err := c.Close(); err != nil {
		return err
	}
	return t.Close()
}
