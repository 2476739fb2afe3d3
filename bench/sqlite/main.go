// Command sqlite measures the image cache beside other SQLite drivers, on the
// same file and with the same statements, in one run on one machine.
//
//	make bench-sqlite
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/medianode/docker-medianode/generate/image/store"
)

// A pipeline of 20 nodes and a full cache.
const (
	nodes  = 20
	images = 50
)

// cache is what is compared.
type cache interface {
	lookUp(ctx context.Context, refs []store.Ref) (int, error)
	upsert(ctx context.Context, row store.Row) error
	Close() error
}

// subject opens a cache; whoever has another way to know images adds one.
type subject struct {
	name string
	open func(ctx context.Context, path string) (cache, error)
}

// figures are medians, in nanoseconds.
type figures struct {
	Name     string
	Cold     time.Duration // open, look 20 up, close
	LookUp1  time.Duration
	LookUp20 time.Duration
	Upsert   time.Duration
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rounds := flag.Int("rounds", 15, "rounds, interleaved")
	asJSON := flag.Bool("json", false, "figures as JSON, in nanoseconds")
	flag.Parse()
	if err := run(ctx, os.Stdout, *rounds, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "bench sqlite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, w io.Writer, rounds int, asJSON bool) error {
	dir, err := os.MkdirTemp("", "bench-sqlite")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	refs := make([]store.Ref, nodes)
	for i := range refs {
		refs[i] = row(i).Ref()
	}
	all := subjects()
	samples := make([][]figures, len(all))
	for round := range rounds + 1 {
		for i, s := range all {
			got, err := measure(ctx, s, filepath.Join(dir, fmt.Sprintf("%d.db", i)), refs)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 { // the first one warms up
				samples[i] = append(samples[i], got)
			}
		}
	}
	results := make([]figures, len(all))
	for i, s := range all {
		results[i] = figures{
			s.name,
			median(samples[i], func(f figures) time.Duration { return f.Cold }),
			median(samples[i], func(f figures) time.Duration { return f.LookUp1 }),
			median(samples[i], func(f figures) time.Duration { return f.LookUp20 }),
			median(samples[i], func(f figures) time.Duration { return f.Upsert }),
		}
	}
	if asJSON {
		return json.NewEncoder(w).Encode(results)
	}
	return table(w, results)
}

func table(w io.Writer, results []figures) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "%d images in the cache\tCOLD: OPEN, %d NODES, CLOSE\tLOOK 1 UP\tLOOK %d UP\tUPSERT\n", images, nodes, nodes)
	for _, r := range results {
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", r.Name, micro(r.Cold), micro(r.LookUp1), micro(r.LookUp20), micro(r.Upsert))
	}
	return out.Flush()
}

func micro(d time.Duration) string {
	return fmt.Sprintf("%.1f us", float64(d)/float64(time.Microsecond))
}

// measure takes one round of a subject. Its file is made by the store, so that
// all have the same schema and rows.
func measure(ctx context.Context, s subject, path string, refs []store.Ref) (f figures, err error) {
	if err := fill(ctx, path); err != nil {
		return f, err
	}
	if f.Cold, err = per(10, func() error {
		c, err := s.open(ctx, path)
		if err != nil {
			return err
		}
		return errors.Join(look(ctx, c, refs), c.Close())
	}); err != nil {
		return f, err
	}
	c, err := s.open(ctx, path)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if f.LookUp1, err = per(100, func() error { return look(ctx, c, refs[:1]) }); err != nil {
		return f, err
	}
	if f.LookUp20, err = per(20, func() error { return look(ctx, c, refs) }); err != nil {
		return f, err
	}
	f.Upsert, err = per(50, func() error { return c.upsert(ctx, row(0)) })
	return f, err
}

func look(ctx context.Context, c cache, refs []store.Ref) error {
	n, err := c.lookUp(ctx, refs)
	if err == nil && n != len(refs) {
		err = fmt.Errorf("found %d of %d images", n, len(refs))
	}
	return err
}

// per is the median of so many calls.
func per(n int, f func() error) (time.Duration, error) {
	took := make([]time.Duration, n)
	for i := range took {
		begun := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		took[i] = time.Since(begun)
	}
	slices.Sort(took)
	return took[n/2], nil
}

func median(samples []figures, of func(figures) time.Duration) time.Duration {
	values := make([]time.Duration, len(samples))
	for i, s := range samples {
		values[i] = of(s)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func fill(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	s, err := store.Open(ctx, path)
	if err != nil {
		return err
	}
	rows := make([]store.Row, images)
	for i := range rows {
		rows[i] = row(i)
	}
	return errors.Join(s.Put(ctx, rows...), s.Close())
}

func row(i int) store.Row {
	hash := strings.Repeat("1f2e3d4c", 8)
	return store.Row{
		Name: fmt.Sprintf("medianode/node-%d", i), Tag: hash[:12], ImageID: "sha256:" + hash, Digest: "sha256:" + hash,
		Size: 191 << 20, Created: time.Unix(1e9, 0), LastUsed: time.Unix(1e9, 0),
		BuildConfig:  `{"dockerfile":"` + strings.Repeat(`RUN --mount=type=cache,target=/root/.cache true\n`, 30) + `"}`,
		Dependencies: `{"system":["libsndfile1"],"python":["numpy==2.3.5","soundfile==0.13.1"]}`, PythonVersion: "3.11",
		BaseImage: "python:3.11-slim", Status: store.Available, Key: hash, Platform: "linux/amd64", EngineID: hash[:36],
		Iceoryx2: "0.10.0", BaseDigest: "sha256:" + hash,
	}
}
