package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/krb"
	"drover/internal/look"
)

// Ports that are looked at.
const (
	portKerberos = 88
	portLDAP     = 389
	portAPI      = 6601
)

// maxSkew is how far clocks may differ (RFC 4120's usual value, and AD's default);
// beyond nearSkew there is little left of it.
const (
	maxSkew  = 5 * time.Minute
	nearSkew = 2 * time.Minute
)

// controller is one domain controller that DNS names.
type controller struct {
	name  string
	addrs []netip.Addr
	works bool // answers Kerberos
	// kerberos and ldap are how its ports were seen.
	kerberos, ldap look.Port
}

// readResolver reads where names are asked for.
func (x *examination) readResolver() {
	var err error
	if x.resolver, err = x.Machine.Resolver(); err != nil {
		x.didNot(AreaNames, "name servers", x.Here, err.Error())
	}
}

// serviceRecords are what hosts and programs find controllers by. That of UDP is
// asked for by MIT's programs before they try TCP.
func serviceRecords(domain string) []string {
	return []string{"_ldap._tcp.dc._msdcs." + domain, "_kerberos._tcp." + domain, "_kerberos._udp." + domain}
}

// findControllers asks each name server for the controllers of the domain.
func (x *examination) findControllers(ctx context.Context) {
	const what = "service records of the controllers"
	if x.Domain == "" {
		x.didNot(AreaNames, what, "", "the domain is not known; give --domain, or sign in")
		return
	}
	type question struct{ server, record string }
	var questions []question
	for _, s := range x.resolver.Servers {
		for _, r := range serviceRecords(x.Domain) {
			questions = append(questions, question{s, r})
		}
	}
	answers := make([]look.Answer, len(questions))
	eachIndex(len(questions), func(i int) { answers[i] = x.Machine.Service(ctx, questions[i].server, questions[i].record) })
	var names []string
	missing := map[string][]string{} // servers by record
	for i, a := range answers {
		switch a.State {
		case look.Found:
			for _, v := range a.Values {
				if host, _, err := net.SplitHostPort(v); err == nil && !slices.Contains(names, host) {
					names = append(names, host)
				}
			}
		case look.NoName, look.NoData:
			missing[questions[i].record] = append(missing[questions[i].record], plainServer(a.Server))
		}
	}
	x.silentServers(answers)
	for _, r := range serviceRecords(x.Domain) {
		if servers := missing[r]; len(servers) > 0 {
			severity := finding.Error
			if strings.HasPrefix(r, "_kerberos._udp") {
				severity = finding.Warning
			}
			x.tell(severity, r, fault.New(fault.DNSServiceMissing, "", "server", strings.Join(servers, ", "), "name", r),
				"no such record", strings.Join(servers, ", "),
				cure("with the next question; a name server may remember for up to an hour that the record was not there",
					[]finding.Command{shell("samba_dnsupdate --verbose --all-names"), {Tool: finding.PowerShell, Line: "nltest /dsregdns"}}, nil))
		}
	}
	x.controllers = x.resolveControllers(ctx, names)
	if slices.ContainsFunc(answers, func(a look.Answer) bool { return a.Definite() }) {
		x.did(AreaNames, what, x.Domain)
	} else {
		x.didNot(AreaNames, what, x.Domain, "no name server answers")
	}
}

// plainServer leaves the usual port out.
func plainServer(s string) string {
	if host, port, err := net.SplitHostPort(s); err == nil && port == "53" {
		return host
	}
	return s
}

// silentServers tells once of each name server that does not answer.
func (x *examination) silentServers(answers []look.Answer) {
	byServer := map[string]string{}
	for _, a := range answers {
		if a.Definite() {
			byServer[a.Server] = ""
		} else if _, seen := byServer[a.Server]; !seen {
			byServer[a.Server] = a.Detail
		}
	}
	for _, s := range x.resolver.Servers {
		if reason := byServer[s]; reason != "" {
			severity := finding.Error
			if len(x.resolver.Servers) > 1 {
				severity = finding.Warning
			}
			x.tell(severity, plainServer(s), fault.New(fault.DNSServerSilent, "", "server", plainServer(s), "path", x.resolver.Path, "reason", reason, "name", x.Domain),
				reason, plainServer(s))
		}
	}
}

// resolveControllers finds the addresses of controllers. One that DNS does not know is
// left over from a controller that is gone.
func (x *examination) resolveControllers(ctx context.Context, names []string) []controller {
	out := make([]controller, len(names))
	eachIndex(len(names), func(i int) {
		out[i].name = names[i]
		definite := false
		for _, s := range x.resolver.Servers {
			a := x.Machine.Host(ctx, s, names[i])
			definite = definite || a.Definite()
			for _, ip := range a.Addresses() {
				if !slices.Contains(out[i].addrs, ip) {
					out[i].addrs = append(out[i].addrs, ip)
				}
			}
		}
		if len(out[i].addrs) == 0 && definite {
			record := serviceRecords(x.Domain)[0]
			x.tell(finding.Warning, names[i], fault.New(fault.DNSServiceStale, "", "name", record, "controller", names[i]),
				"no name server has an address of "+names[i], strings.Join(x.resolver.Servers, ", "))
		}
	})
	return slices.DeleteFunc(out, func(c controller) bool { return len(c.addrs) == 0 })
}

// lookAtControllers tries the ports of each controller and holds its clock against
// this machine's.
func (x *examination) lookAtControllers(ctx context.Context) {
	const what = "Kerberos and LDAP"
	if len(x.controllers) == 0 {
		if x.Domain != "" {
			x.didNot(AreaKerberos, what, x.Domain, "DNS names no controller")
		}
		x.lookAtNamedKDCs(ctx)
		return
	}
	eachIndex(len(x.controllers), func(i int) {
		x.lookAtController(ctx, &x.controllers[i])
		x.did(AreaKerberos, what, x.controllers[i].name)
	})
	x.judgeControllers()
	x.judgeLDAP()
	x.lookAtNamedKDCs(ctx)
	x.compareControllers(ctx)
}

// judgeControllers: that no controller answers is one thing to tell, and not one for
// each of them.
func (x *examination) judgeControllers() {
	var states []string
	for _, c := range x.controllers {
		states = append(states, fmt.Sprintf("%s is %s", c.kerberos.Address, c.kerberos.State))
	}
	if !slices.ContainsFunc(x.controllers, func(c controller) bool { return c.works }) {
		if x.has(fault.KDCWithoutTCP) {
			return
		}
		realm := strings.ToUpper(x.Domain)
		x.tell(finding.Error, realm, fault.New(fault.KDCUnreachable, x.Here, "realm", realm), strings.Join(states, ", "), here(x.Here), firewall)
		return
	}
	for _, c := range x.controllers {
		if !c.works {
			x.port(finding.Warning, nil, c.name, c.kerberos, "Kerberos", "systemctl status samba-ad-dc")
		}
	}
}

// lookAtNamedKDCs tries what krb5.conf names beside DNS.
func (x *examination) lookAtNamedKDCs(ctx context.Context) {
	conf, err := krb.ReadConf(x.Krb5Conf)
	if err != nil || x.Domain == "" {
		return
	}
	known := func(a netip.Addr) bool {
		return slices.ContainsFunc(x.controllers, func(c controller) bool { return slices.Contains(c.addrs, a) })
	}
	for _, k := range conf.KDCs(strings.ToUpper(x.Domain)) {
		host, _, err := net.SplitHostPort(k)
		if err != nil {
			continue
		}
		addrs, err := x.Machine.Resolve(ctx, host)
		if err != nil || len(addrs) == 0 || known(addrs[0]) {
			continue
		}
		if seen, works := x.kerberosOf(ctx, host, addrs[0]); !works {
			x.port(finding.Warning, nil, host, seen, "Kerberos, which "+conf.Path+" names", "systemctl status samba-ad-dc")
		}
	}
}

// account that is asked for without a proof: one that exists, so that no controller
// logs a stranger.
func (x *examination) askedFor() string {
	name, _, _ := strings.Cut(x.operator(), "@")
	if name == "" {
		return "krbtgt"
	}
	return name
}

// kerberosOf asks one controller over TCP and UDP, and says whether it answers over
// TCP, and if not how its port was seen.
func (x *examination) kerberosOf(ctx context.Context, name string, a netip.Addr) (seen look.Port, works bool) {
	at, realm := netip.AddrPortFrom(a, portKerberos), strings.ToUpper(x.Domain)
	var tcp, udp krb.KDCAnswer
	var tcpErr, udpErr error
	inParallel(func(ctx context.Context) {
		if seen = x.Machine.Port(ctx, a, portKerberos); seen.State != look.Open {
			tcpErr = errors.New(seen.Detail)
			return
		}
		ctx, cancel := context.WithTimeout(ctx, x.agentWait())
		defer cancel()
		tcp, tcpErr = krb.AskKDC(ctx, "tcp", at.String(), realm, x.askedFor(), x.Now)
	}, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, x.agentWait())
		defer cancel()
		udp, udpErr = krb.AskKDC(ctx, "udp", at.String(), realm, x.askedFor(), x.Now)
	})(ctx)
	switch {
	case tcpErr == nil:
		x.clock(name, tcp)
		x.operatorKeys(name, tcp)
		if udpErr != nil {
			x.didNot(AreaNetwork, "Kerberos over UDP", name, "no answer over UDP; Drover uses TCP only")
		}
		return seen, true
	case udpErr == nil:
		x.clock(name, udp)
		x.tell(finding.Error, name, fault.New(fault.KDCWithoutTCP, "", "name", name, "reason", tcpErr.Error()),
			"UDP "+at.String()+" answers, TCP does not: "+tcpErr.Error(), here(x.Here), firewall)
	}
	if udpErr != nil {
		x.didNot(AreaKerberos, "clock", name, "it does not answer Kerberos")
	}
	return seen, false
}

// firewall is what a person has to do.
func firewall(f *finding.Finding) { f.Effect = "at once" }

// clock holds a controller's clock against this machine's.
func (x *examination) clock(name string, a krb.KDCAnswer) {
	const what = "clock"
	if a.Clock.IsZero() {
		x.didNot(AreaKerberos, what, name, "its answer does not have the time")
		return
	}
	x.did(AreaKerberos, what, name)
	ahead := a.Clock.Sub(a.At)
	if ahead.Abs() < nearSkew {
		return
	}
	severity := finding.Warning
	if ahead.Abs() > maxSkew {
		severity = finding.Error
	}
	x.tell(severity, name, fault.New(fault.ClockSkew, cmp.Or(x.Here, "this machine"), "peer", name, "skew", ahead.Abs().Round(time.Second).String()),
		fmt.Sprintf("%s says %s, and it is %s here", name, a.Clock.UTC().Format(time.RFC3339), a.At.UTC().Format(time.RFC3339)), name,
		cure("within seconds of the correction", []finding.Command{shell("timedatectl set-ntp true"), shell("chronyc makestep"),
			{Tool: finding.PowerShell, Line: "w32tm /resync /rediscover"}}, nil))
}

// operatorKeys tells that a controller has no AES key for the operator.
func (x *examination) operatorKeys(name string, a krb.KDCAnswer) {
	if !a.RC4Only || x.operator() == "" || x.has(fault.OperatorWithoutAES) {
		return
	}
	user := x.askedFor()
	x.tell(finding.Error, user, fault.New(fault.OperatorWithoutAES, "", "object", user, "server", name),
		"of the encryption types that it offers for the account none is AES", name, func(f *finding.Finding) { f.Attribute = directory.AttributeEncryptionTypes },
		cure("with the operator's next ticket (kinit)"+x.elsewhere(), []finding.Command{
			{Tool: finding.PowerShell, Line: "Set-ADUser -Identity " + finding.Quote(finding.PowerShell, user) + " -KerberosEncryptionType AES128,AES256"},
			{Tool: finding.PowerShell, Line: "Set-ADAccountPassword -Identity " + finding.Quote(finding.PowerShell, user) + " -Reset"},
			shell("net ads enctypes set %s 24 -U Administrator", user), shell("net ads password %s -U Administrator", user)}, nil))
}

// ldapService names the port for people.
const ldapService = "LDAP, by which the directory is read"

// judgeLDAP tells of LDAP ports that are not open: another controller may do, and without
// any the directory cannot be read.
func (x *examination) judgeLDAP() {
	severity := finding.Error
	if slices.ContainsFunc(x.controllers, func(c controller) bool { return c.ldap.State == look.Open }) {
		severity = finding.Warning
	}
	for _, c := range x.controllers {
		x.port(severity, nil, c.name, c.ldap, ldapService, "systemctl status samba-ad-dc")
	}
}

// maxCompared is how many accounts are read from every controller.
const maxCompared = 200

// compareControllers reads the hosts' accounts from each controller. What is not the
// same has not got through yet.
func (x *examination) compareControllers(ctx context.Context) {
	const what = "the same values on every controller"
	if x.snap == nil || x.Directory == nil || len(x.controllers) < 2 {
		return
	}
	var names []string
	for _, h := range x.hosts {
		if h.account != nil && len(names) < maxCompared {
			names = append(names, h.DN)
		}
	}
	if len(names) == 0 {
		return
	}
	for _, c := range x.controllers {
		if strings.EqualFold(c.name, x.snap.Root.Server) {
			continue
		}
		other, err := x.accountsOn(ctx, c, names)
		if err != nil {
			x.didNot(AreaDirectory, what, c.name, inWords(err))
			continue
		}
		x.did(AreaDirectory, what, c.name)
		for _, h := range x.hosts {
			if h.account != nil {
				x.compareAccount(h, other[strings.ToLower(h.DN)], c.name)
			}
		}
	}
}

func (x *examination) accountsOn(ctx context.Context, c controller, dns []string) (map[string]*directory.Account, error) {
	if !c.works {
		return nil, errors.New("it does not answer")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*x.agentWait())
	defer cancel()
	d, err := x.Directory(ctx, c.name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	found, err := d.Accounts(ctx, directory.Query{Names: dns})
	if err != nil {
		return nil, err
	}
	out := map[string]*directory.Account{}
	for i := range found {
		out[strings.ToLower(found[i].DN)] = &found[i]
	}
	return out, nil
}

// compareAccount tells which attributes of a host are not the same on another
// controller.
func (x *examination) compareAccount(h *seenHost, other *directory.Account, server string) {
	differs := func(attribute, here, there string) {
		if here == there {
			return
		}
		x.tell(finding.Warning, h.Account, fault.New(fault.ReplicationPending, "", "attribute", attribute, "object", h.Account, "server", x.snap.Root.Server, "other", server),
			fmt.Sprintf("%s has %q, %s has %q", x.snap.Root.Server, here, server, there), server, aboutHost(h), func(f *finding.Finding) { f.DN, f.Attribute = h.DN, attribute },
			cure("when replication has run", []finding.Command{shell("samba-tool drs replicate %s %s %s", server, x.snap.Root.Server, x.snap.Root.BaseDN),
				{Tool: finding.PowerShell, Line: "repadmin /syncall " + server + " /AdeP"}}, nil))
	}
	if other == nil {
		differs("the account itself", "it", "")
		return
	}
	a := h.account
	differs(directory.AttributeDelegateTo, sortedList(a.DelegateTo), sortedList(other.DelegateTo))
	differs(directory.AttributeServiceNames, sortedList(a.ServiceNames), sortedList(other.ServiceNames))
	differs(directory.AttributeFlags, fmt.Sprint(a.Flags), fmt.Sprint(other.Flags))
	differs(directory.AttributeActOnBehalf, fmt.Sprintf("%x", a.ActOnBehalf), fmt.Sprintf("%x", other.ActOnBehalf))
	differs("msDS-KeyVersionNumber", fmt.Sprint(a.KeyVersion), fmt.Sprint(other.KeyVersion))
}

func sortedList(values []string) string {
	var out []string
	for _, v := range values {
		out = append(out, strings.ToLower(v))
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}
