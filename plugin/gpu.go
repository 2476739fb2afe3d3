package plugin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// explainGPU says what is missing where the engine cannot hand out a GPU; other
// errors stay. The engine names neither the container nor the way out.
func (e *env) explainGPU(s *source, err error) error {
	if err == nil || !lacksGPU(err.Error()) {
		return err
	}
	var found pipeline.Diagnostics
	for i, n := range s.spec.Nodes {
		if n.Docker == nil || len(n.Docker.GPUDevices) == 0 {
			continue
		}
		found = append(found, &pipeline.Diagnostic{
			File: s.path, Pos: n.Docker.GPUDevices[0].Pos, Path: fmt.Sprintf("nodes[%d].docker.gpu_devices", i),
			Message: fmt.Sprintf("the engine cannot give %q a GPU: %v", n.ID.V, err),
			Hint:    "the engine's machine needs NVIDIA's driver and container toolkit: nvidia-ctk runtime configure --runtime=docker, then restart the engine",
		})
	}
	if len(found) == 0 {
		return err
	}
	return e.explain(s, found)
}

// lacksGPU tells the words of the engine and of NVIDIA's hook.
func lacksGPU(text string) bool {
	return slices.ContainsFunc([]string{
		`could not select device driver "nvidia"`, "no known GPU vendor", "nvidia-container-cli", "unresolvable CDI devices nvidia.com/gpu",
	}, func(known string) bool { return strings.Contains(text, known) })
}
