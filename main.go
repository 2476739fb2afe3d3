// Command docker-medianode is the Docker CLI plugin "docker medianode". It runs
// as well by its own name.
package main

import (
	"os"

	"github.com/docker/cli/cli-plugins/metadata"
	dockerplugin "github.com/docker/cli/cli-plugins/plugin"
	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"

	"github.com/medianode/docker-medianode/plugin"
)

// version is set by the linker.
var version = "dev"

func main() {
	if dockerplugin.RunningStandalone() {
		os.Args = append([]string{"docker", "medianode"}, os.Args[1:]...)
	}
	dockerplugin.Run(
		func(cli command.Cli) *cobra.Command { return plugin.Command(cli, version) },
		metadata.Metadata{
			SchemaVersion: "0.1.0", // CLIs before 28.4.1 take no other
			Vendor:        "medianode",
			Version:       version,
		},
		command.WithUserAgent("medianode/"+version),
	)
}
