package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/directory"
	"drover/internal/enroll"
	"drover/internal/finding"
	"drover/internal/krb"
)

type hostEnrollOptions struct {
	server, domain, keytab, account string
	dryRun                          bool
}

func newHostEnroll(p *program) *cobra.Command {
	var o hostEnrollOptions
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Give this host what it needs in the directory to be moved to",
		Long: `Give a Linux host that has joined the domain (realm join, adcli join, net ads
join) what it needs in the directory to serve moves: its service names, written
with the host's own key, and encryption types. It checks the keytab's keys against
the directory's, and by real tickets that the domain controller knows the names.
Run it as root on the host; running it again changes nothing more. Which other
hosts it may delegate to is decided by "drover delegation".`,
		Example: `  drover host enroll --dry-run
  drover host enroll`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error { return p.runHostEnroll(ctx, o) }),
	}
	cmd.Flags().StringVar(&o.keytab, "keytab", "", "`file` with the host's key (default /etc/krb5.keytab)")
	cmd.Flags().StringVar(&o.account, "account", "", "the host's account, `HV01$`; default: the first computer account of the keytab")
	cmd.Flags().StringVar(&o.server, "server", "", "`name` of the domain controller to ask; default: found by DNS")
	cmd.Flags().StringVar(&o.domain, "domain", "", "DNS `name` of the domain; default: that of the keytab's realm")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would change and end")
	return cmd
}

func (p *program) runHostEnroll(ctx context.Context, o hostEnrollOptions) error {
	keys, err := krb.ReadKeytab(o.keytab)
	if err != nil {
		return err
	}
	host, err := krb.OpenHost(krb.Config{Keytab: o.keytab, Account: o.account})
	if err != nil {
		return err
	}
	account, _, _ := strings.Cut(host.Account(), "@")
	options := enroll.Options{Account: account, Keytab: cmp.Or(o.keytab, krb.DefaultKeytab), Keys: keys, DryRun: o.dryRun,
		Ticket: func(ctx context.Context, service string) error {
			_, err := host.Self(ctx, service)
			return err
		}}
	c, err := dialAs(ctx, host, o.domain, o.server)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	report, err := enroll.Host(ctx, c, options)
	if err != nil {
		return err
	}
	return p.printEnrolment(report)
}

// dialAs connects to the directory as a host.
func dialAs(ctx context.Context, host *krb.Host, domain, server string) (*directory.Conn, error) {
	o, err := directoryFlags{server: server, domain: domain}.options()
	if err != nil {
		return nil, err
	}
	o.Principal = host.Account()
	if o.Domain == "" {
		o.Domain = domainOf(o.Principal)
	}
	o.Security = func(ctx context.Context, _ *tls.ConnectionState) directory.Security {
		return krb.NewSASL(ctx, host.Self)
	}
	return directory.Dial(ctx, o)
}

func (p *program) printEnrolment(r *enroll.Report) error {
	if p.out != table {
		if err := p.out.write(p.stdout, r); err != nil {
			return err
		}
	} else {
		s := sheet{title: "Enrolment of " + r.Account}
		s.add("object", "%s", r.DN)
		s.add("controller", "%s", r.Server)
		if err := s.print(p.stdout); err != nil {
			return err
		}
		var rows [][]string
		for _, c := range r.Checks {
			rows = append(rows, []string{c.Name, string(c.State), c.Detail})
		}
		if err := grid(p.stdout, []string{"CHECK", "STATE", "DETAIL"}, rows); err != nil {
			return err
		}
		if err := printFindings(p.stdout, enrolmentFindings(r)); err != nil {
			return err
		}
	}
	if r.Failed() {
		return severityStatus(finding.Error)
	}
	return nil
}

func enrolmentFindings(r *enroll.Report) []finding.Finding {
	var out []finding.Finding
	for _, c := range r.Checks {
		if c.Finding != nil {
			out = append(out, *c.Finding)
		}
	}
	return out
}
