package pipeline

import (
	"slices"
	"strings"
)

const (
	distName  = `[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`
	clause    = `(?:===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9][A-Za-z0-9.!+_-]*(?:\.\*)?`
	clauses   = clause + `(?:\s*,\s*` + clause + `)*`
	markerVar = `(?:python_version|python_full_version|os_name|sys_platform|platform_release|platform_system|` +
		`platform_version|platform_machine|platform_python_implementation|implementation_name|implementation_version|extra)`
	markerText      = `(?:'[^'"\\]*'|"[^'"\\]*")`
	markerOp        = `(?:===|==|~=|!=|<=|>=|<|>|\s(?:not\s+in|in)\s)`
	requirementExpr = `\s*(` + distName + `)\s*(\[\s*(?:` + distName + `(?:\s*,\s*` + distName + `)*)?\s*\])?\s*` +
		`(?:` + clauses + `|\(\s*` + clauses + `\s*\))?\s*`
	comparison = `(?:` + markerVar + `\s*` + markerOp + `\s*` + markerText + `|` + markerText + `\s*` + markerOp + `\s*` + markerVar + `)`
)

var (
	requirementPattern = pattern(requirementExpr)
	comparisonPattern  = pattern(`\s*` + comparison + `\s*`)
)

// checkRequirement allows a name with extras, versions and markers, as PEP 508
// has them. The rest of what pip reads (options, files, URLs) could fetch and
// run anything, so none of it passes.
func checkRequirement(s string) (string, string) {
	if bad, hint := oneLine(s); bad != "" {
		return bad, hint
	}
	spec, marker, marked := strings.Cut(s, ";")
	const elsewhere = "name a package of the index, or list a wheel file of the project in wheels"
	const hint = "such as numpy, numpy==2.1.0 or httpx[http2]>=0.27,<1"
	switch {
	case len(s) > maxMatch:
		return "is too long", ""
	case strings.HasPrefix(strings.TrimSpace(s), "-") || strings.Contains(s, " --"):
		return "is an option of pip, which is not allowed here", "list the packages themselves, " + hint
	case strings.HasSuffix(spec, ".txt"):
		return "is a file", "list the packages themselves, " + hint
	case requirementPattern().MatchString(strings.Replace(spec, "@", "==", 1)) && strings.Contains(spec, "@"):
		return "is not a package", "write " + strings.Replace(spec, "@", "==", 1)
	case strings.Contains(s, "://") || strings.Contains(spec, "@"):
		return "is a URL, which is not allowed here", elsewhere
	case strings.ContainsAny(spec, `/\`) || strings.HasSuffix(spec, ".whl"):
		return "is a path, which is not allowed here", elsewhere
	case requirementPattern().MatchString(spec):
	default:
		return "is not a package", requirementHint(spec, hint)
	}
	if marked && !isMarker(marker) {
		return "has a marker that is not PEP 508", `such as numpy; python_version < "3.11"`
	}
	return "", ""
}

func requirementHint(spec, hint string) string {
	if name, version, ok := strings.Cut(spec, "="); ok && !strings.ContainsAny(name, "=<>!~") && !strings.HasPrefix(version, "=") {
		if fixed := name + "==" + version; requirementPattern().MatchString(fixed) {
			return "write " + fixed
		}
	}
	if parts := strings.Fields(spec); len(parts) == 2 && requirementPattern().MatchString(parts[0]+"=="+parts[1]) && isDigit(rune(parts[1][0])) {
		return "write " + parts[0] + "==" + parts[1]
	} else if len(parts) > 1 && !slices.ContainsFunc(parts, func(p string) bool { return !requirementPattern().MatchString(p) }) {
		return "write each package as an item of its own"
	}
	return hint
}

// isMarker splits at and, or and parentheses outside quotes; what is between
// them must be comparisons, and the parentheses must match.
func isMarker(s string) bool {
	wantTerm, open, start := true, 0, 0
	var quoted byte
	term := func(end int) bool {
		text := s[start:end]
		if strings.TrimSpace(text) == "" {
			return true
		}
		ok := wantTerm && comparisonPattern().MatchString(text)
		wantTerm = false
		return ok
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quoted != 0:
			if c == quoted {
				quoted = 0
			}
		case c == '"' || c == '\'':
			quoted = c
		case c == '(' || c == ')':
			if !term(i) || wantTerm != (c == '(') {
				return false
			}
			start = i + 1
			if open++; c == ')' {
				open -= 2
			}
			if open < 0 {
				return false
			}
		default:
			n := conjunction(s, i)
			if n == 0 {
				continue
			}
			if !term(i) || wantTerm {
				return false
			}
			wantTerm, start, i = true, i+n, i+n-1
		}
	}
	return quoted == 0 && term(len(s)) && !wantTerm && open == 0
}

// conjunction returns the length of a whole word and, or or, at i.
func conjunction(s string, i int) int {
	bounded := func(n int) bool {
		return (i == 0 || !isNameByte(s[i-1])) && (i+n == len(s) || !isNameByte(s[i+n]))
	}
	if strings.HasPrefix(s[i:], "and") && bounded(3) {
		return 3
	}
	if strings.HasPrefix(s[i:], "or") && bounded(2) {
		return 2
	}
	return 0
}

func isNameByte(c byte) bool { return isAlnum(rune(c)) || c == '_' }

// distribution is the name two spellings of a package share (PEP 503), with the
// marker: the same package may be asked for twice under two conditions.
func distribution(s string) string {
	spec, marker, _ := strings.Cut(s, ";")
	m := requirementPattern().FindStringSubmatch(spec)
	if m == nil {
		return s
	}
	var b strings.Builder
	for _, part := range strings.FieldsFunc(strings.ToLower(m[1]), func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		if b.Len() > 0 {
			b.WriteByte('-')
		}
		b.WriteString(part)
	}
	if marker = strings.Join(strings.Fields(marker), " "); marker != "" {
		b.WriteString("; " + marker)
	}
	return b.String()
}
