package pipeline

import "go.yaml.in/yaml/v4"

// Tree is what a file holds before it is read as a pipeline, as an editor's
// reader of YAML has it too, and what is wrong with the text; ok is false if
// there is no tree at all.
func Tree(file string, src []byte) (value any, wrong Diagnostics, ok bool) {
	s := &source{file: file, active: map[*yaml.Node]bool{}}
	root := s.load(src)
	if root == nil {
		return nil, s.diags, false
	}
	return plain(root), s.diags, true
}
