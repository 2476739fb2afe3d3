package generate

import (
	"errors"
	"io/fs"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

// Resolve makes the plan of a pipeline. source is the directory of the pipeline
// file, sdk the files of the Python package medianode. The error is
// pipeline.Diagnostics, every mistake at once.
func Resolve(spec *pipeline.Spec, project string, host Host, source, sdk fs.FS) (*Plan, error) {
	return nil, errors.New("not yet")
}

// String prints the plan.
func (p *Plan) String() string { return "" }

// Project is the plan as a compose project.
func (p *Plan) Project() *types.Project { return nil }

// Files are compose.yaml, iceoryx2.toml and a directory for each image.
func (p *Plan) Files() ([]File, error) { return nil, nil }
