package image_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/docker/cli/cli/config/types"
	"github.com/moby/moby/client"

	"github.com/medianode/docker-medianode/generate"
	"github.com/medianode/docker-medianode/generate/image"
)

// login is a docker config that has been logged in to a registry.
func login(t *testing.T, address string) *configfile.ConfigFile {
	t.Helper()
	c := configfile.New(filepath.Join(t.TempDir(), "config.json"))
	c.AuthConfigs[address] = types.AuthConfig{ServerAddress: address, Username: "ci", Password: "secret"}
	return c
}

func push(t *testing.T, c *client.Client, img generate.Image, ref string, credentials *configfile.ConfigFile) (string, error) {
	t.Helper()
	auth, err := command.RetrieveAuthTokenFromImage(credentials, ref)
	if err != nil {
		t.Fatal(err)
	}
	return image.Push(t.Context(), c, img, image.Target{Ref: ref, Auth: auth, Temporary: true}, nil)
}

// traced builds, and gives the steps with whether each came from a cache.
func traced(t *testing.T, kit image.BuildKit, list []generate.Image) map[string]bool {
	t.Helper()
	var log bytes.Buffer
	var err error
	if kit.Progress, err = image.NewProgress(&log, "json"); err != nil {
		t.Fatal(err)
	}
	if _, err = image.BuildAll(t.Context(), kit, list, 0); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if err := kit.Progress.Close(); err != nil {
		t.Fatal(err)
	}
	type step struct {
		name   string
		cached bool
	}
	last := map[string]step{} // by digest: a name changes
	for d := json.NewDecoder(&log); d.More(); {
		var status struct {
			Vertexes []struct {
				Digest, Name string
				Cached       bool
			}
		}
		if err := d.Decode(&status); err != nil {
			t.Fatal(err)
		}
		for _, v := range status.Vertexes {
			last[v.Digest] = step{v.Name, last[v.Digest].cached || v.Cached}
		}
	}
	steps := map[string]bool{}
	for _, s := range last {
		steps[s.name] = s.cached
	}
	return steps
}

// A second engine, with an empty store and no network but the registry, builds
// what the first one has built, and runs no step of it.
func TestSecondEngineBuildsFromRegistryCache(t *testing.T) {
	first := engine(t)
	address := registry(t)
	second := secondEngine(t, address)
	credentials := login(t, address)
	own := address + "/base/python:3.11-slim"
	if _, err := push(t, first, generate.Image{Node: "base", Ref: base}, own, credentials); err != nil {
		t.Fatal(err)
	}
	list := images(t, unique(), "base_image: '"+own+"', python_packages: [six==1.16.0]", "base_image: '"+own+"'")
	remove(t, first, list)
	cache, err := image.ParseCacheTo("type=registry,mode=max,ref="+address+"/cache:main", os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	kit := builder(t, first, nil)
	kit.Credentials = credentials
	kit.Options = image.Options{CacheTo: []image.Cache{cache}, CacheFrom: []image.Cache{cache}}
	if err := kit.Able(t.Context()); err != nil {
		t.Skip(err)
	}
	began := time.Now()
	for step := range traced(t, kit, list) {
		if strings.Contains(step, "importing cache manifest from") {
			t.Errorf("a cache that is not there yet is told as %q", step)
		}
	}
	t.Logf("the first engine built and wrote the cache in %v", time.Since(began))

	kit.Engine = second
	kit.Options.CacheTo = nil
	began = time.Now()
	steps := traced(t, kit, list)
	t.Logf("the second engine had both after %v", time.Since(began))
	ran := 0
	for step, cached := range steps {
		_, instruction, ok := strings.Cut(step, "] [")
		if !ok || strings.Contains(instruction, " FROM ") || strings.HasPrefix(instruction, "internal]") {
			continue
		}
		if ran++; !cached {
			t.Errorf("not from the cache: %s", step)
		}
	}
	if ran < 10 {
		t.Errorf("%d steps only: %v", ran, steps)
	}
	t.Run("push", func(t *testing.T) { pushes(t, second, list[0], address, credentials) })
}

// pushes brings an image to the registry, with credentials and without.
func pushes(t *testing.T, c *client.Client, img generate.Image, address string, credentials *configfile.ConfigFile) {
	ref := image.PushRef(address+"/team/pipe", img)
	if want := address + "/team/pipe/node0:" + img.Key[:12]; ref != want {
		t.Errorf("got %s, want %s", ref, want)
	}
	_, err := push(t, c, img, ref, configfile.New(""))
	if err == nil || !strings.Contains(err.Error(), "log in with 'docker login "+address+"'") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without credentials: %v", err)
	}
	digest, err := push(t, c, img, ref, credentials)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodHead, fmt.Sprintf("http://%s/v2/team/pipe/node0/manifests/%s", address, img.Key[:12]), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.SetBasicAuth("ci", "secret")
	r.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Docker-Content-Digest"); response.StatusCode != http.StatusOK || digest == "" || got != digest {
		t.Errorf("%s, digest %q, want %q", response.Status, got, digest)
	}
	if _, err := c.ImageInspect(t.Context(), ref); err == nil {
		t.Error("the engine still knows it by the registry's name")
	}
	if _, err := c.ImageInspect(t.Context(), img.Ref); err != nil {
		t.Error(err)
	}
}
