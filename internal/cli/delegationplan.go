package cli

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"drover/internal/delegation"
	"drover/internal/directory"
)

type delegationPlanOptions struct {
	directory directoryFlags
	intent    intentFlags
	out       string
}

func newDelegationPlan(p *program) *cobra.Command {
	var o delegationPlanOptions
	cmd := &cobra.Command{
		Use:   "plan [HOST...]",
		Short: "Show what delegation hosts have, lack and have too much",
		Long: `Compare the delegation between hosts with what moving VMs between them takes, and
show what is there, what is missing, what is too much, and the changes that make
it right. Nothing is changed. Without hosts, every computer account that carries
the name of the migration service takes part.

By default every host may delegate to every other, for the services "Microsoft
Virtual System Migration Service" and "cifs", by short and by full name, for
operators who signed in by any protocol: what the Delegation tab of Active
Directory Users and Computers sets with "Use any authentication protocol".`,
		Example: `  drover delegation plan HV01 HV02 HV03
  drover delegation plan --from hosts.txt --out plan.json
  drover delegation plan --ou OU=Hosts,DC=example,DC=org --model group
  drover delegation plan HV01 HV02 --one-way HV01:HV02 --prune`,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.runDelegationPlan(ctx, o, args)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.directory.add(cmd.Flags())
	o.intent.add(cmd.Flags())
	o.intent.addPrune(cmd.Flags())
	o.intent.complete(cmd)
	cmd.Flags().StringVar(&o.out, "out", "", "also write the plan to `FILE`, for apply")
	return cmd
}

func (p *program) runDelegationPlan(ctx context.Context, o delegationPlanOptions, args []string) error {
	return p.withDirectory(ctx, o.directory, func(c *directory.Conn) error {
		plan, _, err := o.intent.plan(ctx, p, c, args)
		if err != nil {
			return err
		}
		if o.out != "" {
			if err := writePlan(o.out, plan); err != nil {
				return err
			}
		}
		if p.out != table {
			return p.out.write(p.stdout, plan)
		}
		if err := printDelegationPlan(p.stdout, plan); err != nil {
			return err
		}
		switch {
		case plan.Empty():
		case o.out != "":
			p.screen.line("apply it with: drover delegation apply %s", o.out)
		default:
			p.screen.line("write it to a file with --out FILE, then apply it with: drover delegation apply FILE")
		}
		return nil
	})
}

func writePlan(path string, plan *delegation.Plan) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return misuse("--out %s cannot be written: %s", path, openReason(err))
	}
	werr := jsonForm.write(f, plan)
	if err := f.Close(); werr == nil {
		werr = err
	}
	return werr
}
