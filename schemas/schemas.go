// Package schemas holds the JSON Schema of the pipeline language, for editors.
package schemas

import _ "embed"

// pipelineText is the file as it stands beside this one; text cannot be changed
// by who reads it.
//
//go:embed pipeline.schema.json
var pipelineText string

// Pipeline is the JSON Schema (draft-07) of a pipeline file, with the built-in
// nodes and their params.
func Pipeline() []byte { return []byte(pipelineText) }
