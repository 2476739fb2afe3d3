package pipeline

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// syntaxHint says what to write where the reader of YAML gave up; opened is
// where what it was reading began.
func syntaxHint(message string, lines []string, at, opened Pos) string {
	const spaces = "indent with spaces, not with tabs"
	text, first := "", ""
	if at.Line <= len(lines) {
		text = lines[at.Line-1]
		if rest := []rune(text); at.Col <= len(rest) {
			first = string(rest[at.Col-1])
		}
	}
	has := func(part string) bool { return strings.Contains(message, part) }
	switch {
	case has("tab character") || has("cannot start any token") && first == "\t":
		return spaces
	case has("cannot start any token") && strings.HasPrefix(text, "```"):
		return "leave out what is only to show the text as code"
	case has("cannot start any token"):
		return "quote the value: it begins with " + printable(first)
	case has("mapping values are not allowed") && strings.Count(text, ": ") > 1:
		return `quote a value that holds ": ", or leave the space out`
	case has("mapping values are not allowed"):
		return `write key: value, with a colon and a space, also on the line above`
	case has("expected ':'"):
		return "write key: value, with a colon and a space"
	case (has("expected ',' or '}'") || has("expected ',' or ']'")) && first == "\"":
		return fmt.Sprintf("put a comma before this, or close what was opened at %d:%d", opened.Line, opened.Col)
	case has("expected ',' or '}'"), has("expected ',' or ']'"):
		return fmt.Sprintf("close what was opened at %d:%d, or quote a value before this that holds , { } [ ] or a quote", opened.Line, opened.Col)
	case has("expected '-' indicator"), has("did not find expected key"):
		return "check the indentation of this line: what belongs together begins in the same column"
	case has("end of stream"):
		return "close the quote"
	case has("unknown anchor"):
		return "quote a value that begins with *"
	}
	return ""
}

type habit struct{ said, word, why string }

// habits are words of other tools and what comes nearest to them here.
func habits() []habit {
	return []habit{
		{"unless-stopped", "always", ": a container that was asked to stop is never started again"},
		{"on_failure", "on-failure", ""}, {"never", "no", ""}, {"false", "no", ""},
		{"host", "bridge", " to reach other machines; no node shares the network of the host"},
		{"default", "bridge", ""}, {"true", "bridge", ""}, {"false", "none", ""},
		{"drop_newest", "drop_oldest", ": what waits longest goes first"}, {"wait", "block", ""},
		{"busy", "spin", ""}, {"poll", "spin", ""}, {"sleep", "block", ""}, {"auto", "adaptive", ""},
		{"string", "text", ""}, {"str", "text", ""}, {"image", "video", ""}, {"frame", "video", ""}, {"binary", "bytes", ""},
		{"int16", "s16", ""}, {"pcm16", "s16", ""}, {"pcm_s16le", "s16", ""}, {"s16le", "s16", ""}, {"int24", "s24", ""}, {"int32", "s32", ""},
		{"uint8", "u8", ""}, {"float32", "f32", ""}, {"float", "f32", ""}, {"float64", "f64", ""}, {"double", "f64", ""},
		{"rgb", "rgb24", ""}, {"bgr", "bgr24", ""}, {"gray", "gray8", ""}, {"grey", "gray8", ""}, {"yuv420p", "i420", ""},
		{"dict", "json", ""}, {"object", "json", ""}, {"array", "tensor", ""}, {"ndarray", "tensor", ""}, {"numpy", "tensor", ""},
	}
}

// wordHint is for a word that is none of those allowed.
func wordHint(s string, allowed []string) string {
	if len(allowed) == 1 {
		return "write " + allowed[0]
	}
	for _, h := range habits() {
		if h.said == s && slices.Contains(allowed, h.word) {
			return "write " + h.word + h.why
		}
	}
	switch {
	case slices.Contains(allowed, "bridge"):
		return "bridge reaches other machines; networks of your own cannot be joined"
	case s == "restart" && slices.Contains(allowed, "retry"):
		return "write docker.restart: {policy: on-failure}; on_crash is about the frames"
	}
	return slip(s, allowed)
}

// numberHint is for a value that is no number, or none without a fraction. What
// it says to write is what was meant, or nothing: 16k is 16000, 2g is 2048 MiB.
func numberHint(key string, n *node) string {
	if n.kind != scalar || len(n.text) > shown || n.null() {
		return ""
	}
	v, _ := core(n.text)
	x, number := toFloat(v)
	switch {
	case number && x == float64(int64(x)):
		return "write " + strconv.FormatInt(int64(x), 10) + unquoted(n)
	case number:
		return strings.TrimSpace(strings.Replace(unquoted(n), " ", "write it ", 1))
	}
	plain := strings.NewReplacer("_", "", ",", "", "'", "").Replace(cut(n.text))
	if fixed, ok := measured(key, plain); ok {
		return "write " + fixed
	}
	for suffix, unit := range units() {
		if strings.HasSuffix(key, suffix) {
			return "a number of " + unit + ", without a unit"
		}
	}
	return ""
}

func units() map[string]string {
	return map[string]string{"_mb": "MiB", "_ms": "milliseconds", "_s": "seconds", "_cores": "cores"}
}

// measured reads a number with a unit behind it as the number that a key takes.
func measured(key, s string) (string, bool) {
	end := strings.LastIndexFunc(s, isDigit) + 1
	x, err := strconv.ParseFloat(s[:end], 64)
	unit := strings.ToLower(strings.TrimSpace(s[end:]))
	if err != nil || math.Abs(x) >= 1e9 || strings.ContainsAny(s[:end], "xXpPnNiI") {
		return "", false
	}
	scale, ok := 1.0, strings.IndexFunc(unit, func(r rune) bool { return !isAlpha(r) }) < 0
	switch suffix := key[strings.LastIndex(key, "_")+1:]; suffix {
	case "mb":
		scale, ok = map[string]float64{"": 1, "m": 1, "mb": 1, "mib": 1, "g": 1024, "gb": 1024, "gib": 1024}[unit], true
	case "ms":
		scale, ok = map[string]float64{"": 1, "ms": 1, "s": 1000, "sec": 1000, "m": 60_000, "min": 60_000}[unit], true
	case "s":
		scale, ok = map[string]float64{"": 1, "ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600}[unit], true
	case "cores":
		scale, ok = map[string]float64{"": 1, "m": 0.001, "c": 1, "cpu": 1, "cpus": 1, "core": 1, "cores": 1}[unit], true
	default:
		switch unit {
		case "k", "khz":
			scale = 1000
		case "m", "mhz":
			scale = 1e6
		}
	}
	return strconv.FormatFloat(x*scale, 'f', -1, 64), ok && scale > 0
}

func unquoted(n *node) string {
	if n.typ == "str" {
		return " without quotes"
	}
	return ""
}

func leadingDigits(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool { return !isDigit(r) })
	if end < 0 {
		return s
	}
	return s[:end]
}

// sizeHint is for a text that is no size.
func sizeHint(s string) string {
	const units = "units are B, KiB, MiB and GiB"
	if len(s) > 16 {
		return units
	}
	digits := leadingDigits(s)
	unit := strings.TrimLeft(s[len(digits):], " ")
	whole, fraction, _ := strings.Cut(s, ".")
	upper := strings.ToUpper(unit)
	switch {
	case digits == "":
		return units
	case len(upper) > 0 && len(upper) <= 3 && strings.Contains("KMG", upper[:1]):
		return "write " + digits + upper[:1] + "iB"
	case strings.HasPrefix(unit, "_"):
		return "write " + strings.ReplaceAll(s, "_", "")
	case whole == digits && fraction != "":
		return "write a whole number, of the next smaller unit if need be: 1.5MiB is 1536KiB"
	}
	return units
}

// typeHint is for a node_type without a colon that is not built in.
func typeHint(s string, names []string, container bool) string {
	if k := nearest(s, names); k != "" && distance(strings.ToLower(s), strings.ToLower(k)) <= 2 {
		return "did you mean " + quote(k) + "?"
	}
	if container {
		return "write module:Class, such as " + classLike(s)
	}
	if k := sharing(s, names); k != "" {
		return "did you mean " + quote(k) + "?"
	}
	return "docker medianode nodes lists what is built in; a class of your own is written module:Class"
}

// sharing returns the first name in which each word of s stands: AudioSource is
// AudioFileSource.
func sharing(s string, names []string) string {
	parts := strings.FieldsFunc(camel(s), func(r rune) bool { return !isAlnum(r) })
	if len(s) > shown || len(parts) < 2 {
		return ""
	}
	i := slices.IndexFunc(names, func(name string) bool {
		return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(name, p) })
	})
	if i < 0 {
		return ""
	}
	return names[i]
}

// camel puts a space before each capital letter.
func camel(s string) string {
	var b strings.Builder
	for _, r := range cut(s) {
		if unicode.IsUpper(r) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// classLike makes of a word what it would be as module:Class.
func classLike(s string) string {
	if len(s) > shown {
		return "asr:Recognizer"
	}
	if module, class, ok := cutLast(s, "."); ok && classPattern().MatchString(module+":"+class) && class != "py" {
		return module + ":" + class
	}
	if file, ok := strings.CutSuffix(s, ".py"); ok { // a file, as one starts it by hand
		s = file[strings.LastIndex(file, "/")+1:]
	}
	if !classPattern().MatchString(s+":"+s) || strings.Contains(s, ".") {
		return "asr:Recognizer"
	}
	return strings.ToLower(s) + ":" + strings.ToUpper(s[:1]) + s[1:]
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// fixedClass is for a path where a module is asked for.
func fixedClass(s string) string {
	if len(s) > shown {
		return "such as asr:Recognizer"
	}
	module, class, _ := strings.Cut(s, ":")
	module = strings.TrimSuffix(strings.TrimPrefix(module, "./"), ".py")
	fixed := strings.ReplaceAll(module, "/", ".") + ":" + class
	if classPattern().MatchString(fixed) {
		return "write " + fixed
	}
	return "such as asr:Recognizer"
}

// edgeHint reads an arrow, or a pair, as the connection it was meant to be.
func edgeHint(item *node) string {
	var ends []string
	switch {
	case item.kind == scalar && len(item.text) <= shown:
		ends = strings.FieldsFunc(strings.NewReplacer("->", " ", "→", " ", "=>", " ", ">", " ").Replace(item.text), unicode.IsSpace)
	case item.kind == sequence:
		for _, end := range item.items[:min(3, len(item.items))] {
			ends = append(ends, end.text)
		}
	case item.kind == mapping && len(item.pairs) == 1:
		ends = []string{item.pairs[0].key, item.pairs[0].value.text}
	}
	for _, end := range ends {
		if !idPattern().MatchString(end) {
			ends = nil
		}
	}
	if len(ends) != 2 {
		return "write {from: NODE, to: NODE}"
	}
	return "write {from: " + ends[0] + ", to: " + ends[1] + "}"
}

// mountHint reads the short form of compose.
func mountHint(s string) string {
	s = cut(s)
	host, rest, ok := strings.Cut(s, ":")
	container, mode, _ := strings.Cut(rest, ":")
	if bad, _ := checkMountPath(host); ok && strings.Contains(bad, "socket") {
		return "remove it: no node may have the engine's socket"
	}
	if !ok || !isLine(s) || strings.Contains(s, "…") || !strings.HasPrefix(container, "/") || strings.ContainsAny(s, "{},[]\"'# ") {
		return "write {host_path: ./data, container_path: /data}"
	}
	end := "}, read-only unless read_only: false is added"
	if mode == "ro" {
		end = "}"
	}
	return "write {host_path: " + printable(host) + ", container_path: " + printable(container) + end
}

// listHint is for one value where a list is asked for.
func listHint(key string, n *node) string {
	switch {
	case n.kind == mapping && key == "nodes":
		return `begin each item with a dash and a space, and with its id: "- id: NAME"`
	case n.kind == scalar && !n.null() && slices.Contains([]string{"nodes", "connections", "volumes"}, key):
		return "list them below it, each with a dash and a space"
	case n.kind == mapping && strings.HasSuffix(key, "_packages"):
		return "write a list of texts such as numpy==2.1.0"
	case n.kind != scalar || n.null():
		return `begin each item with a dash and a space`
	case strings.HasSuffix(key, "_packages") && strings.HasSuffix(n.text, ".txt"):
		return "list the packages themselves"
	}
	if key == "wheels" && strings.ContainsAny(n.text, "*?[") {
		return "list each file: patterns are not read"
	}
	words := strings.Fields(cut(n.text))
	if !slices.ContainsFunc(words, func(w string) bool { return !isWord(strings.ReplaceAll(w, ".", "")) }) {
		return "write [" + strings.Join(words, ", ") + "]"
	}
	return "write [" + printable(cut(n.text)) + "]"
}

// itemHint is for an item that must be text; a colon and a space make a mapping
// of it.
func itemHint(key string, n *node) string {
	if n.kind == mapping && len(n.pairs) == 1 && n.pairs[0].value.kind == scalar {
		name, value := n.pairs[0].key, n.pairs[0].value.text
		if fixed := name + "==" + value; key == "python_packages" && len(fixed) <= shown && requirementPattern().MatchString(fixed) {
			return "write " + fixed
		}
		return `quote it, or leave out the space after the colon`
	}
	return ""
}

// portsHint is for ports that are no mapping.
func portsHint(v *node) string {
	if v.null() {
		return nullHint("a mapping")
	}
	all := []*node{v}
	if v.kind == sequence {
		all = v.items
	}
	var names []string
	for _, item := range all {
		if !idPattern().MatchString(item.text) || len(names) > 3 {
			return "write PORT: {} for each port"
		}
		names = append(names, item.text+": {}")
	}
	return "write {" + strings.Join(names, ", ") + "}"
}

// mappingHint is for what must be a mapping, by where it stands.
func mappingHint(path string) string {
	switch {
	case path == "":
		return "a pipeline begins with version: v1"
	case path == "metadata":
		return "write metadata: {name: NAME}"
	case strings.HasPrefix(path, "nodes[") && strings.HasSuffix(path, "]"):
		return "write {id: NAME, node_type: TYPE}, or a key and its value on each line"
	}
	return "write key: value pairs, or {}"
}
