//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

// TestSoak is the short form of make soak: as many frames as there are in 20 s.
func TestSoak(t *testing.T) {
	needPlugin(t)
	var out strings.Builder
	err := soak(t.Context(), &out, 20*time.Second)
	t.Log("\n" + out.String())
	if err != nil {
		t.Error(err)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]float64{"0B": 0, "35.5MiB": 35.5 * (1 << 20), "1.25GiB": 1.25 * (1 << 30), "512KiB": 512 << 10} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%s: %v %v", text, got, err)
		}
	}
	if _, err := parseSize("35"); err == nil {
		t.Error("a number without a unit is no size")
	}
}

// TestPayload checks that what comes back can be told from what was not sent.
func TestPayload(t *testing.T) {
	p := newPayload(4096)
	b := make([]byte, 4096)
	first := p.write(b)
	if sum(b) != first {
		t.Errorf("sum %d, want %d", sum(b), first)
	}
	if second := p.write(b[:3840]); sum(b[:3840]) != second || second == first {
		t.Errorf("sum %d, want %d", sum(b[:3840]), second)
	}
}
