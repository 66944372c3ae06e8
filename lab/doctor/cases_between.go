package doctor

import (
	"context"
	"fmt"

	"drover/internal/fault"
	"drover/lab"
)

// rule adds a rule to what a member lets in, and takes it away.
func rule(member, match string) (change, restore func(context.Context, *World) error) {
	return shell(member, "iptables -A INPUT %s", match), shell(member, "iptables -D INPUT %s", match)
}

// swallow makes members lose packets of more than 1300 bytes on the migration network, and
// say nothing.
func swallow(members ...string) (change, restore func(context.Context, *World) error) {
	var changes, restores []func(context.Context, *World) error
	for _, m := range members {
		c, r := rule(m, fmt.Sprintf("-i %s -m length --length 1301:65535 -j DROP", lab.Migration))
		changes, restores = append(changes, c), append(restores, r)
	}
	for _, m := range lab.DefaultHosts() {
		// Packets reach the rules as they are on a wire, and not many together in one.
		changes = append(changes, command(m, "ip", "link", "set", "dev", string(lab.Migration), "gso_max_segs", "1"))
		restores = append(restores, command(m, "ip", "link", "set", "dev", string(lab.Migration), "mtu", "1500", "gso_max_segs", "65535"))
	}
	return all(changes...), all(restores...)
}

// between are faults of the network between the hosts, which the workstation is not on.
func between() []Case {
	const firewall = "a firewall is not the doctor's"
	fromHV01 := "-s 192.168.10.11 -p tcp --dport 6600"
	drop, pass := rule(lab.HV02, fromHV01+" -j DROP")
	refuse, accept := rule(lab.HV02, fromHV01+" -j REJECT --reject-with tcp-reset")
	dropAll, passAll := rule(lab.HV02, "-p tcp --dport 6600 -j DROP")
	dropAPI, passAPI := rule(lab.HV02, "-s 10.77.0.11 -p tcp --dport 6601 -j DROP")
	hole, whole := swallow(lab.HV02)
	holes, wholes := swallow(lab.HV01, lab.HV02, lab.HV03)
	astray := fmt.Sprintf("192.168.10.12/32 via 10.77.0.12 dev %s", lab.Management)
	here, there := "fd00:10::12/64", "fd00:77::12"
	hide, show := edited(lab.HV01, hostsFile, "/hv02/d")
	other, usual := edited(lab.HV01, resolvConf, "s/^nameserver.*/nameserver 10.77.0.13/")
	strange := func(ctx context.Context, w *World) error {
		return w.nameServer(ctx, lab.HV03, "10.77.0.13", full(lab.HV02), "")
	}
	again := func(ctx context.Context, w *World) error { return w.RestartAgent(ctx, lab.HV01) } // Go's resolver reads its files every 5 s
	return []Case{
		{Name: "between: 6600 filtered for one host", Want: fault.PortFiltered, On: lab.HV02, Break: drop, Restore: pass, Person: firewall},
		{Name: "between: 6600 refused to one host", Want: fault.PortClosed, On: lab.HV02, Break: refuse, Restore: accept, Person: firewall},
		{Name: "between: 6600 filtered for all hosts", Want: fault.PortFiltered, On: lab.HV02, Break: dropAll, Restore: passAll, Person: firewall},
		{Name: "between: 6601 filtered for one host", Want: fault.AgentUnreachable, On: lab.HV02, Break: dropAPI, Restore: passAPI, Person: firewall},
		{Name: "between: one host does not find the other", Want: fault.HostUnknown, On: lab.HV01, Break: all(hide, strange, other, again), Restore: all(show, usual, again), Person: "which name servers the host is to ask, the network's owner knows"},
		{Name: "between: large packets to one host get lost", Want: fault.PathMTU, On: lab.HV02, Break: hole, Restore: whole},
		{Name: "between: large packets get lost everywhere", Want: fault.PathMTU, Break: holes, Restore: wholes},
		{Name: "between: route by the management network", Want: fault.RouteAsymmetric, On: lab.HV01,
			Break: shell(lab.HV01, "ip route add %s", astray), Restore: shell(lab.HV01, "ip route del %s || true", astray)},
		{Name: "between: IPv6 on one host only", Want: fault.IPv6Half, On: lab.HV02,
			Break:   shell(lab.HV02, "sysctl -qw net.ipv6.conf.%s.disable_ipv6=0 || true; ip -6 address add %s dev %s", lab.Migration, here, lab.Migration),
			Restore: shell(lab.HV02, "ip -6 address del %s dev %s || true", here, lab.Migration)},
		{Name: "between: IPv6 address in DNS that the host does not have", Want: fault.IPv6Unanswered, On: lab.HV02,
			Break:   sambaTool("dns", "add", "dc1", lab.Domain, "hv02", "AAAA", there),
			Restore: shell(lab.DC1, "samba-tool dns delete dc1 %s hv02 AAAA %s -U '%s' || true", lab.Domain, there, administrator)},
	}
}
