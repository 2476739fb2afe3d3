package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/runtime/builtin"
	"github.com/medianode/docker-medianode/schemas/pipeline"
)

func nodesCommand(e *env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "nodes [NAME]",
		Short: "List the built-in nodes; with a name, its params, ports and an example",
		Example: `  docker medianode nodes
  docker medianode nodes AudioFileSource
  docker medianode nodes --format json`,
		Args: atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := oneOf("--format", format, "table", "json"); err != nil {
				return err
			}
			all := builtin.Catalog()
			if len(args) == 0 {
				if format == "json" {
					return writeJSON(e.cli.Out(), views(all))
				}
				return listNodes(e.cli.Out(), all)
			}
			i := slices.IndexFunc(all, func(b pipeline.Builtin) bool { return b.Name == args[0] })
			if i < 0 {
				return exit(exitUsage, unknownNode(all, args[0]))
			}
			if format == "json" {
				return writeJSON(e.cli.Out(), view(all[i]))
			}
			return showNode(e.cli.Out(), all[i])
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return nodeNames(builtin.Catalog()), cobra.ShellCompDirectiveNoFileComp
		},
	}
	formatFlag(cmd, &format, "table", "json")
	return cmd
}

func nodeNames(all []pipeline.Builtin) []string {
	names := make([]string, len(all))
	for i, b := range all {
		names[i] = b.Name
	}
	return names
}

// unknownNode names what may be meant: what has the word in it, in any case.
func unknownNode(all []pipeline.Builtin, name string) string {
	var near []string
	for _, known := range nodeNames(all) {
		if strings.Contains(strings.ToLower(known), strings.ToLower(name)) {
			near = append(near, known)
		}
	}
	text := fmt.Sprintf("no built-in node is called %q", name)
	if len(near) > 0 && len(near) < len(all) {
		return text + ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return text + "\nsee 'docker medianode nodes'"
}

func listNodes(out io.Writer, all []pipeline.Builtin) error {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tINPUTS\tOUTPUTS\tDOES")
	for _, b := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", b.Name, portsBriefly(b.Inputs), portsBriefly(b.Outputs), b.Doc)
	}
	return w.Flush()
}

// portsBriefly is portList, without the middle of many: a column is as wide as
// its widest cell.
func portsBriefly(ports []pipeline.BuiltinPort) string {
	if len(ports) <= 2 {
		return portList(ports)
	}
	return ports[0].Name + " … " + portList(ports[len(ports)-1:])
}

func portList(ports []pipeline.BuiltinPort) string {
	if len(ports) == 0 {
		return "-"
	}
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = p.Name + ": " + kindOf(p)
	}
	return strings.Join(words, ", ")
}

func kindOf(p pipeline.BuiltinPort) string {
	if p.Kind == "" {
		return pipeline.KindAny
	}
	return p.Kind
}

func showNode(out io.Writer, b pipeline.Builtin) error {
	fmt.Fprintln(out, b.Name)
	if b.Doc != "" {
		fmt.Fprintf(out, "  %s\n", b.Doc)
	}
	fmt.Fprintf(out, "\nInputs:  %s\nOutputs: %s\n\n", portList(b.Inputs), portList(b.Outputs))
	if len(b.Params) > 0 {
		w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "PARAM\tTYPE\tDEFAULT\tALLOWED\tMEANS")
		for _, p := range b.Params {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Name, p.Type, defaultText(p), bounds(p), p.Doc)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	_, err := fmt.Fprint(out, "Example:\n", nodeExample(b))
	return err
}

func defaultText(p pipeline.ParamSpec) string {
	switch {
	case p.Required:
		return "required"
	case p.Default == nil:
		return "-"
	}
	return yamlScalar(p.Default)
}

func bounds(p pipeline.ParamSpec) string {
	switch {
	case len(p.Choices) > 0:
		return strings.Join(p.Choices, ", ")
	case p.Min != nil && p.Max != nil:
		return number(*p.Min) + " to " + number(*p.Max)
	case p.Min != nil:
		return "at least " + number(*p.Min)
	case p.Max != nil:
		return "at most " + number(*p.Max)
	case p.Type == pipeline.ParamPath:
		return "below the pipeline file"
	}
	return "-"
}

// number without an exponent.
func number(x float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%f", x), "0"), ".")
}

// nodeExample is a node to paste below nodes: what must be written is, what
// has a default is a comment.
func nodeExample(b pipeline.Builtin) string {
	var text strings.Builder
	fmt.Fprintf(&text, "  - id: %s\n    node_type: %s\n", exampleID(b.Name), b.Name)
	if len(b.Params) == 0 {
		return text.String()
	}
	indent := "    "
	if !slices.ContainsFunc(b.Params, func(p pipeline.ParamSpec) bool { return p.Required }) {
		indent = "    # " // a params: with nothing below it is a mistake
	}
	text.WriteString(indent + "params:\n")
	for _, p := range b.Params {
		switch {
		case p.Required:
			fmt.Fprintf(&text, "%s  %s: %s\n", indent, p.Name, sample(b, p))
		case p.Default == nil:
			fmt.Fprintf(&text, "    #   %s:\n", p.Name)
		default:
			fmt.Fprintf(&text, "    #   %s: %s\n", p.Name, yamlScalar(p.Default))
		}
	}
	return text.String()
}

// exampleID is the last word of a name: AudioFileSource gives source.
func exampleID(name string) string {
	last := strings.LastIndexFunc(name, unicode.IsUpper)
	return strings.ToLower(name[max(0, last):])
}

// sample is a value for a param that has no default.
func sample(b pipeline.Builtin, p pipeline.ParamSpec) string {
	switch {
	case p.Example != nil:
		return yamlScalar(p.Example)
	case len(p.Choices) > 0:
		return p.Choices[0]
	case p.Type == pipeline.ParamPath:
		ending := ".txt"
		switch kinds := portList(b.Inputs) + portList(b.Outputs); {
		case strings.Contains(kinds, "audio"):
			ending = ".wav"
		case strings.Contains(b.Name, "JSON"):
			ending = ".jsonl"
		}
		return "data" + ending
	case p.Type == pipeline.ParamBool:
		return "false"
	}
	return "text"
}

// yamlScalar is a default as it is written in a pipeline file.
func yamlScalar(v any) string {
	switch v := v.(type) {
	case float64:
		return number(v)
	case string:
		if v == "" {
			return `""`
		}
		return v
	}
	return fmt.Sprint(v)
}

// nodeView is a built-in as JSON.
type nodeView struct {
	Name    string      `json:"name"`
	Doc     string      `json:"doc"`
	Inputs  []portView  `json:"inputs"`
	Outputs []portView  `json:"outputs"`
	Params  []paramView `json:"params"`
}

type portView struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

type paramView struct {
	Name     string   `json:"name"`
	Doc      string   `json:"doc"`
	Type     string   `json:"type"`
	Required bool     `json:"required"`
	Default  any      `json:"default,omitempty"`
	Choices  []string `json:"choices,omitempty"`
	Min      *float64 `json:"min,omitempty"`
	Max      *float64 `json:"max,omitempty"`
}

func views(all []pipeline.Builtin) []nodeView {
	list := make([]nodeView, len(all))
	for i, b := range all {
		list[i] = view(b)
	}
	return list
}

func view(b pipeline.Builtin) nodeView {
	v := nodeView{Name: b.Name, Doc: b.Doc, Inputs: portViews(b.Inputs), Outputs: portViews(b.Outputs), Params: []paramView{}}
	for _, p := range b.Params {
		v.Params = append(v.Params, paramView{
			Name: p.Name, Doc: p.Doc, Type: string(p.Type), Required: p.Required, Default: p.Default, Choices: p.Choices, Min: p.Min, Max: p.Max,
		})
	}
	return v
}

func portViews(ports []pipeline.BuiltinPort) []portView {
	list := []portView{}
	for _, p := range ports {
		list = append(list, portView{p.Name, kindOf(p)})
	}
	return list
}

// writeJSON writes a value for programs, readable for people too.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
