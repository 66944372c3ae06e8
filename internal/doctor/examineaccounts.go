package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/krb"
)

// Attributes and flags of an operator's account that say whether it may sign in at
// all. The last two are computed by the controller (MS-ADTS 3.1.1.4.5.17).
const (
	attributeComputed = "msDS-User-Account-Control-Computed"
	attributeExpires  = "accountExpires"
	attributeLockout  = "lockoutTime"
	attributeChanged  = "whenChanged"
	attributeLastSet  = "pwdLastSet"

	computedLockedOut       = 0x10
	computedPasswordExpired = 0x800000
)

// checkOperator looks at whether the operator can get tickets at all. Whether hosts may
// act for them, the audit has said.
func (x *examination) checkOperator(ctx context.Context) {
	const what = "the operator's account"
	o := x.operator()
	switch {
	case o == "":
		x.didNot(AreaDirectory, what, "", "nobody was named")
		return
	case x.dir == nil || x.snap == nil:
		x.didNot(AreaDirectory, what, o, "the directory was not read")
		return
	}
	a, err := x.dir.Account(ctx, o)
	if errors.Is(err, directory.ErrNotFound) {
		return // told by the audit
	}
	if err != nil {
		x.didNot(AreaDirectory, what, o, inWords(err))
		return
	}
	e, err := x.dir.Read(ctx, a.DN, attributeComputed, attributeExpires, attributeLockout, attributeLastSet, attributeChanged)
	if err != nil {
		x.didNot(AreaDirectory, what, o, inWords(err))
		return
	}
	x.did(AreaDirectory, what, o)
	x.judgeOperator(a, e)
	x.judgeTicket(o, a.DN, e)
}

func (x *examination) judgeOperator(a directory.Account, e directory.Entry) {
	about := func(attribute, value string) func(*finding.Finding) {
		return func(f *finding.Finding) {
			f.DN, f.Attribute, f.ReadFrom = a.DN, attribute, x.snap.Root.Server
			f.Evidence = attribute + " is " + value
			f.Effect = "with the operator's next ticket (kinit)" + x.elsewhere()
		}
	}
	samba := func(verb string, words ...string) finding.Command {
		line := "samba-tool user " + verb + " " + finding.Quote(finding.Shell, a.Name)
		for _, w := range words {
			line += " " + w
		}
		return finding.Command{Tool: finding.SambaTool, Line: line + " -H ldap://" + x.snap.Root.Server + " -U Administrator"}
	}
	powerShell := func(line string) finding.Command {
		return finding.Command{Tool: finding.PowerShell, Line: strings.ReplaceAll(line, "NAME", finding.Quote(finding.PowerShell, a.Name))}
	}
	flags := number(e, attributeComputed)
	if flags&computedPasswordExpired != 0 || present(e, attributeLastSet) && number(e, attributeLastSet) == 0 {
		x.tell(finding.Error, a.Name, fault.New(fault.OperatorPassword, "", "object", a.Name), "", "", about(attributeLastSet, one(e, attributeLastSet)), func(f *finding.Finding) {
			f.Fix = []finding.Command{shell("kpasswd %s", a.Name), powerShell("Set-ADAccountPassword -Identity NAME -Reset")}
		})
	}
	if flags&computedLockedOut != 0 || number(e, attributeLockout) > 0 && !present(e, attributeComputed) {
		since := filetime(number(e, attributeLockout)).UTC().Format(time.RFC3339)
		x.tell(finding.Error, a.Name, fault.New(fault.OperatorLocked, "", "object", a.Name, "since", since), "", "", about(attributeLockout, one(e, attributeLockout)), func(f *finding.Finding) {
			f.Fix = []finding.Command{samba("unlock"), powerShell("Unlock-ADAccount -Identity NAME"),
				{Tool: finding.LDIF, Line: ldifLine("dn", a.DN) + "changetype: modify\nreplace: " + attributeLockout + "\n" + attributeLockout + ": 0\n-\n"}}
		})
	}
	if n := number(e, attributeExpires); n > 0 && n != 1<<63-1 && filetime(n).Before(x.Now()) {
		x.tell(finding.Error, a.Name, fault.New(fault.OperatorExpired, "", "object", a.Name, "since", filetime(n).UTC().Format(time.RFC3339)), "", "", about(attributeExpires, one(e, attributeExpires)), func(f *finding.Finding) {
			f.Fix = []finding.Command{samba("setexpiry", "--noexpiry"), powerShell("Clear-ADAccountExpiration -Identity NAME"),
				{Tool: finding.LDIF, Line: ldifLine("dn", a.DN) + "changetype: modify\nreplace: " + attributeExpires + "\n" + attributeExpires + ": 0\n-\n"}}
			f.Undo = []finding.Command{{Tool: finding.LDIF, Line: ldifLine("dn", a.DN) + "changetype: modify\nreplace: " + attributeExpires + "\n" + attributeExpires + ": " + one(e, attributeExpires) + "\n-\n"}}
		})
	}
}

// signInSlack: a sign-in itself may write to the account (lastLogonTimestamp).
const signInSlack = time.Minute

// judgeTicket holds the caller's ticket against the last change of the account.
func (x *examination) judgeTicket(operator, dn string, e directory.Entry) {
	const layout = "20060102150405.0Z" // generalized time, as directories write it
	if x.Caller == nil || !strings.EqualFold(operator, x.Caller.Principal()) {
		return
	}
	changed, err := time.Parse(layout, one(e, attributeChanged))
	issued := x.Caller.Authenticated()
	if err != nil || !changed.After(issued.Add(signInSlack)) {
		return
	}
	x.tell(finding.Warning, operator, fault.New(fault.TicketBeforeChange, "", "operator", operator, "issued", issued.UTC().Format(time.RFC3339), "object", dn, "changed", changed.UTC().Format(time.RFC3339)),
		attributeChanged+" is "+changed.UTC().Format(time.RFC3339)+", the ticket is of "+issued.UTC().Format(time.RFC3339), x.snap.Root.Server,
		func(f *finding.Finding) { f.DN, f.Attribute = dn, attributeChanged },
		cure("at once", []finding.Command{shell("kinit %s", operator), {Tool: finding.PowerShell, Line: "klist purge"}}, nil))
}

func one(e directory.Entry, attribute string) string {
	if v := e.Strings(attribute); len(v) > 0 {
		return v[0]
	}
	return "unset"
}

func present(e directory.Entry, attribute string) bool { return len(e.Attributes[attribute]) > 0 }

func number(e directory.Entry, attribute string) int64 {
	n, _ := strconv.ParseInt(one(e, attribute), 10, 64)
	return n
}

// filetime counts hundreds of nanoseconds since 1601 (MS-DTYP 2.3.3).
func filetime(n int64) time.Time {
	const epoch = 11644473600 // seconds from 1601 to 1970
	return time.Unix(n/1e7-epoch, n%1e7*100)
}

// checkKeytab holds this machine's key against the directory's, where it is one of the
// hosts and may be read.
func (x *examination) checkKeytab(context.Context) {
	const what = "this machine's key"
	i := slices.IndexFunc(x.hosts, x.isHere)
	if i < 0 {
		return
	}
	h := x.hosts[i]
	path := x.Keytab
	if path == "" {
		path = krb.DefaultKeytab
	}
	keys, err := krb.ReadKeytab(path)
	if err != nil {
		x.didNot(AreaKerberos, what, h.Name, inWords(err))
		return
	}
	if h.account == nil {
		x.didNot(AreaKerberos, what, h.Name, "the directory was not read")
		return
	}
	newest, found := krb.NewestKey(keys, h.Account)
	if found && newest.AES && h.account.KeyVersion == 0 {
		x.didNot(AreaKerberos, what, h.Name, "the directory does not show the version of the account's key")
		return
	}
	x.did(AreaKerberos, what, h.Name)
	switch {
	case !found || !newest.AES:
		evidence := path + " has no AES key of " + h.Account
		if found {
			evidence = fmt.Sprintf("%s has a key of version %d of %s, and none that is AES", path, newest.Version, h.Account)
		}
		x.tell(finding.Error, h.Account, fault.New(fault.AgentNoKeytab, h.Name, "keytab", path), evidence, path, aboutHost(h), renewKey(h))
	case newest.Version != h.account.KeyVersion:
		x.tell(finding.Error, h.Account, fault.New(fault.KeytabStale, h.Name, "account", h.Account, "keytab", path),
			fmt.Sprintf("%s has version %d, %s has version %d in msDS-KeyVersionNumber", path, newest.Version, x.snap.Root.Server, h.account.KeyVersion), path,
			aboutHost(h), renewKey(h), func(f *finding.Finding) { f.DN, f.Attribute = h.DN, "msDS-KeyVersionNumber" })
	}
}

// renewKey gives the account a new password, and the keytab its keys.
func renewKey(h *seenHost) func(*finding.Finding) {
	return cure("with the next ticket for the host; those of before can no longer be read: kdestroy and kinit get new ones", []finding.Command{
		shell("adcli join --computer-name %s -U Administrator", h.Name), // adcli update would need the right key
		{Tool: finding.PowerShell, Line: "Reset-ComputerMachinePassword"}}, nil)
}

// checkKrb5Conf holds krb5.conf against the domain that the hosts are in.
func (x *examination) checkKrb5Conf(context.Context) {
	const what = "krb5.conf"
	conf, err := krb.ReadConf(x.Krb5Conf)
	if err != nil {
		x.didNot(AreaKerberos, what, x.Here, err.Error())
		return
	}
	if x.Domain == "" {
		x.didNot(AreaKerberos, what, x.Here, "the domain is not known; give --domain, or sign in")
		return
	}
	x.did(AreaKerberos, what, x.Here)
	realm := strings.ToUpper(x.Domain)
	wrong := func(s finding.Severity, object, have, section, evidence string, fix, undo []finding.Command) {
		x.tell(s, object, fault.New(fault.RealmMapping, "", "path", conf.Path, "name", object, "have", have, "want", realm, "section", section),
			evidence, conf.Path, cure("with the next program that is started", fix, undo))
	}
	told := map[string]bool{}
	for _, h := range x.hosts {
		name, have := conf.Mapping(h.FQDN)
		if have == "" || strings.EqualFold(have, realm) || told[name] || !strings.HasSuffix(h.FQDN, "."+x.Domain) {
			continue
		}
		told[name] = true
		fix, undo := mapping(conf.Path, name, x.Domain, realm)
		wrong(finding.Error, h.FQDN, have, "[domain_realm]", "[domain_realm] assigns "+name+" to "+have, fix, undo)
	}
	if have := conf.DefaultRealm(); have != "" && !strings.EqualFold(have, realm) && len(x.hosts) > 0 {
		fix, undo := edit(conf.Path, "default-realm", `s/^\([[:space:]]*default_realm[[:space:]]*=\).*/\1 `+realm+"/")
		wrong(finding.Warning, x.Domain, have, "[libdefaults]", "default_realm is "+have, fix, undo)
	}
}
