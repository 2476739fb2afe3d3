package store

import (
	"strings"
	"testing"
)

func TestDefaultPath(t *testing.T) {
	for _, c := range []struct {
		goos, env string
		want      string // a path, or a part of the error after "!"
	}{
		{"linux", "HOME=/home/me", "/home/me/.cache/remotemedia/image_cache.db"},
		{"darwin", "HOME=/Users/me", "/Users/me/.cache/remotemedia/image_cache.db"},
		{"linux", "HOME=/home/me XDG_CACHE_HOME=/var/c/", "/var/c/remotemedia/image_cache.db"},
		{"linux", "HOME=/home/me REMOTEMEDIA_IMAGE_CACHE_PATH=/tmp/x.db", "/tmp/x.db"},
		{"linux", "REMOTEMEDIA_IMAGE_CACHE_PATH=x.db", "!REMOTEMEDIA_IMAGE_CACHE_PATH=x.db: want an absolute path of a file, such as /"},
		{"linux", "REMOTEMEDIA_IMAGE_CACHE_PATH=~/x.db", "!want an absolute path"},
		{"linux", "REMOTEMEDIA_IMAGE_CACHE_PATH=/tmp/", "!names a directory"},
		{"linux", "XDG_CACHE_HOME=cache", "!XDG_CACHE_HOME=cache: want an absolute path; or set REMOTEMEDIA_IMAGE_CACHE_PATH"},
		{"linux", "", "!neither XDG_CACHE_HOME nor HOME is set"},
		{"windows", `LOCALAPPDATA=C:\Users\me\AppData\Local HOME=/home/me XDG_CACHE_HOME=/x`, `C:\Users\me\AppData\Local\remotemedia\image_cache.db`},
		{"windows", `REMOTEMEDIA_IMAGE_CACHE_PATH=\\server\share\x.db`, `\\server\share\x.db`},
		{"windows", `REMOTEMEDIA_IMAGE_CACHE_PATH=d:/x.db`, `d:/x.db`},
		{"windows", `REMOTEMEDIA_IMAGE_CACHE_PATH=/x.db`, `!want an absolute path of a file, such as C:\`},
		{"windows", `REMOTEMEDIA_IMAGE_CACHE_PATH=C:\x\`, `!names a directory`},
		{"windows", "", "!LOCALAPPDATA is not set"},
	} {
		got, err := DefaultPath(environment(c.env), c.goos)
		if part, bad := strings.CutPrefix(c.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s %q: %v, want %q", c.goos, c.env, err, part)
			}
		} else if got != c.want || err != nil {
			t.Errorf("%s %q: %q, %v, want %q", c.goos, c.env, got, err, c.want)
		}
	}
}

func TestMaxImages(t *testing.T) {
	for text, want := range map[string]int{"": 50, "1": 1, "200": 200, "0": 0, "-1": 0, "many": 0, "5.5": 0, "99999999999999999999": 0} {
		got, err := MaxImages(environment("REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE=" + text))
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if err != nil && err.Error() != "REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE="+text+": want how many images to keep, 1 or more, such as 50" {
			t.Error(err)
		}
	}
}

func environment(text string) func(string) string {
	env := map[string]string{}
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, "=")
		env[name] = value
	}
	return func(name string) string { return env[name] }
}
