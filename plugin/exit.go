package plugin

import (
	"github.com/docker/cli/cli"
)

// Exit codes of every verb.
const (
	exitFailed      = 1   // the pipeline is wrong or failed
	exitUsage       = 2   // the command line is wrong
	exitInterrupted = 130 // Ctrl-C, as shells have it
)

// exit is an error that prints text and ends the process with code.
func exit(code int, text string) error { return cli.StatusError{StatusCode: code, Status: text} }
