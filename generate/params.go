package generate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// encode is compact JSON as a person would write it: < and & stay.
func encode(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("encode: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// encodeParams is JSON that keeps YAML's types when Python reads it: a float
// has a point or an exponent, integers have all their digits, and not a number
// and the infinities are as Python's json writes them.
func encodeParams(params map[string]any) (string, error) {
	var b strings.Builder
	if params == nil {
		params = map[string]any{}
	}
	if err := writeParam(&b, params); err != nil {
		return "", err
	}
	return b.String(), nil
}

func writeParam(b *strings.Builder, v any) error {
	switch v := v.(type) {
	case float64:
		b.WriteString(pythonFloat(v))
	case *big.Int:
		b.WriteString(v.String())
	case []any:
		return writeParams(b, "[]", len(v), func(i int) error { return writeParam(b, v[i]) })
	case map[string]any:
		keys := sorted(v)
		return writeParams(b, "{}", len(v), func(i int) error {
			key, err := encode(keys[i])
			if err != nil {
				return err
			}
			b.WriteString(key + ":")
			return writeParam(b, v[keys[i]])
		})
	case nil, bool, string, int, int64, uint64:
		text, err := encode(v)
		b.WriteString(text)
		return err
	default:
		return fmt.Errorf("a value of type %T cannot be handed to a node", v)
	}
	return nil
}

func writeParams(b *strings.Builder, brackets string, n int, each func(int) error) error {
	b.WriteByte(brackets[0])
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if err := each(i); err != nil {
			return err
		}
	}
	b.WriteByte(brackets[1])
	return nil
}

func pythonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	text := strconv.FormatFloat(f, 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return text
}
