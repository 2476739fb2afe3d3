package store

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// The variables of the environment that say where the cache is and how many
// images it keeps.
const (
	EnvPath    = "REMOTEMEDIA_IMAGE_CACHE_PATH"
	EnvMaxSize = "REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE"
)

const defaultMaxImages = 50

// DefaultPath is where the cache is: what REMOTEMEDIA_IMAGE_CACHE_PATH says,
// else remotemedia/image_cache.db below %LOCALAPPDATA% (Windows) or below
// $XDG_CACHE_HOME or ~/.cache. It touches no file. An error names the variable
// and says what to write.
func DefaultPath(getenv func(string) string, goos string) (string, error) {
	if file := getenv(EnvPath); file != "" {
		return file, checkPath(EnvPath, file, goos)
	}
	if goos == "windows" {
		dir := getenv("LOCALAPPDATA")
		if dir == "" {
			return "", fmt.Errorf("LOCALAPPDATA is not set: the image cache has no place; set %s to the absolute path of a file", EnvPath)
		}
		return strings.TrimRight(dir, `\/`) + `\remotemedia\image_cache.db`, checkDir("LOCALAPPDATA", dir, goos)
	}
	if dir := getenv("XDG_CACHE_HOME"); dir != "" {
		return path.Join(dir, "remotemedia", "image_cache.db"), checkDir("XDG_CACHE_HOME", dir, goos)
	}
	home := getenv("HOME")
	if home == "" {
		return "", fmt.Errorf("neither XDG_CACHE_HOME nor HOME is set: the image cache has no place; set %s to the absolute path of a file", EnvPath)
	}
	return path.Join(home, ".cache", "remotemedia", "image_cache.db"), checkDir("HOME", home, goos)
}

// MaxImages is how many images the cache keeps: what
// REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE says, else 50.
func MaxImages(getenv func(string) string) (int, error) {
	text := getenv(EnvMaxSize)
	if text == "" {
		return defaultMaxImages, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%s=%s: want how many images to keep, 1 or more, such as %d", EnvMaxSize, text, defaultMaxImages)
	}
	return n, nil
}

func checkPath(variable, file, goos string) error {
	switch {
	case !absolute(file, goos):
		return fmt.Errorf("%s=%s: want an absolute path of a file, such as %s", variable, file, example(goos))
	case strings.HasSuffix(file, "/") || goos == "windows" && strings.HasSuffix(file, `\`):
		return fmt.Errorf("%s=%s: names a directory: want a file, such as %s", variable, file, example(goos))
	case strings.ContainsRune(file, 0):
		return fmt.Errorf("%s: has a zero byte: want an absolute path of a file", variable)
	}
	return nil
}

func checkDir(variable, dir, goos string) error {
	if !absolute(dir, goos) {
		return fmt.Errorf("%s=%s: want an absolute path; or set %s to that of a file, such as %s", variable, dir, EnvPath, example(goos))
	}
	return nil
}

func example(goos string) string {
	if goos == "windows" {
		return `C:\cache\image_cache.db`
	}
	return "/var/tmp/image_cache.db"
}

// absolute is filepath.IsAbs for a system that is not necessarily this one.
func absolute(file, goos string) bool {
	if goos != "windows" {
		return strings.HasPrefix(file, "/")
	}
	if strings.HasPrefix(file, `\\`) {
		return true
	}
	if len(file) < 3 || file[1] != ':' || file[2] != '\\' && file[2] != '/' {
		return false
	}
	drive := file[0] | 0x20
	return drive >= 'a' && drive <= 'z'
}
