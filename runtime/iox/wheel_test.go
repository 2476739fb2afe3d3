//go:build cgo && linux

package iox_test

import (
	"bufio"
	"encoding/hex"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/medianode/docker-medianode/runtime/channel"
	"github.com/medianode/docker-medianode/runtime/channel/channeltest"
	"github.com/medianode/docker-medianode/runtime/iox"
)

// wheel is a Python interpreter with the package iceoryx2 from PyPI and nothing
// else. It is made once, in the user's cache.
func wheel(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("installs a Python package")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	venv := filepath.Join(cache, "docker-medianode", "test-iceoryx2-"+iox.Version)
	python, done := filepath.Join(venv, "bin", "python"), filepath.Join(venv, "done")
	if _, err := os.Stat(done); err == nil {
		return python
	}
	for _, c := range [][]string{
		{"python3", "-m", "venv", venv},
		{python, "-m", "pip", "install", "--quiet", "iceoryx2==" + iox.Version},
	} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no Python package iceoryx2 %s to talk to: %v: %v\n%s", iox.Version, c, err, out)
		}
	}
	if err := os.WriteFile(done, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return python
}

// TestWheel sends every kind of frame to a program with the PyPI package, and
// receives it from there.
func TestWheel(t *testing.T) {
	python := wheel(t)
	p := newProject(t, true) // the package knows /dev/shm alone
	tr := p.open(t)
	there, back := spec(p.domain.Prefix+"there", 1<<20, 1, 2), spec(p.domain.Prefix+"back", 1<<20, 1, 2)
	there.Loans = 1
	for _, s := range []channel.Spec{there, back} {
		if _, err := tr.Create(s); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, "testdata/echo.py", p.domain.Root, p.domain.Prefix, there.Name, back.Name)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := channel.NewSubscriber(tr, back, 0)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := channel.NewPublisher(tr, there)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("python: %v", err)
		}
	}()
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "ready\n" {
		t.Fatalf("python: %q, %v", line, err)
	}
	for i, k := range channeltest.Kinds() {
		echo(t, pub, sub, i, k)
	}
	if err := pub.End(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	s, err := sub.Receive(t.Context())
	if err != nil || s.Header.Flags != channel.EndOfStream {
		t.Fatalf("%v, %+v, want the end", err, s.Header)
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
}

// echo sends a frame and wants it back as it was.
func echo(t *testing.T, pub *channel.Publisher, sub *channel.Subscriber, i int, k channeltest.Frame) {
	t.Helper()
	l, err := pub.Loan(k.Length)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Put(l.Header); err != nil {
		t.Fatal(err)
	}
	for j := range l.Payload {
		l.Payload[j] = byte(i + j)
	}
	if err := l.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := sub.Receive(t.Context())
	if err != nil {
		t.Fatalf("%s: %v", k.Kind, err)
	}
	defer func() {
		if err := s.Release(); err != nil {
			t.Error(err)
		}
	}()
	got := channeltest.Take(s.Header)
	got.Length, got.CRC32 = len(s.Payload), crc32.ChecksumIEEE(s.Payload)
	k.Sequence, k.CRC32 = uint64(i), channeltest.CRC32(k.Length, i)
	if g, w := channeltest.Text(got), channeltest.Text(k); g != w {
		t.Errorf("came back as %s, sent %s; header %s", g, w, hex.EncodeToString(s.Header.Media[:]))
	}
}
