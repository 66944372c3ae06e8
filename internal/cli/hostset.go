package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drover/internal/settings"
)

type hostSetOptions struct {
	targets targets

	both, incoming, outgoing, any            string
	migrations, storageMigrations            int
	authentication, performance, encryption  string
	bandwidth, cores                         string
	networks, addNetworks, removeNetworkList []string
}

func newHostSet(p *program) *cobra.Command {
	var o hostSetOptions
	cmd := &cobra.Command{
		Use: "set", Short: "Change a host's live migration settings",
		Long: `Change a host's live migration settings. What is not named stays as it is; what is
named is changed as a whole or not at all. The change holds at once, for moves that
start from now on, outlives restarts, and is written to the audit with who made it.
It needs the role administrator.

A network is a CIDR or an address, with an optional priority (0; lower numbers are
used first, equal ones together) and an optional limit of its own:
192.168.10.0/24,priority=1,bandwidth=500M. Bandwidths are in bits per second, for
each direction by itself.`,
		Example: `  drover host set --live-migration on --network 192.168.10.0/24
  drover host set --host HV01 --host HV02 --maximum-migrations 4 --bandwidth 5G
  drover host set --add-network 10.0.9.0/24,priority=1 --remove-network 192.168.10.0/24`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			ch, err := o.change(cmd.Flags())
			if err != nil {
				return err
			}
			return p.runHostSet(ctx, o.targets, ch)
		}),
	}
	o.targets.flags(cmd.Flags())
	o.add(cmd.Flags())
	return cmd
}

func (o *hostSetOptions) add(fs *pflag.FlagSet) {
	fs.StringVar(&o.both, "live-migration", "", "`on|off`: both directions")
	fs.StringVar(&o.incoming, "incoming", "", "`on|off`: whether the host accepts VMs")
	fs.StringVar(&o.outgoing, "outgoing", "", "`on|off`: whether VMs may leave the host")
	fs.IntVar(&o.migrations, "maximum-migrations", 0, "simultaneous moves, incoming and outgoing together, `0-128`")
	fs.IntVar(&o.storageMigrations, "maximum-storage-migrations", 0, "simultaneous moves that copy disks, `0-128`")
	fs.StringVar(&o.authentication, "authentication", "", "`type`: Kerberos or CredSSP (not available yet)")
	fs.StringVar(&o.performance, "performance", "", "`option`: TCPIP, Compression or SMB (not available yet)")
	fs.StringVar(&o.any, "any-network", "", "`on|off`: use any network for migration")
	fs.StringArrayVar(&o.networks, "network", nil, "`SPEC` of a network, instead of all there are; may be repeated; none: no network")
	fs.StringArrayVar(&o.addNetworks, "add-network", nil, "`SPEC` of a network to add, or to change if its subnet is there; may be repeated")
	fs.StringArrayVar(&o.removeNetworkList, "remove-network", nil, "`CIDR` of a network to remove; may be repeated")
	fs.StringVar(&o.bandwidth, "bandwidth", "", "`RATE` that all moves together may use, e.g. 500M; none: no limit")
	fs.StringVar(&o.cores, "compression-cores", "", "`N|auto`: processors that may compress at a time, for all moves together; auto: half of the host's")
	fs.StringVar(&o.encryption, "encryption", "", "`policy`: Required, Allowed or Off; a move is unencrypted only where both hosts say Off")
}

// change reads the flags that were given.
func (o *hostSetOptions) change(fs *pflag.FlagSet) (ch settings.Change, err error) {
	r := flagReader{fs: fs}
	if fs.Changed("live-migration") {
		if fs.Changed("incoming") || fs.Changed("outgoing") {
			return ch, misuse("--live-migration is both directions; leave out --incoming and --outgoing")
		}
		ch.Incoming = given(&r, "live-migration", o.both, settings.ParseSwitch)
		ch.Outgoing = ch.Incoming
	} else {
		ch.Incoming = given(&r, "incoming", o.incoming, settings.ParseSwitch)
		ch.Outgoing = given(&r, "outgoing", o.outgoing, settings.ParseSwitch)
	}
	whole := func(n int) (int, error) { return n, nil } // the host knows its bounds
	ch.MaximumMigrations = given(&r, "maximum-migrations", o.migrations, whole)
	ch.MaximumStorageMigrations = given(&r, "maximum-storage-migrations", o.storageMigrations, whole)
	ch.Authentication = given(&r, "authentication", o.authentication, settings.ParseAuthentication)
	ch.Performance = given(&r, "performance", o.performance, settings.ParsePerformance)
	ch.AnyNetwork = given(&r, "any-network", o.any, settings.ParseSwitch)
	ch.Networks = given(&r, "network", o.networks, replacingNetworks)
	ch.AddNetworks = list(given(&r, "add-network", o.addNetworks, each(settings.ParseNetwork)))
	ch.RemoveNetworks = list(given(&r, "remove-network", o.removeNetworkList, each(settings.ParseSubnet)))
	ch.Bandwidth = given(&r, "bandwidth", o.bandwidth, settings.ParseRate)
	ch.CompressionCores = given(&r, "compression-cores", o.cores, settings.ParseCores)
	ch.Encryption = given(&r, "encryption", o.encryption, settings.ParseEncryption)
	switch {
	case r.err != nil:
		return ch, r.err
	case ch.Empty():
		return ch, misuse("nothing to set: name a setting, such as --live-migration on")
	case ch.Networks != nil && (ch.AddNetworks != nil || ch.RemoveNetworks != nil):
		return ch, misuse("--network replaces all networks; leave out --add-network and --remove-network")
	}
	return ch, nil
}

// flagReader keeps the first error of reading flags.
type flagReader struct {
	fs  *pflag.FlagSet
	err error
}

// given is the value of a flag as parse reads it, nil if it was not given.
func given[S, T any](r *flagReader, flag string, value S, parse func(S) (T, error)) *T {
	if r.err != nil || !r.fs.Changed(flag) {
		return nil
	}
	v, err := parse(value)
	if err != nil {
		r.err = settingFailure(flag, err)
		return nil
	}
	return &v
}

func list[T any](p *[]T) []T {
	if p == nil {
		return nil
	}
	return *p
}

func each[T any](parse func(string) (T, error)) func([]string) ([]T, error) {
	return func(words []string) (out []T, err error) {
		for _, w := range words {
			v, err := parse(w)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
}

// replacingNetworks knows none, which leaves no network.
func replacingNetworks(words []string) ([]settings.Network, error) {
	if len(words) == 1 && words[0] == "none" {
		return []settings.Network{}, nil
	}
	return each(settings.ParseNetwork)(words)
}

func (p *program) runHostSet(ctx context.Context, t targets, ch settings.Change) error {
	list, err := t.list()
	if err != nil {
		return err
	}
	results := newResults(list)
	err = p.onEach(ctx, results, func(a agent, r *hostResult) error {
		before, err := a.Settings(ctx)
		if err != nil {
			return err
		}
		after, err := a.ChangeSettings(ctx, ch)
		if err != nil {
			return err
		}
		r.Revision, r.Settings, r.Applied = after.Revision, &after, after.Revision != before.Revision
		r.Changes = settings.Diff(before, after)
		p.warnUnavailable(r.Host, ch)
		if after.Incoming && !after.AnyNetwork && len(after.Networks) == 0 {
			p.screen.line("note: %s accepts VMs and has no migration network, so port 6600 is closed: `drover host set%s --add-network 192.168.10.0/24`", r.Host, r.target.again())
		}
		return p.printSet(r)
	})
	if err != nil {
		return err
	}
	return p.finish(results)
}

// warnUnavailable says at once what would stop each move.
func (p *program) warnUnavailable(host string, ch settings.Change) {
	if ch.Authentication != nil && *ch.Authentication == settings.CredSSP {
		p.screen.line("note: CredSSP is kept as a setting of %s and is not available yet: no move from it can start", host)
	}
	if ch.Performance != nil && *ch.Performance == settings.SMB {
		p.screen.line("note: SMB is kept as a setting of %s and is not available yet: no move from it can start", host)
	}
}

func (p *program) printSet(r *hostResult) error {
	if p.out != table {
		return nil
	}
	if len(r.Changes) == 0 {
		_, err := fmt.Fprintf(p.stdout, "%s: nothing to change\n", r.Host)
		return err
	}
	for _, d := range r.Changes {
		if _, err := fmt.Fprintf(p.stdout, "%s: %s %s, was %s\n", r.Host, d.Setting, d.To, d.From); err != nil {
			return err
		}
	}
	return nil
}
