package cache

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image/store"
)

// config is what the store keeps of a recipe, as JSON.
type config struct {
	Dockerfile string          `json:"dockerfile"`
	Inputs     generate.Inputs `json:"inputs"`
}

// row is what the store keeps of an image that the engine has.
func (c *Cache) row(img generate.Image, found tagged) store.Row {
	inputs := img.Inputs()
	row := c.labelled(img.Ref, found)
	row.Created = time.Now().UTC()
	row.Key, row.Platform, row.BaseImage = img.Key, img.Platform, img.Base
	row.PythonVersion, row.Iceoryx2 = inputs.PythonVersion, inputs.Iceoryx2Version
	row.BuildConfig = encoded(config{string(img.Dockerfile), inputs})
	row.Dependencies = encoded(map[string][]string{
		"system": inputs.SystemDependencies, "build": inputs.BuildDependencies, "python": inputs.PythonPackages,
	})
	return row
}

// labelled is what the engine alone tells of an image.
func (c *Cache) labelled(ref string, found tagged) store.Row {
	r := refOf(ref)
	return store.Row{
		Name: r.Name, Tag: r.Tag, Status: store.Available, EngineID: c.EngineID, Key: found.key,
		ImageID: string(found.id), Digest: found.digest, Size: found.size, Created: found.created, BaseDigest: found.base,
	}
}

// encoded is a value as JSON; the values here are strings and lists of them.
func encoded(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// inputs are those that a row's image was made of; false: it does not say.
func inputs(row store.Row) (generate.Inputs, bool) {
	var c config
	err := json.Unmarshal([]byte(row.BuildConfig), &c)
	return c.Inputs, err == nil && c.Dockerfile != ""
}

func refOf(ref string) store.Ref {
	colon := strings.LastIndexByte(ref, ':')
	return store.Ref{Name: ref[:colon], Tag: ref[colon+1:]}
}

func refsOf(images []generate.Image) []store.Ref {
	out := make([]store.Ref, len(images))
	for i, img := range images {
		out[i] = refOf(img.Ref)
	}
	return out
}
