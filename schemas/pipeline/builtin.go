package pipeline

// Builtin is what Parse must know of a node that the runtime runs itself. Doc
// is one sentence without the name, such as "Reads a WAV file"; it stands in
// the JSON Schema and in the list of nodes.
type Builtin struct {
	Name, Doc       string
	Inputs, Outputs []BuiltinPort
	Params          []ParamSpec
}

// BuiltinPort is one port of a built-in; an empty Kind means any.
type BuiltinPort struct{ Name, Kind string }

// ParamType says which scalar a parameter of a built-in takes.
type ParamType string

// The types of parameters. A path is a string that must stay inside the
// project; ParamAny takes whatever YAML can say.
const (
	ParamString  ParamType = "string"
	ParamPath    ParamType = "path"
	ParamNumber  ParamType = "number"
	ParamInteger ParamType = "integer"
	ParamBool    ParamType = "bool"
	ParamAny     ParamType = "any"
)

// ParamSpec is one parameter of a built-in. A Default of nil leaves the
// parameter out of Params.Values; Choices, if any, are the only strings allowed;
// Min and Max, if not nil, bound a number. Example, if not nil, is a value that
// makes sense, for text that shows how the parameter is written. Doc is a
// sentence with the unit.
type ParamSpec struct {
	Name     string
	Doc      string
	Type     ParamType
	Required bool
	Default  any
	Example  any
	Choices  []string
	Min, Max *float64
}
