package doctor

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// complete gives a finding of the audit what whoever cures it by another tool needs:
// PowerShell and LDIF beside what the audit proposes, what was read, and when the cure
// shows.
func (x *examination) complete(f finding.Finding) finding.Finding {
	f.ReadFrom, f.ReadAt = x.snap.Root.Server, x.snap.Time.UTC()
	f.Effect = x.effect(f.Code)
	a := x.account(f)
	if a == nil {
		if f.Code == fault.HostNotInDirectory {
			f.Host = shortName(f.Object)
		}
		return f
	}
	if h := x.ownerOf(f, a); h != "" {
		f.Host = h
	}
	f.Evidence = x.read(f, a)
	changes := x.changes(f, a)
	for _, c := range changes {
		f.Fix = append(append(f.Fix, c.powerShell(false)...), c.ldif(false))
	}
	for _, c := range slices.Backward(changes) { // a name is of one account at a time
		f.Undo = append(append(f.Undo, c.powerShell(true)...), c.ldif(true))
	}
	f.Fix, f.Undo = distinct(f.Fix), distinct(f.Undo)
	if f.Code == fault.ServiceNameDuplicate {
		f.Undo = nil
	}
	return f
}

// ownerOf is the host that suffers.
func (x *examination) ownerOf(f finding.Finding, a *directory.Account) string {
	for _, name := range []string{f.Destination, f.Source} {
		if name != "" && (f.Source == "" || f.Destination == "") {
			return name
		}
	}
	if a.Class == directory.Computer && f.Source == "" {
		return shortName(a.Name)
	}
	return ""
}

// distinct leaves out what is there already.
func distinct(cs []finding.Command) []finding.Command {
	var out []finding.Command
	for _, c := range cs {
		if c.Line != "" && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// read is the value of the attribute that a finding is about.
func (x *examination) read(f finding.Finding, a *directory.Account) string {
	var value string
	switch f.Attribute {
	case directory.AttributeFlags:
		value = fmt.Sprintf("%s is %d: %s", f.Attribute, int32(a.Flags), strings.Join(delegation.FlagNames(a.Flags), ", "))
	case directory.AttributeDelegateTo:
		value = listed(f.Attribute, a.DelegateTo)
	case directory.AttributeServiceNames:
		value = listed(f.Attribute, a.ServiceNames)
	case directory.AttributeEncryptionTypes:
		value = fmt.Sprintf("%s is %d", f.Attribute, a.EncryptionTypes)
	}
	own, _, _ := strings.Cut(f.Evidence, "read from ") // where and when have their own places
	own = strings.TrimRight(own, "; ")
	switch {
	case value == "" || strings.HasPrefix(own, f.Attribute):
		return own
	case own == "":
		return value
	}
	return own + "; " + value
}

// listed shows a list of values, not more than a person reads.
func listed(attribute string, values []string) string {
	const most = 12
	plain := spn.PlainList(values)
	slices.Sort(plain)
	switch n := len(plain); {
	case n == 0:
		return attribute + " has no values"
	case n > most:
		return fmt.Sprintf("%s has %d values, among them %s", attribute, n, strings.Join(plain[:most], ", "))
	}
	return attribute + " has " + strings.Join(plain, ", ")
}

// effect says when a cure shows.
func (x *examination) effect(c fault.Code) string {
	switch c {
	case fault.ServiceNameDuplicate:
		return "at once" + x.elsewhere() + "; not to be taken back: controllers refuse a name that another account has"
	case fault.ServiceNameMissing, fault.ServiceNameMisplaced:
		return "at once" + x.elsewhere() + "; a Windows client remembers for up to 15 minutes that a name was not there"
	case fault.OperatorSensitive, fault.OperatorDisabled:
		return "with the operator's next ticket (kinit)" + x.elsewhere()
	case fault.HostWithoutAES, fault.KeytabStale:
		return "with the next ticket for the host; tickets live for up to 10 hours, and klist purge or kinit gets new ones" + x.elsewhere()
	}
	return "at once" + x.elsewhere() + "; tickets that a host got before live for up to 10 hours and are given up with: drover ticket purge --host HOST"
}

// change is what happens to one attribute.
type change struct {
	host      delegation.Host
	attribute string
	add, del  []string
	// whole replaces the list by rest: Samba does not let one of two equal service names
	// be deleted by itself.
	whole bool
	rest  []string
}

// changes are what cures a finding about an account, in terms of the directory.
func (x *examination) changes(f finding.Finding, a *directory.Account) []change {
	h := delegation.Host{Name: shortName(a.Name), Account: a.Name, DN: a.DN, FQDN: a.DNSHostName}
	samba := x.snap.Root.Kind == directory.Samba
	one := func(c change) []change {
		c.host, c.attribute = h, f.Attribute
		return []change{c}
	}
	switch f.Code {
	case fault.DelegationIncomplete, fault.DelegationShortOnly, fault.DelegationFullOnly, fault.ServiceNameMissing:
		return one(change{add: f.Values})
	case fault.DelegationStaleName, fault.DelegationWrongObject:
		return one(change{del: storedFor(a.DelegateTo, f.Values)})
	case fault.ServiceNameMisplaced:
		out := one(change{del: storedFor(a.ServiceNames, f.Values)})
		if owner := x.computer(f.Destination); owner != nil {
			out = append(out, change{host: delegation.Host{Account: owner.Name, DN: owner.DN}, attribute: f.Attribute, add: spn.Stored(samba, f.Values...)})
		}
		return out
	case fault.ServiceNameDuplicate:
		return x.duplicates(f, a)
	case fault.TransitionMissing:
		return one(flagged(a.Flags, directory.FlagTrustedToAuth, 0))
	case fault.Unconstrained:
		return one(flagged(a.Flags, 0, directory.FlagTrustedForAny))
	case fault.HostAccountDisabled, fault.OperatorDisabled:
		return one(flagged(a.Flags, 0, directory.FlagDisabled))
	case fault.OperatorSensitive:
		if f.Attribute == directory.AttributeFlags {
			return one(flagged(a.Flags, 0, directory.FlagNotDelegated))
		}
	case fault.HostWithoutAES:
		c := change{add: []string{strconv.FormatUint(uint64(a.EncryptionTypes|directory.EncryptionAES), 10)}}
		if a.EncryptionTypes != 0 {
			c.del = []string{strconv.FormatUint(uint64(a.EncryptionTypes), 10)}
		}
		return one(c)
	}
	return nil
}

// duplicates takes a name from every account but the one that it belongs to. Where
// nobody knows which that is, there is nothing to propose.
func (x *examination) duplicates(f finding.Finding, about *directory.Account) (out []change) {
	if len(f.Values) == 0 {
		return nil
	}
	if n, err := spn.Parse(f.Values[0]); err != nil || !sameHostName(n.HostName(), about.Name) {
		return nil
	}
	for i := range x.snap.Accounts {
		a := &x.snap.Accounts[i]
		if stored := storedFor(a.ServiceNames, f.Values); a.DN != about.DN && len(stored) > 0 {
			c := change{host: delegation.Host{Account: a.Name, DN: a.DN}, attribute: f.Attribute, del: stored}
			c.whole = x.snap.Root.Kind == directory.Samba
			for _, v := range a.ServiceNames {
				if !slices.Contains(stored, v) {
					c.rest = append(c.rest, v)
				}
			}
			out = append(out, c)
		}
	}
	return out
}

func (x *examination) computer(short string) *directory.Account {
	for i := range x.snap.Accounts {
		if a := &x.snap.Accounts[i]; a.Class == directory.Computer && sameHostName(a.Name, short) {
			return a
		}
	}
	return nil
}

// storedFor are the values of a list that stand for plain ones, twins included.
func storedFor(list, plain []string) (out []string) {
	for _, v := range list {
		if slices.ContainsFunc(plain, func(p string) bool { return spn.Equal(v, p) }) {
			out = append(out, v)
		}
	}
	return out
}

// flagged changes bits of userAccountControl, which is stored as a signed number.
func flagged(flags, set, clear uint32) change {
	number := func(n uint32) []string { return []string{strconv.FormatInt(int64(int32(n)), 10)} }
	return change{del: number(flags), add: number(flags&^clear | set)}
}

// inPowerShell writes PowerShell whatever the controllers are.
var inPowerShell = delegation.CommandsFor(&delegation.Plan{Kind: string(directory.Windows)})

// powerShell writes the change, or its undoing.
func (c change) powerShell(undo bool) (out []finding.Command) {
	add, del := c.add, c.del
	if undo {
		add, del = del, add
	}
	var all []finding.Command
	switch c.attribute {
	case directory.AttributeDelegateTo:
		if len(del) > 0 {
			all = append(all, inPowerShell.Delegation(c.host, false, del)...)
		}
		if len(add) > 0 {
			all = append(all, inPowerShell.Delegation(c.host, true, add)...)
		}
	case directory.AttributeServiceNames:
		if len(del) > 0 {
			all = append(all, inPowerShell.ServiceNames(c.host, false, del)...)
		}
		if len(add) > 0 {
			all = append(all, inPowerShell.ServiceNames(c.host, true, add)...)
		}
	case directory.AttributeFlags, directory.AttributeEncryptionTypes:
		how := "-Clear " + c.attribute
		if len(add) > 0 {
			how = "-Replace @{" + finding.Quote(finding.PowerShell, c.attribute) + "=" + add[0] + "}"
		}
		all = append(all, finding.Command{Tool: finding.PowerShell, Line: "Set-ADObject -Identity " + finding.Quote(finding.PowerShell, c.host.DN) + " " + how})
	}
	for _, cmd := range all {
		if cmd.Tool == finding.PowerShell {
			out = append(out, cmd)
		}
	}
	return out
}

// ldif writes the change, or its undoing, as a record for ldapmodify (RFC 2849). What
// it takes away has to be there, so that it changes nothing that was changed since.
func (c change) ldif(undo bool) finding.Command {
	add, del := c.add, c.del
	if undo {
		add, del = del, add
	}
	var b strings.Builder
	b.WriteString(ldifLine("dn", c.host.DN) + "changetype: modify\n")
	if c.whole && !undo {
		b.WriteString("replace: " + c.attribute + "\n")
		for _, v := range c.rest {
			b.WriteString(ldifLine(c.attribute, v))
		}
		b.WriteString("-\n")
		return finding.Command{Tool: finding.LDIF, Line: b.String()}
	}
	for _, part := range []struct {
		how    string
		values []string
	}{{"delete", del}, {"add", add}} {
		if len(part.values) == 0 {
			continue
		}
		b.WriteString(part.how + ": " + c.attribute + "\n")
		for _, v := range part.values {
			b.WriteString(ldifLine(c.attribute, v))
		}
		b.WriteString("-\n")
	}
	return finding.Command{Tool: finding.LDIF, Line: b.String()}
}

// ldifLine writes a value plainly where that is safe (RFC 2849: SAFE-STRING).
func ldifLine(name, value string) string {
	safe := value != "" && !strings.ContainsAny(value[:1], " :<") && !strings.HasSuffix(value, " ") &&
		!strings.ContainsFunc(value, func(r rune) bool { return r < 0x20 || r > 0x7e })
	if safe {
		return name + ": " + value + "\n"
	}
	return name + ":: " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n"
}
