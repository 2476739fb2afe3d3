package plugin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/generate/image/base"
	"github.com/medianode/docker-medianode/runtime/iox"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func baseCheckCommand(e *env) *cobra.Command {
	var python, format string
	var system []string
	cmd := &cobra.Command{
		Use:   "check IMAGE",
		Short: "Say whether nodes can be built on an image, and why not",
		Long: `Say whether nodes can be built on an image, and why not. The image is pulled if
the engine does not have it; its python3 is run once, in a container without
network, rights and files of this machine. Exit code 1 if it does not fit.`,
		Example: `  docker medianode base check team/media:1
  docker medianode base check --python 3.12 --system ffmpeg debian:12
  docker medianode base check --format json team/media:1 | jq .findings`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return exit(exitUsage, "base check: which image?\nsee '"+cmd.CommandPath()+" --help'")
			}
			return atMostOne(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			ctx, _, done := interruptible(cmd.Context(), leftAsItIs)
			defer done()
			return interrupted(ctx, e.baseCheck(ctx, args[0], baseOptions{Python: python, System: system}, format))
		},
	}
	cmd.Flags().StringVar(&python, "python", "", "Version of Python that nodes want (default: the image's own)")
	cmd.Flags().StringArrayVar(&system, "system", nil, "Debian package that nodes want; may be given again")
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

// finding is one of base.Judge for programs.
type finding struct {
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

func (e *env) baseCheck(ctx context.Context, ref string, o baseOptions, format string) error {
	o.From = ref
	wanted := o.Python
	if wanted == "" {
		o.Python = pipeline.DefaultPythonVersion // until the image's own is known
	}
	d, err := o.docker()
	if err != nil {
		return err
	}
	if _, err := e.engine(ctx); err != nil {
		return err
	}
	need := baseNeed(d)
	need.UID = e.nodeUID()
	facts, err := e.prober(need.UID, base.Memory{}).Probe(ctx, ref)
	if err != nil {
		return err
	}
	if wanted == "" && facts.Python != nil && supported(facts.Python.Version) {
		need.Python = facts.Python.Minor()
	}
	found := base.Judge(facts, need)
	if format == "json" {
		err = checkJSON(e.cli.Out(), ref, need, facts, found)
	} else {
		err = checkText(e.cli.Out(), ref, need, facts, found)
	}
	if err == nil && !base.Fits(found) {
		err = exit(exitFailed, ref+" is no base for nodes with Python "+need.Python)
	}
	return err
}

// supported says whether nodes may have the Python of this version.
func supported(version string) bool {
	_, err := baseOptions{Python: (&base.Python{Version: version}).Minor()}.docker()
	return err == nil
}

// baseNeed is what a node asks of its base, whatever engine it is for.
func baseNeed(d *pipeline.Docker) base.Need {
	need := base.Need{Python: d.PythonVersion.V, Iceoryx2: iox.Version}
	for _, list := range [][]pipeline.Value[string]{d.SystemDependencies, d.BuildDependencies} {
		for _, v := range list {
			need.Debian = append(need.Debian, v.V)
		}
	}
	return need
}

func checkJSON(w io.Writer, ref string, need base.Need, facts base.Facts, found []base.Finding) error {
	list := []finding{} // not null
	for _, f := range found {
		list = append(list, finding{f.Severity.String(), f.Message, f.Hint})
	}
	return writeJSON(w, struct {
		Image    string     `json:"image"`
		Python   string     `json:"python"`
		Fits     bool       `json:"fits"`
		Findings []finding  `json:"findings"`
		Facts    base.Facts `json:"facts"`
	}{ref, need.Python, base.Fits(found), list, facts})
}

func checkText(w io.Writer, ref string, need base.Need, facts base.Facts, found []base.Finding) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, text string) { fmt.Fprintf(t, "%s\t%s\n", name, base.Line(text)) }
	row("image", ref+", "+facts.ID)
	row("platform", facts.Config.OS+"/"+facts.Config.Arch)
	if p := facts.Python; p != nil {
		row("Python", fmt.Sprintf("%s %s, %s", p.Implementation, p.Version, p.Path))
		row("libc", libc(p))
		row("iceoryx2", cmp.Or(p.Iceoryx2, "none: nodes bring "+iox.Version))
		environment := "none: builds make one"
		if p.Venv != "" {
			environment = "/opt/venv, Python " + p.Venv + ": builds go on with it"
		}
		row("environment", environment)
	}
	row("user", cmp.Or(facts.Config.User, "root")+": nodes set their own")
	if len(facts.Config.Entrypoint) > 0 {
		row("entrypoint", strings.Join(facts.Config.Entrypoint, " ")+": nodes set their own")
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range found {
		fmt.Fprintf(&b, "\n%s: %s\n", f.Severity, f.Message)
		if f.Hint != "" {
			fmt.Fprintf(&b, "    = hint: %s\n", f.Hint)
		}
	}
	if base.Fits(found) {
		fmt.Fprintf(&b, "\n%s is a base for nodes with Python %s\n", ref, need.Python)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func libc(p *base.Python) string {
	switch {
	case p.Glibc != "":
		return "glibc " + p.Glibc
	case p.Musl:
		return "musl"
	}
	return "unknown"
}
