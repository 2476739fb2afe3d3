package plugin

import (
	"errors"
	"testing"
)

// TestLacksGPU holds the engine's own words, as seen.
func TestLacksGPU(t *testing.T) {
	for text, want := range map[string]bool{
		`start the containers: Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]`: true,
		"Error response from daemon: failed to discover GPU vendor from CDI: no known GPU vendor found":                        true,
		"nvidia-container-cli: initialization error: nvml error: driver not loaded":                                            true,
		"Error response from daemon: could not select a network":                                                               false,
		"": false,
	} {
		if lacksGPU(text) != want {
			t.Errorf("%q: want %v", text, want)
		}
	}
	if err := (&env{}).explainGPU(nil, nil); err != nil {
		t.Error(err)
	}
	plain := errors.New("something else")
	if err := (&env{}).explainGPU(nil, plain); err != plain { //nolint:errorlint // the very same
		t.Error(err)
	}
}
