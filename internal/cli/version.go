package cli

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"drover/internal/version"
)

// versionInfo is the JSON form of `drover version`.
type versionInfo struct {
	version.Info
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Show the version of this program",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			v := versionInfo{version.Get(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
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
