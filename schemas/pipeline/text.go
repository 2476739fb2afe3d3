package pipeline

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// shown is how much of a user's text a message repeats.
const shown = 60

// maxEffort bounds the search for a near word: a stranger's file may hold many
// long ids and many slips.
const maxEffort = 4096

// quote puts user text into a message: what is not printable, also a bidi
// control or a terminal escape, appears as a Go escape.
func quote(s string) string {
	return strconv.Quote(cut(s))
}

// cut looks at the beginning only: a text may be as long as the file.
func cut(s string) string {
	if len(s) <= shown {
		return s
	}
	n := 0
	for i := range s {
		if n++; n > shown {
			return s[:i] + "…"
		}
	}
	return s
}

// printable escapes only where it must, for text that reads better bare.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return strings.Trim(strconv.Quote(s), `"`)
		}
	}
	return s
}

// joinPath appends a mapping's key to a path.
func joinPath(path, key string) string {
	if len(key) > shown || !isWord(key) {
		return path + "[" + quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// joinIndex appends a list's index to a path.
func joinIndex(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func isWord(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !isAlnum(r) && r != '_' && r != '-'
	}) < 0
}

func isAlpha(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }
func isDigit(r rune) bool { return '0' <= r && r <= '9' }
func isAlnum(r rune) bool { return isAlpha(r) || isDigit(r) }

// list writes a, b or c.
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// nearest returns the known word that s is most likely a slip of, or "".
func nearest(s string, known []string) string {
	best, found := max(1, min(3, len(s)/3))+1, ""
	if len(s) > shown || len(s)*len(known) > maxEffort {
		return ""
	}
	low := strings.ToLower(strings.ReplaceAll(s, "-", "_"))
	for _, k := range known {
		d := distance(low, strings.ToLower(strings.ReplaceAll(k, "-", "_")))
		if d < best {
			best, found = d, k
		}
	}
	if found == "" && len(s) > 3 {
		begins := func(k string) bool { return strings.HasPrefix(k, low+"_") }
		if i := slices.IndexFunc(known, begins); i >= 0 {
			return known[i]
		}
		// sample_rate for rate: the last word, where no other key begins or ends so.
		if i := slices.IndexFunc(known, func(k string) bool { return len(k) > 2 && strings.HasSuffix(low, "_"+k) }); i >= 0 {
			return known[i]
		}
	}
	return found
}

// didYouMean is the hint for a slip, else what could have been written.
func didYouMean(s string, known []string) string {
	if k := nearest(s, known); k != "" {
		return "did you mean " + quote(k) + "?"
	}
	if len(known) == 0 || len(known) > 24 {
		return ""
	}
	return "known: " + strings.Join(known, ", ")
}

// distance counts edits, with two swapped letters as one (optimal string
// alignment): swaps are the most frequent slip of a keyboard.
func distance(s, t string) int {
	a, b := []rune(s), []rune(t)
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
