package pipeline

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxDigits bounds an integer: Python, the other end of params, refuses more.
const maxDigits = 4300

// core reads a plain scalar by the core schema of YAML 1.2. It is ours because
// the library also knows the words and numbers of YAML 1.1: 010 is ten here,
// 1_000 and 2001-01-01 are text. ok is false for a number that no type holds.
func core(s string) (v any, ok bool) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return nil, true
	case "true", "True", "TRUE":
		return true, true
	case "false", "False", "FALSE":
		return false, true
	case ".nan", ".NaN", ".NAN":
		return math.NaN(), true
	}
	switch strings.TrimLeft(s[:1], "+-") + s[1:] {
	case ".inf", ".Inf", ".INF":
		if s[0] == '-' {
			return math.Inf(-1), true
		}
		return math.Inf(1), true
	}
	if digits, base := integerText(s); base != 0 {
		return integer(s, digits, base)
	}
	if !isFloat(s) {
		return s, true
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func integerText(s string) (digits string, base int) {
	switch {
	case strings.HasPrefix(s, "0o"):
		digits, base = s[2:], 8
	case strings.HasPrefix(s, "0x"):
		digits, base = s[2:], 16
	default:
		digits, base = s, 10
		if s[0] == '+' || s[0] == '-' {
			digits = s[1:]
		}
	}
	for _, r := range strings.ToLower(digits) {
		if d := strings.IndexRune("0123456789abcdef", r); d < 0 || d >= base {
			return "", 0
		}
	}
	if digits == "" {
		return "", 0
	}
	return digits, base
}

func integer(s, digits string, base int) (any, bool) {
	if len(digits) > maxDigits {
		return nil, false
	}
	sign := ""
	if s[0] == '-' {
		sign = "-"
	}
	if i, err := strconv.ParseInt(sign+digits, base, 64); err == nil {
		return i, true
	}
	if u, err := strconv.ParseUint(sign+digits, base, 64); err == nil {
		return u, true
	}
	return new(big.Int).SetString(sign+digits, base)
}

// isFloat matches [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
func isFloat(s string) bool {
	mantissa, exponent := s, "0"
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent = s[:i], unsigned(s[i+1:])
	}
	whole, fraction, _ := strings.Cut(unsigned(mantissa), ".")
	return whole+fraction != "" && allDigits(whole+fraction) && exponent != "" && allDigits(exponent)
}

func unsigned(s string) string {
	if s != "" && (s[0] == '+' || s[0] == '-') {
		return s[1:]
	}
	return s
}

func allDigits(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !isDigit(r) }) < 0
}
