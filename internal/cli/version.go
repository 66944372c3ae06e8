package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is set when a release is built: -ldflags "-X drover/internal/cli.release=0.1.0".
var release = ""

// versionInfo is the JSON form of `drover version`.
type versionInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			v := buildVersion()
			if p.out != table {
				return p.out.write(p.stdout, v)
			}
			commit := v.Commit
			if v.Modified {
				commit += " with changes"
			}
			if commit != "" {
				commit = " (" + commit + ")"
			}
			_, err := fmt.Fprintf(p.stdout, "drover %s%s, %s, %s\n", v.Version, commit, v.Go, v.Platform)
			return err
		},
	}
}

func buildVersion() versionInfo {
	v := versionInfo{Version: release, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if v.Version == "" {
		v.Version = "devel"
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}
