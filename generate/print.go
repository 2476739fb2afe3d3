package generate

import (
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/medianode/docker-medianode/runtime/channel"
)

// String is the plan for people: what is built, what is allocated and what
// runs, and why.
func (p *Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "project %s: %s (%s), %s, %s\n", p.Name,
		count(len(p.Nodes), "node"), count(len(p.Images), "container"), count(p.connections(), "connection"), count(p.Sessions, "session"))
	p.printImages(&b)
	p.printChannels(&b)
	p.printServices(&b)
	fmt.Fprintf(&b, "\nshared memory  %s (%d bytes)\n", size(p.SharedMemory), p.SharedMemory)
	return b.String()
}

func (p *Plan) printImages(b *strings.Builder) {
	if len(p.Images) == 0 {
		return
	}
	rows := [][]string{{"IMAGE", "NODE", "BASE", "PACKAGES", "CODE"}}
	for _, img := range p.Images {
		code, files := int64(0), 0
		for _, f := range img.Context {
			if strings.HasPrefix(f.Path, "app/") {
				code += int64(len(f.Data))
				files++
			}
		}
		d := p.Node(img.Node).docker
		packages := "-"
		if len(d.PythonPackages) > 0 {
			packages = strings.Join(texts(d.PythonPackages), " ")
		}
		if len(d.SystemDependencies) > 0 {
			packages += " + " + strings.Join(texts(d.SystemDependencies), " ")
		}
		rows = append(rows, []string{img.Ref, img.Node, img.Base, packages, fmt.Sprintf("%s, %s", count(files, "file"), size(code))})
	}
	table(b, rows)
}

func (p *Plan) printChannels(b *strings.Builder) {
	rows := [][]string{{"CHANNEL", "READERS", "MAX FRAME", "BUFFER+HOLD", "POLICY", "SHARED MEMORY"}}
	var why []string
	for _, c := range p.Channels {
		name := strings.ReplaceAll(c.Name, channel.SessionMark, "<session>")
		var readers, buffers []string
		for _, r := range c.Readers {
			readers = append(readers, r.Node+"."+r.Port)
			buffers = append(buffers, fmt.Sprintf("%d+%d", r.Buffer, r.Hold))
		}
		bytes := size(int64(c.Sizes.Total()))
		if c.Count > 1 {
			bytes += fmt.Sprintf(" x %d", c.Count)
		}
		rows = append(rows, []string{name, strings.Join(readers, ", "), size(int64(c.MaxFrame)), strings.Join(buffers, ", "), c.Policy.String(), bytes})
		if c.Why != "" && !c.Service {
			why = append(why, "  "+name+" is "+c.Why)
		}
	}
	if len(rows) == 1 {
		return
	}
	table(b, rows)
	for _, w := range why {
		b.WriteString(w + "\n")
	}
}

func (p *Plan) printServices(b *strings.Builder) {
	rows := [][]string{{"NODE", "TYPE", "RUNS", "MEMORY", "PUBLISHES", "CPUS", "NETWORK"}}
	for _, n := range p.Nodes {
		row := []string{n.ID, n.Type, "in the runtime", "-", size(n.Publishes), "-", "-"}
		if n.Container {
			row[2], row[6] = "service "+n.Service, n.docker.Network.V
			if n.Limits.Memory > 0 {
				row[3] = size(n.Limits.Memory)
			}
			if n.Limits.CPUs > 0 {
				row[5] = strconv.FormatFloat(n.Limits.CPUs, 'g', -1, 64)
			}
		}
		rows = append(rows, row)
	}
	table(b, rows)
}

func (p *Plan) connections() int {
	sum := 0
	for _, n := range p.Nodes {
		sum += len(n.Inputs)
	}
	return sum
}

func table(b *strings.Builder, rows [][]string) {
	b.WriteByte('\n')
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	if err := w.Flush(); err != nil { // a strings.Builder takes all
		panic(err)
	}
	for line := range strings.Lines(text.String()) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size is bytes for people, in powers of 1024.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(n), 0
	for value >= 1024 && unit < len(units)-1 {
		value, unit = value/1024, unit+1
	}
	text := strconv.FormatFloat(value, 'f', 1, 64)
	return strings.TrimSuffix(text, ".0") + " " + units[unit]
}
