package builtin

import (
	"testing"
)

func pattern(t testing.TB, width, height int, format string) testPatternSource {
	t.Helper()
	_, s, err := prepare("TestPatternSource", map[string]any{"width": width, "height": height, "format": format}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return patternSource(s)
}

func BenchmarkPicture(b *testing.B) {
	for _, format := range []string{"rgb24", "i420"} {
		b.Run(format, func(b *testing.B) {
			p := newPicture(pattern(b, 1920, 1080, format))
			to := make([]byte, p.size)
			b.SetBytes(int64(p.size))
			for n := int64(0); b.Loop(); n++ {
				p.draw(to, n)
			}
		})
	}
}
