package plugin

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usage is how docker's own commands show their help, and verbs in groups
// besides, which docker's template does not know.
const usage = `Usage:
{{- if not .HasSubCommands}}  {{.CommandPath}} [OPTIONS]{{slice .Use (len .Name)}}{{else}}  {{.CommandPath}} [OPTIONS] COMMAND{{end}}

{{if ne .Long ""}}{{.Long | trimTrailingWhitespaces}}{{else}}{{.Short}}{{end}}

{{- if .HasExample}}

Examples:
{{.Example}}

{{- end}}
{{- if .HasAvailableFlags}}

Options:
{{wrappedFlagUsages . | trimTrailingWhitespaces}}

{{- end}}
{{- $all := .Commands}}
{{- range $group := .Groups}}

{{$group.Title}}
{{- range $all}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}
{{- end}}
{{- if and .HasAvailableSubCommands (not .Groups)}}

Commands:
{{- range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}
{{- end}}
{{- if .HasAvailableSubCommands}}

Run '{{.CommandPath}} COMMAND --help' for more information on a command.
{{- end}}
`

// addGroup adds verbs that the help shows together, in this order.
func addGroup(root *cobra.Command, title string, verbs ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, verb := range verbs {
		verb.GroupID = title
	}
	root.AddCommand(verbs...)
}

// formatFlag adds --format; the first value is the default.
func formatFlag(cmd *cobra.Command, format *string, values ...string) {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	last := len(quoted) - 1
	cmd.Flags().StringVar(format, "format", values[0], "Output format: "+strings.Join(quoted[:last], ", ")+" or "+quoted[last])
	complete(cmd, "format", values...)
}

// complete offers values of a flag to shells.
func complete(cmd *cobra.Command, flag string, values ...string) {
	// It fails only for a flag that is not there or was given values before.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeFiles offers pipeline files for -f.
func completeFiles(root *cobra.Command) {
	_ = root.RegisterFlagCompletionFunc("file", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
	})
}
