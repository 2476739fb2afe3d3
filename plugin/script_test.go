package plugin_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/docker/cli/cli-plugins/metadata"
	dockerplugin "github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/plugin"
)

// updating says whether the test writes what the commands print into testdata.
// The flag may be there already: a library below compose brings one.
func updating() bool { return flag.Lookup("update").Value.String() == "true" }

// The test binary is also the plugin: whoever runs it by the plugin's name, the
// docker CLI included, runs the code under test.
func TestMain(m *testing.M) {
	if flag.Lookup("update") == nil {
		flag.Bool("update", false, "write what the commands print into testdata")
	}
	// Under -race a program sleeps for a second before it ends, and these run hundreds.
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", "atexit_sleep_ms=50")
	}
	testscript.Main(m, map[string]func(){"docker-medianode": medianode})
}

// medianode is what main does.
func medianode() {
	if dockerplugin.RunningStandalone() {
		os.Args = append([]string{"docker", "medianode"}, os.Args[1:]...)
	}
	dockerplugin.Run(
		func(cli command.Cli) *cobra.Command { return plugin.Command(cli, "v0.0.0-test") },
		metadata.Metadata{SchemaVersion: "0.1.0", Vendor: "medianode", Version: "v0.0.0-test"},
	)
}

// TestScript runs the command line as its user does; what needs an engine says
// so at its top.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: updating(), RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "SSL_CERT_FILE", "PIP_CERT", "GORACE"} {
				env.Setenv(name, os.Getenv(name))
			}
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("PROJECT", project("script"))
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "docker":
				return !testing.Short() && answers(), nil
			case "root":
				return os.Getuid() == 0, nil
			}
			return false, fmt.Errorf("no condition %q", name)
		},
		// exit CODE command...: runs a command to an exit code.
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exit": exitCode},
	})
}

// exitCode is the script command "exit CODE COMMAND ARGUMENT...": stdout and
// stderr are the command's.
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exit CODE COMMAND ARGUMENT...")
	}
	err := ts.Exec(args[1], args[2:]...)
	code := "0"
	if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // as Exec has it
		code = exit.ProcessState.String()[len("exit status "):]
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// answers says whether there is an engine.
func answers() bool {
	return exec.Command("docker", "version", "--format", "{{.Server.Version}}").Run() == nil
}
