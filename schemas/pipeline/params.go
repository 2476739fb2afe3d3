package pipeline

import (
	"fmt"
	"math"
	"slices"
	"strconv"
)

// builtinParams checks each parameter and fills in the defaults.
func (p *parser) builtinParams(parent *fields, v *node, n *Node, b *Builtin) {
	at := parent.at
	if kv, ok := parent.pairs["params"]; ok {
		at = kv.at
	}
	names := make([]string, len(b.Params))
	for i, spec := range b.Params {
		names[i] = spec.Name
	}
	slices.Sort(names)
	f, _ := p.open(v, parent.sub("params"), at, names, nil)
	for _, spec := range b.Params {
		value := f.get(spec.Name)
		if value == nil {
			if spec.Required && !parent.slips["params."+spec.Name] {
				f.require(spec.Name, b.Name+" needs params: {"+spec.Name+": "+paramExample(spec)+"}")
			}
			if spec.Default != nil {
				n.Params.Values[spec.Name] = spec.Default
			}
			continue
		}
		n.Params.At[spec.Name] = value.pos
		n.Params.Values[spec.Name] = f.param(spec, value)
	}
}

// param returns the value in the Go type that its ParamType has: string,
// float64, int64 or bool.
func (f *fields) param(spec ParamSpec, v *node) any {
	if spec.Type == ParamAny {
		return plain(v)
	}
	path := f.sub(spec.Name)
	if v.kind != scalar || v.null() {
		f.mismatch(v, path, wanted(spec.Type), "")
		return nil
	}
	raw, _ := v.value()
	switch spec.Type {
	case ParamBool:
		return f.boolean(spec.Name, false).V
	case ParamInteger, ParamNumber:
		return f.numeric(spec, v, raw)
	}
	s, ok := raw.(string)
	if !ok {
		f.mismatch(v, path, wanted(spec.Type), "write "+strconv.Quote(cut(v.text)))
		return nil
	}
	check := freeText
	if spec.Type == ParamPath {
		check = checkHostPath
	} else if spec.Required {
		check = oneLine
	}
	if f.check(v, path, check) && len(spec.Choices) > 0 {
		return f.word(spec.Name, "", spec.Choices...).V
	}
	return s
}

func paramExample(spec ParamSpec) string {
	if spec.Example != nil {
		return fmt.Sprint(spec.Example)
	}
	switch spec.Type {
	case ParamPath:
		return "FILE"
	case ParamString:
		return "TEXT"
	case ParamNumber, ParamInteger:
		if spec.Min != nil {
			return strconv.FormatFloat(max(1, *spec.Min), 'g', -1, 64)
		}
		return "1"
	case ParamBool:
		return "true"
	case ParamAny:
	}
	return "VALUE"
}

func wanted(t ParamType) string {
	switch t {
	case ParamBool:
		return "true or false"
	case ParamInteger:
		return "an integer"
	case ParamNumber:
		return "a number"
	}
	return "text"
}

func (f *fields) numeric(spec ParamSpec, v *node, raw any) any {
	x, ok := toFloat(raw)
	i, whole := raw.(int64)
	switch path := f.sub(spec.Name); {
	case !ok || math.IsNaN(x) || math.IsInf(x, 0) || spec.Type == ParamInteger && !whole:
		f.mismatch(v, path, wanted(spec.Type), numberHint(spec.Name, v))
	case spec.Min != nil && x < *spec.Min:
		f.fail(v.pos, path, "", "must be at least %g, not %s", *spec.Min, quote(v.text))
	case spec.Max != nil && x > *spec.Max:
		f.fail(v.pos, path, "", "must be at most %g, not %s", *spec.Max, quote(v.text))
	}
	if spec.Type == ParamInteger {
		return i
	}
	return x
}
