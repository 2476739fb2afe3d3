package generate

import (
	"math"
	"math/big"
	"testing"
)

func TestEncodeParams(t *testing.T) {
	huge, ok := new(big.Int).SetString("123456789012345678901234567890", 10)
	if !ok {
		t.Fatal("not a number")
	}
	got, err := encodeParams(map[string]any{
		"z": nil, "float": 1.0, "small": 1e-9, "large": 1e300, "nan": math.NaN(), "inf": math.Inf(1), "neg": math.Inf(-1),
		"int": int64(1), "max": uint64(math.MaxUint64), "huge": huge, "true": true, "text": "<a&b> \u2028 \"q\"",
		"list": []any{int64(1), 2.5, []any{}, map[string]any{}}, "<k>": "v",
	})
	want := `{"<k>":"v","float":1.0,"huge":123456789012345678901234567890,"inf":Infinity,"int":1,"large":1e+300,` +
		`"list":[1,2.5,[],{}],"max":18446744073709551615,"nan":NaN,"neg":-Infinity,"small":1e-09,"text":"<a&b> \u2028 \"q\"","true":true,"z":null}`
	if err != nil || got != want {
		t.Errorf("%v\n got %s\nwant %s", err, got, want)
	}
	if got, err := encodeParams(nil); err != nil || got != "{}" {
		t.Errorf("nil is %s, %v", got, err)
	}
	if _, err := encodeParams(map[string]any{"x": struct{}{}}); err == nil {
		t.Error("a struct passed")
	}
}
