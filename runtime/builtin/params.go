package builtin

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func pathParam(doc string) pipeline.ParamSpec {
	return pipeline.ParamSpec{Name: "path", Doc: doc, Type: pipeline.ParamPath, Required: true}
}

func numberParam(name, doc string, value, low, high float64) pipeline.ParamSpec {
	return pipeline.ParamSpec{Name: name, Doc: doc, Type: pipeline.ParamNumber, Default: value, Min: &low, Max: &high}
}

func integerParam(name, doc string, value int64, low, high float64) pipeline.ParamSpec {
	return pipeline.ParamSpec{Name: name, Doc: doc, Type: pipeline.ParamInteger, Default: value, Min: &low, Max: &high}
}

func booleanParam(name, doc string, value bool) pipeline.ParamSpec {
	return pipeline.ParamSpec{Name: name, Doc: doc, Type: pipeline.ParamBool, Default: value}
}

// choiceParam is one of some words.
func choiceParam(name, doc, value string, choices ...string) pipeline.ParamSpec {
	return pipeline.ParamSpec{Name: name, Doc: doc, Type: pipeline.ParamString, Default: value, Choices: choices}
}

// ParamError is what is wrong with one param, or with the file that it names.
type ParamError struct {
	Param string
	Err   error
}

// Error is the text of Err, which says what it needs of the param.
func (e *ParamError) Error() string { return e.Err.Error() }

// Unwrap is what is wrong.
func (e *ParamError) Unwrap() error { return e.Err }

// badPath is an error of the file that a param path names.
func badPath(err error) error { return &ParamError{Param: "path", Err: err} }

// params are checked values: string, float64, int64 or bool by their spec.
type params map[string]any

func (p params) text(name string) string    { return p[name].(string) }
func (p params) number(name string) float64 { return p[name].(float64) }
func (p params) integer(name string) int64  { return p[name].(int64) }
func (p params) boolean(name string) bool   { return p[name].(bool) }

// checkParams holds values to their specs and fills in defaults. The language
// has checked the same in a file; params may come from elsewhere too.
func checkParams(b pipeline.Builtin, given map[string]any) (params, error) {
	checked, errs := params{}, []error(nil)
	for _, spec := range b.Params {
		value, ok := given[spec.Name]
		if !ok {
			value = spec.Default
		}
		if !ok && spec.Required {
			errs = append(errs, fmt.Errorf("%s: param %s is missing", b.Name, spec.Name))
			continue
		}
		value, err := checkParam(spec, value)
		if err != nil {
			errs = append(errs, &ParamError{spec.Name, fmt.Errorf("%s: param %s: %w", b.Name, spec.Name, err)})
			continue
		}
		checked[spec.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(b.Params, func(s pipeline.ParamSpec) bool { return s.Name == name }) {
			errs = append(errs, &ParamError{name, fmt.Errorf("%s: no param %q: %s", b.Name, name, known(b))})
		}
	}
	return checked, errors.Join(errs...)
}

// known says what params a node has.
func known(b pipeline.Builtin) string {
	if len(b.Params) == 0 {
		return "it has none"
	}
	names := make([]string, len(b.Params))
	for i, spec := range b.Params {
		names[i] = spec.Name
	}
	return "it has " + strings.Join(names, ", ")
}

func checkParam(spec pipeline.ParamSpec, value any) (any, error) {
	switch spec.Type {
	case pipeline.ParamBool:
		if v, ok := value.(bool); ok {
			return v, nil
		}
		return nil, fmt.Errorf("want true or false, not %v", value)
	case pipeline.ParamString, pipeline.ParamPath:
		return checkText(spec, value)
	}
	x, ok := toNumber(value)
	switch {
	case !ok || math.IsNaN(x) || math.IsInf(x, 0):
		return nil, fmt.Errorf("want a number, not %v", value)
	case spec.Type == pipeline.ParamInteger && x != math.Trunc(x):
		return nil, fmt.Errorf("want an integer, not %v", value)
	case spec.Min != nil && x < *spec.Min:
		return nil, fmt.Errorf("%v is less than %v", value, *spec.Min)
	case spec.Max != nil && x > *spec.Max:
		return nil, fmt.Errorf("%v is more than %v", value, *spec.Max)
	case spec.Type == pipeline.ParamInteger:
		return int64(x), nil
	}
	return x, nil
}

func checkText(spec pipeline.ParamSpec, value any) (any, error) {
	v, ok := value.(string)
	switch {
	case !ok:
		return nil, fmt.Errorf("want text, not %v", value)
	case v == "" && spec.Required:
		return nil, errors.New("is empty")
	case len(spec.Choices) > 0 && !slices.Contains(spec.Choices, v):
		return nil, fmt.Errorf("%q is none of %s", v, strings.Join(spec.Choices, ", "))
	}
	return v, nil
}

func toNumber(value any) (float64, bool) {
	switch v := value.(type) {
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}
