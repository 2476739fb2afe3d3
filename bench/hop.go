//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// path is one way of a frame to another process and back.
type path struct {
	name string
	how  string // poll; or block, which is measured paced too
	work []work
	peer string // what it is compared with
	open func(ctx context.Context, s *site, data *payload) (link, error)
}

// paths are all ways. A socket copies in any case, and so does a node of the
// SDK that returns the frame it got.
func paths(image string) []path {
	var all []path
	for _, how := range []string{"poll", "block"} {
		all = append(all,
			path{"Go → Go", how, []work{alone, touched}, "socket Go → Go", func(ctx context.Context, s *site, data *payload) (link, error) {
				l, err := s.shm(data, how == "poll")
				if err != nil {
					return nil, err
				}
				return l, s.process(ctx, "shm", s.domain.Root, s.domain.Prefix, s.dir, how)
			}},
			path{"Go → Python SDK", how, []work{copied, touched}, "Go → wheel by hand", func(ctx context.Context, s *site, data *payload) (link, error) {
				l, err := s.shm(data, how == "poll")
				if err != nil {
					return nil, err
				}
				return l, s.sdk(ctx, image, how)
			}},
			path{"Go → wheel by hand", how, []work{alone, copied, touched}, "", func(ctx context.Context, s *site, data *payload) (link, error) {
				l, err := s.shm(data, how == "poll")
				if err != nil {
					return nil, err
				}
				return l, s.wheel(ctx, image, l, how)
			}},
		)
	}
	return append(all,
		path{"socket Go → Go", "block", []work{copied, touched}, "", func(ctx context.Context, s *site, data *payload) (link, error) {
			return s.socket(ctx, data, func(path string) error { return s.process(ctx, "socket", path) })
		}},
		path{"socket Go → Python", "block", []work{copied, touched}, "", func(ctx context.Context, s *site, data *payload) (link, error) {
			return s.socket(ctx, data, func(string) error {
				_, err := s.container(ctx, image, nil, "python", "/app/socket_echo.py", "/socket/s", strconv.Itoa(limit))
				return err
			})
		}},
	)
}

// key is a line of the table.
type key struct {
	size, path, how string
	work            work
}

// pause is slept before each trip of a paced journey: long enough for the other
// end to have fallen asleep, as it has between two frames of media.
const pause = 2 * time.Millisecond

// trips are the times of a line: half a round trip, by round.
type trips map[key][][]time.Duration

// hop measures every path in turns, so that what else the machine does falls on
// all of them.
func hop(ctx context.Context, w io.Writer, rounds int, short bool, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	image, err := hopImage(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "One hop: half a round trip, %d rounds, every path in each, one end on each of two cores.\n\n", rounds)
	if err := floors(ctx, w, rounds); err != nil {
		return err
	}
	pin("0")
	defer unpin()
	all, data := trips{}, newPayload(limit)
	defer all.print(w, paths(image)) // also what there is if it is interrupted
	for range rounds {
		for _, p := range paths(image) {
			if err := all.measure(ctx, p, data, short, wanted); err != nil {
				return fmt.Errorf("%s, %s: %w", p.name, p.how, err)
			}
		}
	}
	return nil
}

func (all trips) measure(ctx context.Context, p path, data *payload, short bool, wanted *regexp.Regexp) error {
	chosen := slices.DeleteFunc(sizes(), func(z size) bool { return !wanted.MatchString(p.name + ", " + p.how + ", " + z.name) })
	if len(chosen) == 0 {
		return nil
	}
	s, err := newSite()
	defer s.close()
	if err != nil {
		return err
	}
	l, err := p.open(ctx, s, data)
	if err != nil {
		return err
	}
	defer l.close()
	for _, z := range chosen {
		count := z.trips
		if short {
			count = max(10, count/4)
		}
		for _, k := range p.work {
			each, err := journey(ctx, l, z.bytes, k, count, 0)
			if err != nil {
				return fmt.Errorf("%s %s: %w", z.name, k, err)
			}
			name := key{z.name, p.name, p.how, k}
			all[name] = append(all[name], each)
			if p.how == "poll" {
				continue
			}
			if each, err = journey(ctx, l, z.bytes, k, min(count, 200), pause); err != nil {
				return fmt.Errorf("%s %s: %w", z.name, k, err)
			}
			name.how = "paced"
			all[name] = append(all[name], each)
		}
	}
	return nil
}

// journey is a number of trips, after some that do not count.
func journey(ctx context.Context, l link, n int, k work, count int, pause time.Duration) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var each []time.Duration
	for i := range count + count/5 {
		if pause > 0 {
			time.Sleep(pause)
		}
		began := time.Now()
		if err := l.trip(ctx, n, k); err != nil {
			return nil, err
		}
		if i >= count/5 {
			each = append(each, time.Since(began)/2)
		}
	}
	return each, nil
}

// medians are those of each round.
func (all trips) medians(k key) []time.Duration {
	var m []time.Duration
	for _, round := range all[k] {
		m = append(m, median(round))
	}
	return m
}

// ratio is the median of the rounds' ratios, and their range.
func (all trips) ratio(k key, peer string) string {
	p := key{k.size, peer, k.how, k.work}
	if strings.HasPrefix(peer, "socket") {
		if p.how == "poll" {
			p.how = "block"
		}
		if k.work == alone {
			p.work = copied
		}
	}
	mine, theirs := all.medians(k), all.medians(p)
	if len(mine) == 0 || len(mine) != len(theirs) {
		return ""
	}
	var each []float64
	for i := range mine {
		each = append(each, float64(mine[i])/float64(theirs[i]))
	}
	return fmt.Sprintf("%.2fx of %s (%.2f-%.2f)", median(each), peer, slices.Min(each), slices.Max(each))
}

func (all trips) print(w io.Writer, ways []path) {
	for _, z := range sizes() {
		t := newTable(z.name, "waits by", "payload", "p50", "p99", "ratio")
		lines := len(t.rows)
		for _, how := range []string{"poll", "block", "paced"} {
			for _, k := range []work{alone, copied, touched} {
				for _, p := range ways {
					name := key{z.name, p.name, how, k}
					if rounds := all[name]; len(rounds) > 0 && (p.how == "poll") == (how == "poll") {
						t.row(p.name, how, k, median(all.medians(name)), quantile(slices.Concat(rounds...), 0.99), all.ratio(name, p.peer))
					}
				}
			}
		}
		if len(t.rows) > lines {
			t.print(w)
		}
	}
	fmt.Fprint(w, `alone: nobody touches the payload. copied: the other end copies what came into what goes, as a
socket and a node that returns its frame always do. touched: besides, each sender writes and each
receiver reads every byte. By poll both ends only look; by block they look for some microseconds
and then sleep, and the wheel by hand sleeps at once; paced is block with a pause before each trip,
so that the other end has to be woken. The SDK runs in a container under its own
runner, the wheel and the socket in the same image. Ratios are of the rounds' medians.

`)
}

// hopImage builds the image of bench/hop and returns its name.
func hopImage(ctx context.Context) (string, error) {
	dir, err := benchDir("hop")
	if err != nil {
		return "", err
	}
	if _, err := docker(ctx, dir, "medianode", "build", "--progress", "quiet"); err != nil {
		return "", err
	}
	temp, err := os.MkdirTemp("", "hop")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if _, err := docker(ctx, dir, "medianode", "generate", "-o", temp); err != nil {
		return "", err
	}
	return imageOf(filepath.Join(temp, "compose.yaml"))
}

// imageOf is the image of the only service of a compose file.
func imageOf(compose string) (string, error) {
	text, err := os.ReadFile(compose)
	if err != nil {
		return "", err
	}
	found := regexp.MustCompile(`(?m)^ +image: (\S+)$`).FindSubmatch(text)
	if found == nil {
		return "", fmt.Errorf("no image in %s", compose)
	}
	return string(found[1]), nil
}
