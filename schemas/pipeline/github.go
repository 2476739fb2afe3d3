package pipeline

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// GitHub writes each diagnostic as a workflow command, one a line, which a CI
// of GitHub shows at the line of the file that a pull request changes.
func (ds Diagnostics) GitHub(w io.Writer) error {
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	var b bytes.Buffer
	for _, d := range ds {
		text := d.Message
		if d.Path != "" {
			text = d.Path + ": " + text
		}
		if d.Hint != "" {
			text += "\nhint: " + d.Hint
		}
		fmt.Fprintf(&b, "::%s file=%s,line=%d,col=%d::%s\n",
			d.Severity, property.Replace(printable(d.File)), d.Pos.Line, d.Pos.Col, data.Replace(text))
	}
	_, err := w.Write(b.Bytes())
	return err
}
