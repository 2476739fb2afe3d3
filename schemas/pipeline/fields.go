package pipeline

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// fields reads the keys of one mapping. at is where something missing is
// reported: the key that the mapping stands under, or the list item.
type fields struct {
	*source
	path  string
	at    Pos
	pairs map[string]pair
	slips map[string]bool // keys that a reported slip was meant to be
}

// moved tells for keys of other tools, and of older manifests, what to write: a
// sentence, or a key; after = the key stands in the same mapping and takes the
// value as it is.
type moved map[string]string

// open begins to read a mapping and reports each key that is not known. A slip
// is read as the key it was meant to be, so that one typo is one diagnostic.
func (s *source) open(n *node, path string, at Pos, known []string, old moved) (*fields, bool) {
	f := &fields{source: s, path: path, at: at, pairs: map[string]pair{}, slips: map[string]bool{}}
	if n.kind != mapping {
		s.mismatch(n, path, "a mapping", mappingHint(path))
		return f, false
	}
	for _, p := range n.pairs {
		if slices.Contains(known, p.key) {
			f.pairs[p.key] = p
		}
	}
	for _, p := range n.pairs {
		if !slices.Contains(known, p.key) {
			f.unknown(p, known, old)
		}
	}
	return f, true
}

func (f *fields) unknown(p pair, known []string, old moved) {
	if f.path == "" && strings.HasPrefix(p.key, "x-") {
		return
	}
	if f.full() {
		return
	}
	meant, hint := nearest(p.key, known), didYouMean(p.key, known)
	if f.path == "" && meant == "" {
		hint += "; keys of your own begin with x-"
	}
	instead := old[p.key]
	if instead != "" {
		name, same := strings.CutPrefix(instead, "=")
		meant, hint = "", instead
		if same {
			meant = name
		}
		if !strings.Contains(instead, " ") {
			hint = "write " + name + " instead"
		}
	}
	if r, _ := utf8.DecodeRuneInString(p.key); r != ' ' && unicode.IsSpace(r) {
		hint = "indent with plain spaces: this line begins with others"
	}
	f.fail(p.at, joinPath(f.path, p.key), hint, "unknown key %s", quote(p.key))
	if words := strings.FieldsFunc(strings.TrimPrefix(instead, "write "), func(r rune) bool { return strings.ContainsRune(" :,", r) }); len(words) > 0 {
		f.slips[words[0]] = true // said once, it is not missing too
	}
	if meant == "" {
		return
	}
	f.slips[meant] = true
	if _, set := f.pairs[meant]; !set {
		f.pairs[meant] = p
	}
}

func (s *source) mismatch(n *node, path, want, hint string) {
	switch {
	case n.kind == broken:
	case n.null():
		s.fail(n.pos, path, nullHint(want), "must be %s, not null", want)
	case n.kind == mapping:
		s.fail(n.pos, path, hint, "must be %s, not a mapping", want)
	case n.kind == sequence:
		s.fail(n.pos, path, hint, "must be %s, not a list", want)
	default:
		s.fail(n.pos, path, hint, "must be %s, not %s", want, quote(n.text))
	}
}

func nullHint(want string) string {
	switch want {
	case "a mapping":
		return "indent what belongs to it further, or write {}"
	case "a list":
		return "begin each item below it with a dash and a space, or remove the key"
	}
	return "give it a value or remove the key"
}

func (f *fields) sub(key string) string { return joinPath(f.path, key) }

// get returns a key's value, or nil.
func (f *fields) get(key string) *node {
	if p, ok := f.pairs[key]; ok {
		return p.value
	}
	return nil
}

func (f *fields) require(key, hint string) {
	if f.get(key) == nil && !f.slips[key] {
		f.fail(f.at, f.path, hint, "missing %s", key)
	}
}

// scalar returns the node of a key that must be a scalar other than null.
func (f *fields) scalar(key, want string) *node {
	n := f.get(key)
	if n == nil {
		return nil
	}
	if n.kind != scalar || n.null() {
		f.mismatch(n, f.sub(key), want, "")
		return nil
	}
	return n
}

// text reads a string; check returns what is wrong with it, and a hint.
func (f *fields) text(key, def string, check checker) Value[string] {
	n := f.scalar(key, "text")
	if n == nil {
		return Value[string]{V: def, Pos: f.at}
	}
	f.check(n, f.sub(key), check)
	return Value[string]{n.text, n.pos, true}
}

// checker returns "" or what is wrong with a text, to be read after the text in
// quotes, and a hint.
type checker func(string) (problem, hint string)

func (s *source) check(n *node, path string, check checker) bool {
	if s.full() {
		return false // a grammar may cost more than anything else in the file
	}
	if check == nil {
		check = oneLine
	}
	problem, hint := check(n.text)
	if problem != "" {
		s.fail(n.pos, path, hint, "%s %s", quote(n.text), problem)
	}
	return problem == ""
}

// word reads one of the words allowed.
func (f *fields) word(key, def string, allowed ...string) Value[string] {
	v := f.text(key, def, func(s string) (string, string) {
		if slices.Contains(allowed, s) {
			return "", ""
		}
		return "must be " + list(allowed), wordHint(s, allowed)
	})
	if v.Set && !slices.Contains(allowed, v.V) {
		v.V = def
	}
	return v
}

func slip(s string, allowed []string) string {
	if k := nearest(s, allowed); k != "" {
		return "did you mean " + quote(k) + "?"
	}
	return ""
}

func (f *fields) boolean(key string, def bool) Value[bool] {
	n := f.scalar(key, "true or false")
	if n == nil {
		return Value[bool]{V: def, Pos: f.at}
	}
	v, _ := n.value()
	b, ok := v.(bool)
	if !ok {
		hint := ""
		switch strings.ToLower(n.text) {
		case "yes", "on", "y", "1", "true":
			hint = "write true"
		case "no", "off", "n", "0", "false":
			hint = "write false"
		}
		f.mismatch(n, f.sub(key), "true or false", hint)
		b = def
	}
	return Value[bool]{b, n.pos, true}
}

func (f *fields) integer(key string, def, low, high int) Value[int] {
	n := f.scalar(key, "an integer")
	if n == nil {
		return Value[int]{V: def, Pos: f.at}
	}
	v, _ := n.value()
	i, ok := v.(int64)
	switch {
	case !ok:
		f.mismatch(n, f.sub(key), "an integer", numberHint(key, n))
		i = int64(def)
	case i < int64(low):
		f.fail(n.pos, f.sub(key), "", "must be at least %d, not %d", low, i)
		i = int64(def)
	case i > int64(high):
		f.fail(n.pos, f.sub(key), "", "must be at most %d, not %d", high, i)
		i = int64(def)
	}
	return Value[int]{int(i), n.pos, true}
}

func (f *fields) number(key string, low, high float64) Value[float64] {
	n := f.scalar(key, "a number")
	if n == nil {
		return Value[float64]{Pos: f.at}
	}
	v, _ := n.value()
	x, ok := toFloat(v)
	switch {
	case !ok || math.IsNaN(x):
		f.mismatch(n, f.sub(key), "a number", numberHint(key, n))
		x = 0
	case x < low || x > high:
		f.fail(n.pos, f.sub(key), "", "must be from %g to %g, not %s", low, high, quote(n.text))
		x = 0
	}
	return Value[float64]{x, n.pos, true}
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// size reads bytes: an integer with B, KiB, MiB, GiB or nothing.
func (f *fields) size(key string, def, high int64) Value[int64] {
	n := f.scalar(key, "a size")
	if n == nil {
		return Value[int64]{V: def, Pos: f.at}
	}
	v, hint, ok := parseSize(n.text)
	switch {
	case !ok:
		f.mismatch(n, f.sub(key), "a size such as 64KiB", hint)
		v = def
	case v < 1:
		f.fail(n.pos, f.sub(key), "", "must be at least 1 byte")
		v = def
	case v > high:
		f.fail(n.pos, f.sub(key), "", "must be at most %d GiB, not %s", high>>30, quote(n.text))
		v = def
	}
	return Value[int64]{v, n.pos, true}
}

func parseSize(s string) (v int64, hint string, ok bool) {
	end := strings.IndexFunc(s, func(r rune) bool { return !isDigit(r) })
	if end < 0 {
		end = len(s)
	}
	unit, shift := strings.TrimLeft(s[end:], " "), 0
	switch unit {
	case "", "B":
	case "KiB":
		shift = 10
	case "MiB":
		shift = 20
	case "GiB":
		shift = 30
	default:
		return 0, sizeHint(s), false
	}
	if end == 0 {
		return 0, "", false
	}
	// Only the range can be wrong now, and then v is the largest number.
	v, _ = strconv.ParseInt(s[:end], 10, 64)
	if v > math.MaxInt64>>shift {
		return math.MaxInt64, "", true
	}
	return v << shift, "", true
}
