package pipeline

// items returns the elements of a list and whether the key holds one.
func (f *fields) items(key string) []*node {
	n := f.get(key)
	if n == nil {
		return nil
	}
	if n.kind != sequence {
		f.mismatch(n, f.sub(key), "a list", listHint(key, n))
		return nil
	}
	return n.items
}

// texts reads a list of strings. same gives what may not be there twice; nil
// allows repetition.
func (f *fields) texts(key string, check checker, same func(string) string) []Value[string] {
	var out []Value[string]
	first := map[string]Pos{}
	for i, n := range f.items(key) {
		path := joinIndex(f.sub(key), i)
		if n.kind != scalar || n.null() {
			f.mismatch(n, path, "text", itemHint(key, n))
			continue
		}
		if !f.check(n, path, check) {
			continue
		}
		if same != nil {
			k := same(n.text)
			if before, dup := first[k]; dup {
				f.fail(n.pos, path, "keep one of the two", "%s is already at %d:%d", quote(k), before.Line, before.Col)
				continue
			}
			first[k] = n.pos
		}
		out = append(out, Value[string]{n.text, n.pos, true})
	}
	return out
}

func itself(s string) string { return s }
