package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate/image/cache"
)

type pruneOptions struct {
	keep   int
	all    bool
	others bool
	dryRun bool
	format string
}

func imagesPruneCommand(e *env) *cobra.Command {
	o := pruneOptions{keep: -1}
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove the images that were used longest ago",
		Long: `Remove the images that were used longest ago from the engine and from the cache,
until 50 are left, or REMOTEMEDIA_IMAGE_CACHE_MAX_SIZE, or what --keep says. An image
that a container was made of, or that is being built, stays; so do images that were
not used through this cache, unless --others is given: somebody else may need them.`,
		Example: `  docker medianode images prune --dry-run
  docker medianode images prune --keep 10
  docker medianode images prune --all
  docker medianode images prune --all --others --dry-run`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--format", o.format, "table", "json"); err != nil {
				return err
			}
			switch set := cmd.Flags().Changed("keep"); {
			case set && o.all:
				return exit(exitUsage, "--all and --keep say different things: give one of them")
			case set && o.keep < 0:
				return exit(exitUsage, fmt.Sprintf("--keep %d: want 0 or more", o.keep))
			}
			return e.pruneImages(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.all, "all", "a", false, "Remove all that no container uses, as --keep 0")
	flags.BoolVar(&o.others, "others", false, "Also images that were not used through this cache, such as another user's")
	flags.IntVar(&o.keep, "keep", -1, "How many stay (default: what is kept after builds)")
	flags.BoolVar(&o.dryRun, "dry-run", false, "Show what would be removed")
	formatFlag(cmd, &o.format, "table", "json")
	return cmd
}

func (e *env) pruneImages(ctx context.Context, o pruneOptions) (err error) {
	c, done, err := e.engineCache(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	keep := c.Keep
	if o.all {
		keep = 0
	} else if o.keep >= 0 {
		keep = o.keep
	}
	gone, failure := c.Prune(ctx, cache.Selection{Keep: keep, Foreign: o.others, DryRun: o.dryRun})
	if !o.dryRun {
		failure = errors.Join(failure, c.Store.Vacuum(ctx))
	}
	if o.format == "json" {
		if gone == nil {
			gone = []cache.Removed{} // not null
		}
		return errors.Join(failure, writeJSON(e.cli.Out(), gone))
	}
	verb := "removed"
	if o.dryRun {
		verb = "would remove"
	}
	var size int64
	for _, r := range gone {
		size += r.Size
		fmt.Fprintln(e.cli.Out(), verb, r.Ref)
	}
	if len(gone) == 0 {
		fmt.Fprintln(e.cli.Err(), "nothing to remove")
	} else {
		fmt.Fprintf(e.cli.Err(), "%s, %s with the layers that images share\n", count(len(gone), "image"), units.BytesSize(float64(size)))
	}
	return failure
}

func imagesImportCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "import FILE",
		Short: "Bring rows of an older cache, a JSON file, into this one",
		Long: `Bring rows of an older cache, a JSON file with an array or an object of images,
into this one: all of them or, if one is wrong, none. A row is believed only as far
as the engine has its image. FILE may be - for standard input.`,
		Example: "  docker medianode images import old-cache.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return exit(exitUsage, fmt.Sprintf("%s needs one FILE\nsee '%s --help'", cmd.CommandPath(), cmd.CommandPath()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return e.importImages(cmd.Context(), args[0]) },
	}
}

// maxImport is more than a cache of any size takes.
const maxImport = 64 << 20

func (e *env) importImages(ctx context.Context, file string) (err error) {
	in := io.Reader(e.cli.In())
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return exit(exitFailed, err.Error())
		}
		defer f.Close() // nothing was written
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err != nil {
		return exit(exitFailed, err.Error())
	}
	if len(data) > maxImport {
		return exit(exitFailed, fmt.Sprintf("%s: more than %s", file, units.BytesSize(maxImport)))
	}
	m, _ := e.machine(ctx) // without an engine the rows are of none
	c, done, err := e.imageCache(ctx, m.engineID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	n, err := c.Store.Import(ctx, data, m.engineID)
	if err != nil {
		return exit(exitFailed, strings.TrimSpace(file+": "+err.Error()))
	}
	fmt.Fprintf(e.cli.Err(), "%s: %s imported; what was known before stays as it was\n", file, count(n, "image"))
	return nil
}
