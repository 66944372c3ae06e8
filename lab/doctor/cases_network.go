package doctor

import (
	"context"
	"net/netip"
	"syscall"
	"time"

	"drover/internal/fault"
	"drover/internal/settings"
	"drover/lab"
)

// ahead restarts the controller with another clock.
func ahead(by time.Duration) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		if err := w.StopDirectory(ctx); err != nil {
			return err
		}
		return w.StartDirectory(ctx, by)
	}
}

// drop makes a member lose what comes to a port.
func drop(member, protocol, port string) (change, restore func(context.Context, *World) error) {
	rule := []string{"INPUT", "-p", protocol, "--dport", port, "-j", "DROP"}
	return command(member, append([]string{"iptables", "-A"}, rule...)...), command(member, append([]string{"iptables", "-D"}, rule...)...)
}

const krb5Conf = "/etc/krb5.conf"

func kerberos() []Case {
	drop88, pass88 := drop(lab.DC1, "tcp", "88")
	drop88UDP, pass88UDP := drop(lab.DC1, "udp", "88")
	drop389, pass389 := drop(lab.DC1, "tcp", "389")
	mapped, unmapped := edited(lab.MGMT, krb5Conf, `/domain_realm/,$ s/= .*/= OTHER.TEST/`)
	def, undef := edited(lab.MGMT, krb5Conf, `s/default_realm = .*/default_realm = OTHER.TEST/`)
	srv := func(verb, name, port string) func(context.Context, *World) error {
		return sambaTool("dns", verb, "dc1", lab.Domain, name, "SRV", "dc1."+lab.Domain+" "+port+" 0 100")
	}
	msdcs := func(verb string) func(context.Context, *World) error {
		return sambaTool("dns", verb, "dc1", "_msdcs."+lab.Domain, "_ldap._tcp.dc", "SRV", "dc1."+lab.Domain+" 389 0 100")
	}
	const byRestart = "the lab's controller does not register its records by itself"
	return []Case{
		{Name: "clock: controller ten minutes ahead", Want: fault.ClockSkew, KeepTicket: true, Break: ahead(10 * time.Minute), Restore: ahead(0), Person: "the clock is set on the machine that is wrong"},
		{Name: "clock: controller three minutes behind", Want: fault.ClockSkew, KeepTicket: true, Break: ahead(-3 * time.Minute), Restore: ahead(0), Person: "the clock is set on the machine that is wrong"},
		{Name: "controller: Kerberos does not answer", Want: fault.KDCUnreachable, KeepTicket: true, Break: all(drop88, drop88UDP), Restore: all(pass88, pass88UDP), Person: "a firewall is not the doctor's"},
		{Name: "controller: Kerberos over UDP only", Want: fault.KDCWithoutTCP, KeepTicket: true, Break: drop88, Restore: pass88, Person: "a firewall is not the doctor's"},
		{Name: "controller: LDAP does not answer", Want: fault.PortFiltered, KeepTicket: true, Break: drop389, Restore: pass389, Person: "a firewall is not the doctor's"},
		{Name: "controller: an old address besides", Want: fault.DNSAddressExtra, On: "dc1", Break: address("add", "dc1", unused),
			Restore: shell(lab.DC1, "samba-tool dns delete dc1 %s dc1 A %s -U '%s' || true", lab.Domain, unused, administrator)},
		{Name: "service record: Kerberos missing", Want: fault.DNSServiceMissing, Break: srv("delete", "_kerberos._tcp", "88"), Restore: srv("add", "_kerberos._tcp", "88"), Person: byRestart},
		{Name: "service record: LDAP missing", Want: fault.DNSServiceMissing, Break: msdcs("delete"), Restore: msdcs("add"), Person: byRestart},
		{Name: "service record: of a controller that is gone", Want: fault.DNSServiceStale,
			Break:   sambaTool("dns", "add", "dc1", lab.Domain, "_kerberos._tcp", "SRV", "dc9."+lab.Domain+" 88 0 100"),
			Restore: sambaTool("dns", "delete", "dc1", lab.Domain, "_kerberos._tcp", "SRV", "dc9."+lab.Domain+" 88 0 100"), Person: "whether the controller is gone for good, a person knows"},
		{Name: "realm: hosts assigned to another", Want: fault.RealmMapping, Break: mapped, Restore: unmapped},
		{Name: "realm: another by default", Want: fault.RealmMapping, Break: def, Restore: undef},
		{Name: "ticket: older than a change of the account", Want: fault.TicketBeforeChange, KeepTicket: true,
			Break:   all(ahead(-3*time.Minute), signIn(lab.UserOperator), ahead(0), replace(lab.UserDN(lab.UserOperator), "description", "changed")),
			Restore: replace(lab.UserDN(lab.UserOperator), "description")},
	}
}

func signIn(user string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error { return w.KInit(ctx, user) }
}

// address changes the address record of a host.
func address(verb, name, a string) func(context.Context, *World) error {
	return sambaTool("dns", verb, "dc1", lab.Domain, name, "A", a)
}

const (
	hostsFile  = "/etc/hosts"
	resolvConf = "/etc/resolv.conf"
	reverse    = "0.77.10.in-addr.arpa"
	unused     = "10.77.0.99"
)

func names() []Case {
	right := "10.77.0.12"
	hide, show := edited(lab.MGMT, hostsFile, "/hv02/d")
	other, same := edited(lab.MGMT, hostsFile, "s/10.77.0.12 /10.77.0.13 /")
	none, listed := edited(lab.MGMT, hostsFile, "/hv0/d")
	search, searched := edited(lab.MGMT, resolvConf, "s/^search.*/search other.test "+lab.Domain+"/")
	noSearch, hasSearch := edited(lab.MGMT, resolvConf, "s/^search.*/search other.test/")
	silent, answering := edited(lab.MGMT, resolvConf, "s/^search/nameserver 10.77.0.250\\nsearch/")
	second, first := edited(lab.MGMT, resolvConf, "s/^search/nameserver 10.77.0.11\\nsearch/")
	tryDelete := func(name, a string) func(context.Context, *World) error {
		return shell(lab.DC1, "samba-tool dns delete dc1 %s %s A %s -U '%s' || true", lab.Domain, name, a, administrator)
	}
	tryAdd := func(name, a string) func(context.Context, *World) error {
		return shell(lab.DC1, "samba-tool dns add dc1 %s %s A %s -U '%s' || true", lab.Domain, name, a, administrator)
	}
	moved := func(a string) func(context.Context, *World) error {
		return all(address("delete", "hv02", right), address("add", "hv02", a))
	}
	back := func(a string) func(context.Context, *World) error {
		return all(tryDelete("hv02", a), tryAdd("hv02", right))
	}
	pointing := func(name string) func(context.Context, *World) error {
		return all(sambaTool("dns", "zonecreate", "dc1", reverse), sambaTool("dns", "add", "dc1", reverse, "12", "PTR", name+"."+lab.Domain))
	}
	return []Case{
		{Name: "names: no address", Want: fault.DNSNameMissing, On: lab.HV02, Break: address("delete", "hv02", right), Restore: tryAdd("hv02", right)},
		{Name: "names: an address that nobody has", Want: fault.DNSAddressStale, On: lab.HV02, Break: moved(unused), Restore: back(unused)},
		{Name: "names: the address of another host", Want: fault.DNSAddressStale, On: lab.HV02, Break: moved("10.77.0.13"), Restore: back("10.77.0.13")},
		{Name: "names: an address that nobody has, known by DNS only", Want: fault.HostSilent, On: lab.HV02, Break: all(hide, moved(unused)), Restore: all(show, back(unused)), Person: "whether the host is down, or elsewhere, only somebody there knows"},
		{Name: "names: an old address besides", Want: fault.DNSAddressExtra, On: lab.HV02, Break: address("add", "hv02", unused), Restore: tryDelete("hv02", unused)},
		{Name: "names: reverse leads to another host", Want: fault.DNSReverseStale, On: lab.HV02, Break: pointing("hv03"), Restore: sambaTool("dns", "zonedelete", "dc1", reverse)},
		{Name: "names: address of a host that is gone", Want: fault.DNSReverseStale, On: lab.HV02, Break: pointing("hv77"), Restore: sambaTool("dns", "zonedelete", "dc1", reverse)},
		{Name: "names: hosts file overrides", Want: fault.HostsFileOverrides, On: lab.HV02, Break: other, Restore: same},
		{Name: "names: short name is another domain's", Want: fault.ShortNameElsewhere, On: lab.HV02,
			Break:   all(search, sambaTool("dns", "zonecreate", "dc1", "other.test"), sambaTool("dns", "add", "dc1", "other.test", "hv02", "A", "10.77.0.13")),
			Restore: all(searched, sambaTool("dns", "zonedelete", "dc1", "other.test"))},
		{Name: "names: search list lacks the domain", Want: fault.ShortNameUnresolved, Break: all(none, noSearch), Restore: all(listed, hasSearch)},
		{Name: "names: one name server does not answer", Want: fault.DNSServerSilent, Break: silent, Restore: answering, Person: "which name servers there are, the network's owner knows"},
		{Name: "names: name servers do not agree", Want: fault.DNSServersDiffer, On: lab.HV02,
			Break: all(second, func(ctx context.Context, w *World) error {
				return w.nameServer(ctx, lab.HV01, "10.77.0.11", full(lab.HV02), unused)
			}),
			Restore: first, Person: "which of them is right, the network's owner knows"},
	}
}

func network() []Case {
	drop6601, pass6601 := drop(lab.HV02, "tcp", "6601")
	drop6600, pass6600 := drop(lab.HV02, "tcp", "6600")
	stop := func(ctx context.Context, w *World) error { _, err := w.StopAgent(ctx, lab.HV02); return err }
	start := func(ctx context.Context, w *World) error { return w.StartAgent(ctx, lab.HV02) }
	signal := func(number syscall.Signal) func(context.Context, *World) error {
		return func(ctx context.Context, w *World) error {
			return w.Member(lab.HV02).Signal(ctx, lab.AgentService, number)
		}
	}
	const firewall = "a firewall is not the doctor's"
	return []Case{
		{Name: "network: 6601 closed", Want: fault.PortClosed, On: lab.HV02, Break: stop, Restore: start, Person: noSystemd},
		{Name: "network: agent hangs", Want: fault.AgentHangs, On: lab.HV02, Break: signal(syscall.SIGSTOP), Restore: signal(syscall.SIGCONT), Person: noSystemd},
		{Name: "network: 6601 filtered", Want: fault.PortFiltered, On: lab.HV02, Break: drop6601, Restore: pass6601, Person: firewall},
		{Name: "network: 6600 filtered", From: lab.HV01, Want: fault.PortFiltered, On: lab.HV02, Break: drop6600, Restore: pass6600, Person: firewall},
		{Name: "network: 6600 refused", From: lab.HV01, Want: fault.PortClosed, On: lab.HV02,
			Break:   command(lab.HV02, "iptables", "-A", "INPUT", "-p", "tcp", "--dport", "6600", "-j", "REJECT", "--reject-with", "tcp-reset"),
			Restore: command(lab.HV02, "iptables", "-D", "INPUT", "-p", "tcp", "--dport", "6600", "-j", "REJECT", "--reject-with", "tcp-reset"), Person: firewall},
		{Name: "network: host is not there", Want: fault.HostSilent, On: lab.HV02,
			Break:   func(_ context.Context, w *World) error { return w.LinkDown(lab.HV02, lab.Management) },
			Restore: func(_ context.Context, w *World) error { return w.LinkUp(lab.HV02, lab.Management) }, Person: "somebody has to go there"},
	}
}

// set changes settings of HV02, and puts them back.
func set(name string, want fault.Code, change settings.Change, with ...fault.Code) Case {
	put := func(ch settings.Change) func(context.Context, *World) error {
		return func(ctx context.Context, w *World) error { _, err := w.SetSettings(ctx, lab.HV02, ch); return err }
	}
	d := settings.Default()
	usual := lab.AgentSettings()
	usual.MaximumMigrations, usual.MaximumStorageMigrations = &d.MaximumMigrations, &d.MaximumStorageMigrations
	usual.Authentication, usual.Performance, usual.Encryption, usual.AnyNetwork = &d.Authentication, &d.Performance, &d.Encryption, &d.AnyNetwork
	return Case{Name: "settings: " + name, Want: want, On: lab.HV02, With: with, Break: put(change), Restore: put(usual)}
}

func settingsCases() []Case {
	d, off, zero := settings.Default(), false, 0
	credSSP, plain := settings.CredSSP, settings.TCPIP
	elsewhere := []settings.Network{{Subnet: netip.MustParsePrefix("172.16.9.0/24")}}
	second := []settings.Network{{Subnet: netip.MustParsePrefix(lab.Migration2.Subnet())}}
	unbound := set("migration network that the host is not on", fault.MigrationPortUnbound, settings.Change{Networks: &elsewhere}, fault.NoCommonNetwork)
	unbound.Person = "which network the hosts share, an administrator knows"
	apart := set("no common migration network", fault.NoCommonNetwork, settings.Change{Networks: &second})
	apart.On, apart.Person = "", "which network the hosts are to use, an administrator decides"
	on, seven := true, 7
	drifted := set("drifted from the template", fault.SettingsDrifted, settings.Change{MaximumMigrations: &seven})
	const file = "/tmp/template.yaml"
	drifted.Args, drifted.Break = []string{"--template", file}, all(shell(lab.MGMT, "printf 'maximum_migrations: %d\n' > %s", d.MaximumMigrations, file), drifted.Break)
	everywhere := func(a settings.Authentication) func(context.Context, *World) error {
		return func(ctx context.Context, w *World) error {
			for _, h := range lab.DefaultHosts() {
				if _, err := w.SetSettings(ctx, h, settings.Change{Authentication: &a}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []Case{
		{Name: "settings: CredSSP on all hosts", Want: fault.NotAvailable, Break: everywhere(credSSP), Restore: everywhere(d.Authentication)},
		drifted,
		set("any network on one host", fault.AnyNetworkDiffers, settings.Change{AnyNetwork: &on}),
		set("incoming disabled", fault.MigrationDisabled, settings.Change{Incoming: &off}),
		set("outgoing disabled", fault.MigrationDisabled, settings.Change{Outgoing: &off}),
		set("authentication differs", fault.AuthenticationDiffers, settings.Change{Authentication: &credSSP}),
		set("performance option differs", fault.PerformanceDiffers, settings.Change{Performance: &plain}),
		set("limit of migrations is zero", fault.LimitZero, settings.Change{MaximumMigrations: &zero}),
		set("limit of storage migrations is zero", fault.LimitZero, settings.Change{MaximumStorageMigrations: &zero}),
		unbound, apart,
	}
}
