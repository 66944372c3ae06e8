package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

type ticketOptions struct {
	target  target
	service string
}

func newTicket(p *program) *cobra.Command {
	return parent("ticket", "Look at an agent's Kerberos tickets", newTicketList(p), newTicketPurge(p))
}

func newTicketList(p *program) *cobra.Command {
	var o ticketOptions
	cmd := &cobra.Command{
		Use: "list", Short: "List the tickets in an agent's cache",
		Long:    "List the tickets that the agent holds: its own, and those by which it acts for operators.\nYour own tickets are listed by klist.",
		Example: "  drover ticket list --host HV01",
		Args:    noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.runTicketList(ctx, o)
		}),
	}
	o.target.flags(cmd.Flags())
	return cmd
}

func newTicketPurge(p *program) *cobra.Command {
	var o ticketOptions
	cmd := &cobra.Command{
		Use: "purge", Short: "Empty an agent's ticket cache",
		Long: `Make the agent forget its tickets, so that it asks the domain controller again.
Agents do so by themselves when a ticket is refused; running moves are not affected.`,
		Example: `  drover ticket purge --host HV01
  drover ticket purge --host HV01 --service cifs/HV02`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.runTicketPurge(ctx, o)
		}),
	}
	o.target.flags(cmd.Flags())
	cmd.Flags().StringVar(&o.service, "service", "", "only the tickets for one service `name`")
	return cmd
}

func (p *program) runTicketList(ctx context.Context, o ticketOptions) error {
	return p.with(ctx, o.target, func(a agent) error {
		tickets, err := a.Tickets(ctx)
		if err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, tickets)
		}
		rows := make([][]string, 0, len(tickets))
		for _, t := range tickets {
			rows = append(rows, []string{t.Kind, t.Client, t.Service, moment(t.End)})
		}
		return grid(p.stdout, []string{"KIND", "CLIENT", "SERVICE", "UNTIL"}, rows)
	})
}

// purged is the JSON form of a purge.
type purged struct {
	Purged int `json:"purged"`
}

func (p *program) runTicketPurge(ctx context.Context, o ticketOptions) error {
	return p.with(ctx, o.target, func(a agent) error {
		n, err := a.PurgeTickets(ctx, o.service)
		if err != nil {
			return err
		}
		if p.out != table {
			return p.out.write(p.stdout, purged{n})
		}
		_, err = fmt.Fprintf(p.stdout, "%s forgot %s\n", o.target, count(n, "ticket"))
		return err
	})
}
