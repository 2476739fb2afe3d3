package generate

import (
	"fmt"
	"slices"
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
		count(len(p.Nodes), "node"), count(p.containers(), "container"), count(p.connections(), "connection"), count(p.Sessions, "session"))
	p.printImages(&b)
	p.printShared(&b)
	p.printChannels(&b)
	p.printServices(&b)
	p.printMounts(&b)
	fmt.Fprintf(&b, "\nshared memory  %s (%d bytes)", size(p.SharedMemory), p.SharedMemory)
	if p.Sessions > 1 {
		fmt.Fprintf(&b, ", for %s", count(p.Sessions, "session"))
	}
	b.WriteByte('\n')
	return b.String()
}

func (p *Plan) printImages(b *strings.Builder) {
	if p.containers() == 0 {
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
		if len(d.Wheels) > 0 {
			packages = strings.TrimPrefix(packages+" ", "- ") + strings.Join(wheelFiles(d.Wheels), " ")
		}
		if len(d.SystemDependencies) > 0 {
			packages += " + " + strings.Join(texts(d.SystemDependencies), " ")
		}
		rows = append(rows, []string{img.Ref, img.Node, img.Base, packages, fmt.Sprintf("%s, %s", count(files, "file"), size(code))})
	}
	for _, n := range p.Nodes {
		if n.Finished {
			rows = append(rows, []string{n.Image, n.ID, "as it is", "-", "-"})
		}
	}
	table(b, rows)
	for _, img := range p.Images {
		if len(img.Left) > 0 {
			fmt.Fprintf(b, "  %s: left out of its code: %s\n", img.Node, some(img.Left))
		}
	}
}

func (p *Plan) printShared(b *strings.Builder) {
	rows := [][]string{{"MADE ONCE", "FOR"}}
	for _, s := range p.Shared() {
		rows = append(rows, []string{s.What, strings.Join(s.Nodes, ", ")})
	}
	if len(rows) > 1 {
		table(b, rows)
	}
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
	for _, n := range p.Nodes {
		if remarks := n.remarks(); len(remarks) > 0 {
			fmt.Fprintf(b, "  %s: %s\n", n.ID, strings.Join(remarks, "; "))
		}
	}
}

// remarks are what a node has that most have not.
func (n *Node) remarks() []string {
	var out []string
	if n.Side {
		out = append(out, "no connections: runs beside the pipeline until it ends")
	}
	if n.TimeoutMS > 0 {
		out = append(out, fmt.Sprintf("%d ms a frame", n.TimeoutMS))
	}
	if n.Restart.Policy != "" && n.Restart.Policy != "no" {
		text := "restart " + n.Restart.Policy
		if n.Restart.MaxAttempts > 0 {
			text += fmt.Sprintf(", at most %d", n.Restart.MaxAttempts)
		}
		if n.Restart.WindowS > 0 {
			text += fmt.Sprintf(" in %d s", n.Restart.WindowS)
		}
		out = append(out, text)
	}
	if slices.ContainsFunc(n.Inputs, func(in channel.Input) bool {
		return in.Slot < len(in.Channel.Readers) && in.Channel.Readers[in.Slot].Retry
	}) {
		out = append(out, "frames in flight are given again after a crash")
	}
	for _, in := range n.Inputs {
		if in.Wait != "" {
			out = append(out, fmt.Sprintf("waits for %s.%s by %s", in.Source, in.SourcePort, in.Wait))
		}
	}
	if n.docker == nil {
		return out
	}
	if len(n.docker.GPUDevices) > 0 {
		out = append(out, "GPU "+strings.Join(texts(n.docker.GPUDevices), ", "))
	}
	if len(n.docker.EnvFrom) > 0 {
		out = append(out, "from the caller's environment: "+strings.Join(texts(n.docker.EnvFrom), ", "))
	}
	return out
}

func (p *Plan) printMounts(b *strings.Builder) {
	rows := [][]string{{"MOUNT", "NODE", "AT", "ACCESS"}}
	for _, n := range p.Nodes {
		for _, m := range n.Mounts {
			access := "read-write"
			if m.ReadOnly {
				access = "read-only"
			}
			if m.Allowed {
				access += ", outside the project by --allow-mount"
			}
			rows = append(rows, []string{m.Source, n.ID, m.Target, access})
		}
	}
	if len(rows) > 1 {
		table(b, rows)
	}
}

func (p *Plan) containers() int {
	sum := 0
	for _, n := range p.Nodes {
		if n.Container {
			sum++
		}
	}
	return sum
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
