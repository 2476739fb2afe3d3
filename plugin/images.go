package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate/image/cache"
	"github.com/medianode/docker-medianode/generate/image/store"
)

func imagesCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "images",
		Short: "Look into the image cache, tidy it up",
		Long: `Look into the image cache, tidy it up.

Images of nodes are kept in the engine. What they were made of, when and by whom
they were used and what went wrong is kept in a small database beside it:
$XDG_CACHE_HOME/remotemedia/image_cache.db, or REMOTEMEDIA_IMAGE_CACHE_PATH. After
each build the images that were used longest ago are removed until 50 are left, or
REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE.`,
		Example: `  docker medianode images ls
  docker medianode images ls --filter status=failed
  docker medianode images inspect medianode/asr:8b6c1f0e2d3a
  docker medianode images prune --keep 10`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(imagesListCommand(e), imagesInspectCommand(e), imagesPruneCommand(e), imagesImportCommand(e))
	return cmd
}

func imagesListCommand(e *env) *cobra.Command {
	var format string
	var filters []string
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List the images of nodes, those used last first",
		Long: `List the images of nodes, those used last first; failed builds with the reason.

--filter name=TEXT (part of the name), tag=TEXT, status=available|building|failed,
key=TEXT (its beginning), age=DURATION (not used for that long: 36h, 7d). Several
filters must all hold.`,
		Example: `  docker medianode images ls --filter name=asr
  docker medianode images ls --filter age=7d --format json | jq -r '.[].image'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			match, err := imageFilter(filters, time.Now())
			if err != nil {
				return err
			}
			return e.listImages(cmd.Context(), match, format)
		},
	}
	cmd.Flags().StringArrayVar(&filters, "filter", nil, "Show only some: name, tag, status, key or age = VALUE")
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

// imageView is an image for people and programs.
type imageView struct {
	Image      string       `json:"image"`
	Status     store.Status `json:"status"`
	Why        string       `json:"why,omitempty"`
	ID         string       `json:"id,omitempty"`
	Key        string       `json:"key,omitempty"`
	Size       int64        `json:"size"` // bytes
	Created    *time.Time   `json:"created,omitempty"`
	LastUsed   *time.Time   `json:"last_used,omitempty"`
	UsedBy     []string     `json:"used_by"`    // project/node
	Containers []string     `json:"containers"` // that were made of it
}

func viewImage(e cache.Entry) imageView {
	stamp := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return imageView{
		Image: e.Ref, Status: e.Status, Why: e.Why, ID: e.Row.ImageID, Key: e.Row.Key, Size: e.Row.Size,
		Created: stamp(e.Row.Created), LastUsed: stamp(e.Row.LastUsed),
		UsedBy: append([]string{}, e.Row.UsedBy...), Containers: append([]string{}, e.Containers...),
	}
}

// imageEntries are the images of the engine that answers.
func (e *env) imageEntries(ctx context.Context) (entries []cache.Entry, err error) {
	c, done, err := e.engineCache(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, done()) }()
	return c.Images(ctx)
}

func (e *env) listImages(ctx context.Context, match func(cache.Entry) bool, format string) error {
	entries, err := e.imageEntries(ctx)
	if err != nil {
		return err
	}
	views := []imageView{} // not null
	for _, entry := range entries {
		if match(entry) {
			views = append(views, viewImage(entry))
		}
	}
	if format == "json" {
		return writeJSON(e.cli.Out(), views)
	}
	w := tabwriter.NewWriter(e.cli.Out(), 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tSTATUS\tSIZE\tCREATED\tLAST USED\tUSED BY")
	for _, v := range views {
		size := "-"
		if v.Size > 0 {
			size = units.BytesSize(float64(v.Size))
		}
		used := strings.Join(v.UsedBy, ", ")
		if len(v.Containers) > 0 {
			used += " (now: " + strings.Join(v.Containers, ", ") + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", v.Image, v.Status, size, ago(v.Created), ago(v.LastUsed), cmp.Or(strings.TrimSpace(used), "-"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range views {
		if v.Why != "" {
			fmt.Fprintf(e.cli.Out(), "  %s: %s\n", v.Image, v.Why)
		}
	}
	return nil
}

func ago(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return units.HumanDuration(time.Since(*t)) + " ago"
}

// imageFilter is what --filter asks for.
func imageFilter(filters []string, now time.Time) (func(cache.Entry) bool, error) {
	var tests []func(cache.Entry) bool
	for _, f := range filters {
		name, value, ok := strings.Cut(f, "=")
		if !ok || value == "" {
			return nil, exit(exitUsage, fmt.Sprintf("--filter %q: want name=VALUE, tag=, status=, key= or age=", f))
		}
		switch name {
		case "name":
			tests = append(tests, func(e cache.Entry) bool { return strings.Contains(e.Row.Name, value) })
		case "tag":
			tests = append(tests, func(e cache.Entry) bool { return e.Row.Tag == value })
		case "key":
			tests = append(tests, func(e cache.Entry) bool { return strings.HasPrefix(e.Row.Key, value) })
		case "status":
			if err := oneOf("--filter status", value, string(store.Available), string(store.Building), string(store.Failed)); err != nil {
				return nil, err
			}
			tests = append(tests, func(e cache.Entry) bool { return string(e.Status) == value })
		case "age":
			age, err := parseAge(value)
			if err != nil {
				return nil, exit(exitUsage, fmt.Sprintf("--filter %q: want a duration such as 90m, 36h or 7d", f))
			}
			tests = append(tests, func(e cache.Entry) bool { return now.Sub(e.Row.LastUsed) >= age })
		default:
			return nil, exit(exitUsage, fmt.Sprintf("--filter %q: there is no %s; want name, tag, status, key or age", f, name))
		}
	}
	return func(e cache.Entry) bool {
		return !slices.ContainsFunc(tests, func(test func(cache.Entry) bool) bool { return !test(e) })
	}, nil
}

// parseAge is a duration, also in days.
func parseAge(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	d, err := time.ParseDuration(s)
	if err == nil && d < 0 {
		err = errors.New("negative")
	}
	return d, err
}

func imagesInspectCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "inspect IMAGE...",
		Short:   "Show what is known of images as JSON: recipe, packages, code, uses",
		Example: "  docker medianode images inspect medianode/asr:8b6c1f0e2d3a\n  docker medianode images inspect medianode/asr      # all of this name",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit(exitUsage, fmt.Sprintf("%s needs the name of an image, as in 'images ls'\nsee '%s --help'", cmd.CommandPath(), cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return e.inspectImages(cmd.Context(), args) },
	}
}

// imageDetail is an image with all that is known of it.
type imageDetail struct {
	imageView
	Digest       string          `json:"digest,omitempty"`
	Platform     string          `json:"platform,omitempty"`
	Python       string          `json:"python_version,omitempty"`
	Base         string          `json:"base_image,omitempty"`
	BaseID       string          `json:"base_id,omitempty"`
	Iceoryx2     string          `json:"iceoryx2,omitempty"`
	BuildConfig  json.RawMessage `json:"build_config,omitempty"`
	Dependencies json.RawMessage `json:"dependencies,omitempty"`
}

func (e *env) inspectImages(ctx context.Context, names []string) error {
	entries, err := e.imageEntries(ctx)
	if err != nil {
		return err
	}
	var details []imageDetail
	for _, name := range names {
		found := false
		for _, entry := range entries {
			row := entry.Row
			if name != entry.Ref && name != row.Name && name != row.ImageID && name != row.Key {
				continue
			}
			found = true
			details = append(details, imageDetail{
				imageView: viewImage(entry), Digest: row.Digest, Platform: row.Platform, Python: row.PythonVersion, Base: row.BaseImage,
				BaseID: row.BaseDigest, Iceoryx2: row.Iceoryx2, BuildConfig: raw(row.BuildConfig), Dependencies: raw(row.Dependencies),
			})
		}
		if !found {
			return exit(exitFailed, fmt.Sprintf("no image %s; 'docker medianode images ls' lists them", name))
		}
	}
	return writeJSON(e.cli.Out(), details)
}

// raw is text that is JSON already; what an import brought may be other text.
func raw(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	return nil
}
