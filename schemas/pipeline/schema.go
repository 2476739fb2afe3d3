package pipeline

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Schema is the JSON Schema (draft-07) of a pipeline file, indented, the same
// bytes for the same built-ins. It is for editors: it says what can be said of a
// value where it stands. What needs the rest of the file (ids that exist, kinds
// that agree, cycles) is for Parse alone. Parse also takes a name as written that
// an editor takes for no text, such as an id of true.
func Schema(builtins []Builtin) []byte {
	builtins = slices.Clone(builtins)
	slices.SortFunc(builtins, func(a, b Builtin) int { return strings.Compare(a.Name, b.Name) })
	root := object{
		{"$schema", "http://json-schema.org/draft-07/schema#"},
		{"$comment", "Generated from the language itself; go test ./schemas -update writes it."},
		{"title", "Pipeline of docker medianode"},
		{"description", "Nodes, most of them in a container of their own, and the connections on which frames go from one to the next."},
		{"type", "object"},
		{"required", words{"version", "nodes"}},
		{"properties", object{
			{"version", enum("Version of the language", "", "v1")},
			{"metadata", record("metadata", "What the pipeline is called", nil, object{
				{"name", textual("Name of the pipeline; the compose project is called after it. Default: the directory's name", line()).with("examples", words{"captions"})},
				{"description", textual("One or more sentences for readers", free())},
			})},
			{"sessions", whole("Sessions planned at once: streams through the same containers. Shared memory is reserved for all of them; one up opens one", 1, 1, maxSessions)},
			{"nodes", array("The processing steps, in any order", nodeSchema(builtins)).with("minItems", 1).with("maxItems", maxNodes)},
			{"connections", array("The edges from outputs to inputs", connectionSchema()).with("maxItems", maxConnections)},
		}},
		{"patternProperties", object{{"^x-", object{{"description", "Free: anchors live here"}}}}},
		{"additionalProperties", false},
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		panic(err) // strings, numbers and booleans only
	}
	return b.Bytes()
}

// object is a JSON object whose keys stay in order: a schema is read by people
// too, and its order is the order in which one writes a pipeline.
type object []member

type member struct {
	key   string
	value any
}

type words []string

func (o object) with(key string, value any) object {
	return append(slices.Clone(o), member{key, value})
}

// rule adds to what must hold besides.
func (o object) rule(rules ...object) object {
	o = slices.Clone(o)
	for i, m := range o {
		if had, ok := m.value.([]object); ok && m.key == "allOf" {
			o[i].value = slices.Concat(had, rules)
			return o
		}
	}
	return append(o, member{"allOf", rules})
}

// MarshalJSON keeps the order of the keys.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := e.Encode(m.key); err != nil {
			return nil, err
		}
		b.WriteByte(':')
		if err := e.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// record is a mapping with these keys and no other. The title is what an editor
// calls it.
func record(title, doc string, required []string, properties object) object {
	o := object{{"title", title}, {"description", doc}, {"type", "object"}}
	if len(required) > 0 {
		o = append(o, member{"required", words(required)})
	}
	return append(o, member{"properties", properties}, member{"additionalProperties", false})
}

func array(doc string, items object) object {
	return object{{"description", doc}, {"type", "array"}, {"items", items}}
}

// set is a list without repetition.
func set(doc string, items object) object { return array(doc, items).with("uniqueItems", true) }

// enum is one of these words; an empty def is no default.
func enum(doc, def string, allowed ...string) object {
	o := object{{"description", doc}, {"enum", words(allowed)}}
	if def != "" {
		o = o.with("default", def)
	}
	return o
}

func boolean(doc string, def bool) object {
	return object{{"description", doc}, {"type", "boolean"}, {"default", def}}
}

// whole is an integer; a default of 0 is none.
func whole(doc string, def, low, high int) object {
	o := object{{"description", doc}, {"type", "integer"}, {"minimum", low}, {"maximum", high}}
	if def != 0 {
		o = o.with("default", def)
	}
	return o
}

// textual is text of this shape; a number or a boolean without quotes counts
// as it is written.
func textual(doc string, shape object) object {
	return slices.Concat(object{{"description", doc}, {"type", words{"string", "number", "boolean"}}}, shape)
}

// word is text of this shape that YAML never reads as anything else.
func word(doc string, shape object) object {
	return slices.Concat(object{{"description", doc}, {"type", "string"}}, shape)
}

// The classes of characters that oneLine and freeText refuse, for the inside of
// brackets. Escapes are those of ECMAScript.
const (
	control = `\x00-\x1f\x7f-\x9f`
	unseen  = control + `\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069`
	unfree  = `\x00-\x08\x0b-\x1f\x7f-\x9f`
)

func shape(expr, message string) object {
	return object{{"pattern", "^(?:" + expr + ")$"}, {"patternErrorMessage", message}}
}

func line() object {
	return shape("[^"+unseen+"]+", "must be one line without control characters").with("maxLength", maxText)
}

func free() object { return shape("[^"+unfree+"]*", "must not hold control characters") }

// Parts of a path as checkHostPath and checkContainerPath have them: one part
// of a path that is not .., and one that is not . either.
const (
	pathChar  = `[^/\\` + unseen + `]`
	pathPart  = `(?:[^/\\.` + unseen + `]` + pathChar + `*|\.(?:[^/\\.` + unseen + `]` + pathChar + `*)?|\.\.` + pathChar + `+)`
	cleanPart = `(?:[^/\\.` + unseen + `]` + pathChar + `*|\.[^/\\.` + unseen + `]` + pathChar + `*|\.\.` + pathChar + `+)`
	// A drive letter and ~ lead out although they look inside.
	pathFirst = `(?:[^/\\.~` + unseen + `](?:[^/\\:` + unseen + `]` + pathChar + `*)?|\.(?:[^/\\.:` + unseen + `]` + pathChar + `*)?|\.\.[^/\\` + unseen + `]` + pathChar + `*)`
	within    = pathFirst + `(?:/+` + pathPart + `)*/*`
	absolute  = `/|(?:/` + cleanPart + `)+`
	url       = `://`
	sockets   = `docker\.sock/*$|(?:^|/)containerd\.sock$`
)

func hostPath(unlike ...string) object {
	return shape(within, "must be a path inside the directory of the pipeline file, such as ./data").
		with("maxLength", maxText).without(strings.Join(append(unlike, sockets), "|"), "must be a path of files, not of the engine's socket, a URL or a pattern")
}

// without refuses text that matches. It says so by if and then: an editor has no
// words of its own for what not refuses.
func (o object) without(expr, message string) object {
	return o.rule(object{
		{"if", object{{"type", "string"}, {"pattern", expr}}},
		{"then", object{{"const", ""}, {"errorMessage", message}}},
	})
}

func sizeShape() object {
	return slices.Concat(object{{"type", words{"integer", "string"}}, {"minimum", 1}, {"maximum", maxFrame}},
		shape(`0*[1-9][0-9]* *(?:B|KiB|MiB)?|0*1 *GiB`, "must be a size such as 64KiB; units are B, KiB, MiB and GiB"))
}
