package cli

import (
	"cmp"
	"context"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/api"
	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/finding"
	"drover/internal/krb"
	"drover/internal/spn"
)

type delegationVerifyOptions struct {
	directory directoryFlags
	intent    intentFlags
	operator  string
	keytab    string
}

func newDelegationVerify(p *program) *cobra.Command {
	var o delegationVerifyOptions
	cmd := &cobra.Command{
		Use:   "verify [HOST... | SOURCE:DESTINATION...]",
		Short: "Try whether hosts may act for an operator at each other",
		Long: `Check each direction between hosts by itself: first what the directory says, then
the real thing, tickets in the operator's name for every service of the
destination, under its short and its full name. The tickets are not used. Without
hosts, every computer account that carries the name of the migration service
takes part.

The tickets are asked for by the source's agent, or, with --keytab, by this
program with the source's key. You are the operator, by your own ticket and, with
--protocol any, by protocol transition. For another operator it is protocol
transition only, and each agent must know you as administrator.`,
		Example: `  drover delegation verify
  drover delegation verify HV01 HV02 HV03
  drover delegation verify HV01:HV02 --operator alice@EXAMPLE.ORG
  drover delegation verify HV01 HV02 --keytab /root/hosts.keytab -o json`,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.runDelegationVerify(ctx, o, args)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.directory.add(cmd.Flags())
	o.intent.add(cmd.Flags())
	o.intent.complete(cmd)
	cmd.Flags().StringVar(&o.operator, "operator", "", "`principal` to act for (default: you)")
	cmd.Flags().StringVar(&o.keytab, "keytab", "", "`file` with keys of the sources, in place of their agents")
	return cmd
}

func (p *program) runDelegationVerify(ctx context.Context, o delegationVerifyOptions, args []string) error {
	hosts, directions, err := hostsOrDirections(args)
	if err != nil {
		return err
	}
	o.intent.oneWay = append(o.intent.oneWay, directions...)
	if o.keytab != "" {
		f, err := os.Open(o.keytab)
		if err != nil {
			return unreadable("--keytab", o.keytab, err)
		}
		_ = f.Close()
	}
	// Without the ticket no agent would answer, and no ticket be tried.
	caller, err := krb.OpenOperator("", "", nil)
	if err != nil {
		return err
	}
	return p.withDirectory(ctx, o.directory, func(c *directory.Conn) error {
		plan, state, err := o.intent.plan(ctx, p, c, hosts)
		if err != nil {
			return err
		}
		operator, methods := whoAndHow(o.operator, caller.Principal(), plan)
		m, err := doctor.Verify(ctx, c, plan, doctor.VerifyOptions{Operator: operator, Methods: methods,
			Source: p.probers(o.keytab, caller, c, state)})
		if err != nil {
			return err
		}
		if p.out != table {
			err = p.out.write(p.stdout, m)
		} else {
			err = p.printVerification(m, methods)
		}
		if err != nil {
			return err
		}
		return severityStatus(verdict(m))
	})
}

// hostsOrDirections tells HV01 from HV01:HV02. Both together would leave open what
// is wanted between the hosts.
func hostsOrDirections(args []string) (hosts, directions []string, err error) {
	for _, a := range args {
		if strings.Contains(a, ":") {
			directions = append(directions, a)
		} else {
			hosts = append(hosts, a)
		}
	}
	if len(hosts) > 0 && len(directions) > 0 {
		return nil, nil, misuse("name hosts, or directions such as HV01:HV02, and not both")
	}
	return hosts, directions, nil
}

// whoAndHow is the operator and how sources come to act for them. Nobody but the
// caller can show a ticket of the caller.
func whoAndHow(wanted, caller string, plan *delegation.Plan) (operator string, methods []string) {
	switch {
	case wanted != "" && !strings.Contains(wanted, "@"):
		return wanted + "@" + strings.ToUpper(plan.Domain), []string{doctor.ByTransition}
	case wanted != "":
		return wanted, []string{doctor.ByTransition}
	case plan.Intent.Protocol == delegation.KerberosOnly:
		return caller, []string{doctor.ByTicket}
	}
	return caller, []string{doctor.ByTicket, doctor.ByTransition}
}

// probers says how to try as a source: through its agent, or with its key.
func (p *program) probers(keytab string, caller *krb.Operator, d doctor.Directory, s delegation.State) func(context.Context, delegation.Host) (doctor.Prober, error) {
	if keytab == "" {
		return func(_ context.Context, h delegation.Host) (doctor.Prober, error) {
			return agentProber{p, target{host: cmp.Or(h.FQDN, h.Name), socket: DefaultSocket}}, nil
		}
	}
	d = doctor.Remembering(d)
	return func(_ context.Context, h delegation.Host) (doctor.Prober, error) {
		o := doctor.KeytabOptions{Keytab: keytab, Host: h.Name, Account: h.Account, Operator: caller, Directory: d}
		for _, a := range s.Hosts {
			if a.DN == h.DN {
				o.Services = ownServices(a)
			}
		}
		return doctor.NewKeytabProber(o)
	}
}

// ownServices are names under which an account can be signed in to, those that
// every host has first.
func ownServices(a directory.Account) []string {
	var first, rest []string
	for _, n := range spn.PlainList(a.ServiceNames) {
		if strings.EqualFold(spn.Class(n), "HOST") {
			first = append(first, n)
		} else {
			rest = append(rest, n)
		}
	}
	return append(first, rest...)
}

// agentProber tries through a source's agent.
type agentProber struct {
	p     *program
	where target
}

// Probe implements doctor.Prober. It is called for several hosts at a time.
func (a agentProber) Probe(ctx context.Context, operator, method string, services []string) ([]doctor.Attempt, error) {
	c, err := a.p.connect(ctx, a.where, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	r, err := c.ProbeDelegation(ctx, api.ProbeRequest{DestinationServices: services, Operator: operator, Method: method})
	return r.Attempts, err
}

// verdict is what decides the exit status: a direction that fails, one that was not
// checked, and what is critical besides.
func verdict(m *doctor.Matrix) finding.Severity {
	worst := finding.Info
	raise := func(s finding.Severity) {
		if s.Compare(worst) > 0 {
			worst = s
		}
	}
	for _, pair := range m.Pairs {
		switch pair.State {
		case doctor.FailedPair:
			raise(finding.Error)
		case doctor.Unchecked:
			raise(finding.Warning)
		}
		if finding.Worst(pair.Findings) == finding.Critical {
			raise(finding.Critical)
		}
	}
	if finding.Worst(m.Findings) == finding.Critical {
		raise(finding.Critical)
	}
	return worst
}
