package image

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/docker/cli/cli/config/configfile"
	bk "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/secrets/secretsprovider"
	"github.com/moby/moby/client"
	"github.com/tonistiigi/fsutil"

	"github.com/medianode/docker-medianode/generate"
)

// Engine is the part of the engine's client that builds need.
type Engine interface {
	ClientVersion() string
	DialHijack(ctx context.Context, url, proto string, meta map[string][]string) (net.Conn, error)
	ImageInspect(ctx context.Context, ref string, opts ...client.ImageInspectOption) (client.ImageInspectResult, error)
}

// BuildKit builds with the BuildKit inside the engine.
type BuildKit struct {
	Engine Engine
	// CA is a file of certificates in PEM that downloads during the build trust;
	// no image and no cache key has a trace of it. Empty: those of the base image.
	CA string
	// Proxy holds HTTP_PROXY, HTTPS_PROXY, NO_PROXY and the like; they leave no
	// trace either.
	Proxy map[string]string
	// Credentials are those of registries; nil: none.
	Credentials *configfile.ConfigFile
	// Progress shows what happens; nil: nothing is shown.
	Progress *Progress
	// Options are those of the command.
	Options Options
	// Gzip compresses layers for engines and registries of long ago. Without it
	// they are compressed with zstd: smaller, and in a fraction of the time.
	Gzip bool
}

// secretCA is the name by which the Dockerfiles ask for the certificates.
const secretCA = "ca"

// Build makes one image. A failure of the build itself is a *BuildError.
func (b BuildKit) Build(ctx context.Context, img generate.Image) (ID, error) {
	opt, err := b.options(img)
	if err != nil {
		return "", fmt.Errorf("build %s: %w", img.Node, err)
	}
	// Asked for before the build: if the base changes meanwhile, the image counts
	// as one of the old base and is built again.
	if base, err := b.Engine.ImageInspect(ctx, img.Base); err == nil {
		opt.FrontendAttrs["label:"+BaseLabel] = base.ID
	} else if !errdefs.IsNotFound(err) {
		return "", fmt.Errorf("build %s: look for %s: %w", img.Node, img.Base, err)
	}
	c, err := b.dial(ctx)
	if err != nil {
		return "", fmt.Errorf("build %s: connect to the engine's BuildKit: %w", img.Node, err)
	}
	watch := newWatch(img.Node, b.Progress)
	_, err = c.Solve(ctx, nil, opt, watch.updates)
	<-watch.done // Solve closes updates on every way out
	if err != nil {
		err = watch.failure(err)
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return "", err
	}
	got, err := b.Engine.ImageInspect(ctx, img.Ref)
	if err != nil {
		return "", fmt.Errorf("build %s: the image is not there after its build: %w", img.Node, err)
	}
	return ID(got.ID), nil
}

func (b BuildKit) dial(ctx context.Context) (*bk.Client, error) {
	return bk.New(ctx, "",
		bk.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return b.Engine.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		bk.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return b.Engine.DialHijack(ctx, "/session", proto, meta)
		}))
}

func (b BuildKit) options(img generate.Image) (bk.SolveOpt, error) {
	attrs := map[string]string{
		"filename":                    "Dockerfile",
		"label:" + KeyLabel:           img.Key,
		"build-arg:SOURCE_DATE_EPOCH": "0",
	}
	if img.Platform != "" {
		attrs["platform"] = img.Platform
	}
	for name, value := range b.Proxy {
		attrs["build-arg:"+name] = value
	}
	export := map[string]string{"name": img.Ref, "compression": "zstd"}
	if b.Gzip {
		export["compression"] = "gzip"
	}
	attached, err := b.attached()
	if err != nil {
		return bk.SolveOpt{}, err
	}
	opt := bk.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: attrs, Session: attached,
		// BuildKit sends only what differs in size or time from what it has under
		// this name. All our times are equal, so the name must change with the bytes.
		SharedKey: b.sharedKey(img),
		LocalMounts: map[string]fsutil.FS{
			"context":    newTree(img.Context),
			"dockerfile": newTree([]generate.File{{Path: "Dockerfile", Mode: 0o644, Data: img.Dockerfile}}),
		},
		Exports: []bk.ExportEntry{{Type: "moby", Attrs: export}},
	}
	b.Options.caches(img.Node, &opt, func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	})
	return opt, nil
}

// sharedKey is new each time where no cache is wanted: what BuildKit keeps under a
// name may be what is damaged.
func (b BuildKit) sharedKey(img generate.Image) string {
	if b.Options.NoCache {
		return img.Key + "-" + identity.NewID()
	}
	return img.Key
}

// attached are the services that the build may call back for.
func (b BuildKit) attached() ([]session.Attachable, error) {
	secrets := map[string][]byte{}
	if b.CA != "" {
		pem, err := os.ReadFile(b.CA)
		if err != nil {
			return nil, fmt.Errorf("certificates for the build: %w", err)
		}
		if len(pem) > secretsprovider.MaxSecretSize {
			return nil, fmt.Errorf("certificates for the build: %s has %d bytes, more than BuildKit's %d", b.CA, len(pem), secretsprovider.MaxSecretSize)
		}
		secrets[secretCA] = pem
	}
	out := []session.Attachable{secretsprovider.FromMap(secrets)}
	if b.Credentials != nil {
		out = append(out, authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
			AuthConfigProvider: authprovider.LoadAuthConfig(b.Credentials),
		}))
	}
	return out, nil
}

// ProxyFromEnv picks the proxy settings out of an environment, as the engine's
// own builds take them. The values must not reach an image.
func ProxyFromEnv(environ []string) map[string]string {
	out := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY":
			if value != "" {
				out[name] = value
			}
		}
	}
	return out
}
