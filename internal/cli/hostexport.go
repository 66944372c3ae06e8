package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newHostExport(p *program) *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use: "export", Short: "Write a host's settings as a template for other hosts",
		Long: `Write a host's live migration settings as a template, YAML that "drover host apply"
reads. It has no revision and no name of a host. Keys that are taken out of it stay
as they are on the hosts that it is applied to.`,
		Example: `  drover host export --host HV01 > hosts.yaml
  drover host apply hosts.yaml --host HV02 --host HV03`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.with(ctx, t, func(a agent) error {
				s, err := a.Settings(ctx)
				if err != nil {
					return err
				}
				if p.out == jsonForm {
					return p.out.write(p.stdout, s.TemplateJSON())
				}
				_, err = fmt.Fprintf(p.stdout, "# Live migration settings, for: drover host apply FILE --host HOST\n%s", s.Template())
				return err
			})
		}),
	}
	t.flags(cmd.Flags())
	return cmd
}
