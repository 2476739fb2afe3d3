package doctor

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Text writes findings for people; paint puts a text into an ANSI colour.
func Text(w io.Writer, findings []Finding, paint func(code, text string) string) error {
	wide := 0
	for _, f := range findings {
		wide = max(wide, len(f.Check))
	}
	var b strings.Builder
	counts := map[Status]int{}
	for _, f := range findings {
		counts[f.Status]++
		code := map[Status]string{OK: "32", Warn: "33", Fail: "31;1"}[f.Status]
		fmt.Fprintf(&b, "%s  %-*s  %s\n", paint(code, fmt.Sprintf("%-4s", f.Status)), wide, f.Check, f.Found)
		if f.Do != "" {
			fmt.Fprintf(&b, "      %*s  = %s\n", wide, "", f.Do)
		}
	}
	fmt.Fprintf(&b, "\n%d checks: %d ok, %d warn, %d fail\n", len(findings), counts[OK], counts[Warn], counts[Fail])
	_, err := io.WriteString(w, b.String())
	return err
}

func size(n int64) string {
	x, unit := float64(n), "B"
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if x < 1024 {
			break
		}
		x, unit = x/1024, u
	}
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0") + " " + unit
}

// version is major, minor and patch.
type version [3]int

// parseVersion reads 1.2.3 out of "v1.2.3-rc.1+unknown".
func parseVersion(text string) (version, bool) {
	text, _, _ = strings.Cut(strings.TrimPrefix(text, "v"), "+")
	text, _, _ = strings.Cut(text, "-")
	text, _, _ = strings.Cut(text, "~")
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return version{}, false
	}
	var v version
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return version{}, false
		}
		v[i] = n
	}
	return v, true
}

// below says whether a version is older than the one that was mended in its
// line; a line between two of them is as old as the next one above is new.
func (v version) below(mended []string) bool {
	for i, text := range mended {
		m, ok := parseVersion(text)
		if !ok {
			continue
		}
		last := i == len(mended)-1
		if last || v[0] < m[0] || (v[0] == m[0] && v[1] <= m[1]) {
			return v.less(m)
		}
	}
	return false
}

func (v version) less(o version) bool {
	for i := range v {
		if v[i] != o[i] {
			return v[i] < o[i]
		}
	}
	return false
}
