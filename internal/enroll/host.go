package enroll

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/krb"
	"drover/internal/spn"
)

// classes are the service classes under which a host is spoken to: HOST, which
// stands for many (HTTP, cifs), the migration service and storage.
var classes = []string{"HOST", "HTTP", spn.Storage, spn.Migration}

// NamesFor are the plain service names that a host needs and does not have, or has
// without the twin that Samba's controllers need. mappings are the classes that
// HOST stands for.
func NamesFor(a directory.Account, mappings []string, twins bool) []string {
	var out []string
	for _, v := range delegation.MissingServiceNames(a, classes, mappings, twins) {
		if n := spn.Plain(v); !spn.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// CheckState is how a check of an enrolment ended.
type CheckState string

// States of a check.
const (
	OK      CheckState = "ok"
	Changed CheckState = "changed" // it was not, and is now
	Planned CheckState = "planned" // it is not, and would be changed without --dry-run
	Bad     CheckState = "failed"  // it is not, and a person has to act
)

// Check is one thing that a host needs.
type Check struct {
	Name    string           `json:"name"`
	State   CheckState       `json:"state"`
	Detail  string           `json:"detail"`
	Finding *finding.Finding `json:"finding,omitempty"`
}

// Report is what Host found and did.
type Report struct {
	Account string  `json:"account"`
	DN      string  `json:"dn"`
	Server  string  `json:"server"`
	Checks  []Check `json:"checks"`
}

// Failed says that a person has to act.
func (r *Report) Failed() bool {
	for _, c := range r.Checks {
		if c.State == Bad {
			return true
		}
	}
	return false
}

// Options say how a host is enrolled.
type Options struct {
	Account string // sAMAccountName, "HV01$"
	Keytab  string // its path, for texts
	Keys    []krb.KeytabKey
	DryRun  bool
	// Ticket asks the domain controller for a ticket to a service name; it is the
	// proof that a name is known.
	Ticket func(ctx context.Context, service string) error
}

// Host gives a host what it needs in the directory to be moved to, and checks what
// it cannot change: keys against the directory's version of them, the account
// itself, and by real tickets that the controller knows the names. An error is
// about the directory as such; what is wrong with the host is in the Report.
func Host(ctx context.Context, d Directory, o Options) (*Report, error) {
	a, err := Account(ctx, d, o.Account)
	if err != nil {
		return nil, err
	}
	root, err := d.Root(ctx)
	if err != nil {
		return nil, err
	}
	mappings, err := d.Mappings(ctx)
	if err != nil {
		return nil, err
	}
	r := &Report{Account: a.Name, DN: a.DN, Server: root.Server}
	r.add(checkAccount(a))
	r.add(checkKeys(a, o))
	r.add(encryption(ctx, d, a, o))
	missing := NamesFor(a, mappings, root.Kind == directory.Samba)
	names, err := serviceNames(ctx, d, a, missing, o)
	if err != nil {
		return nil, err
	}
	r.add(names)
	if o.Ticket != nil && !o.DryRun && names.State != Bad {
		r.add(tickets(ctx, a, o))
	}
	return r, nil
}

func (r *Report) add(c Check) { r.Checks = append(r.Checks, c) }

func bad(name string, s finding.Severity, a directory.Account, attribute string, f *fault.Error) Check {
	found := finding.New(s, a.Name, f)
	found.DN, found.Attribute = a.DN, attribute
	return Check{Name: name, State: Bad, Detail: f.Message(), Finding: &found}
}

func checkAccount(a directory.Account) Check {
	const name = "account"
	if a.Disabled() {
		return bad(name, finding.Error, a, directory.AttributeFlags, fault.New(fault.HostAccountDisabled, "", "name", a.ShortName(), "object", a.Name))
	}
	if a.DNSHostName == "" {
		return Check{Name: name, State: Bad, Detail: a.Name + " has no dNSHostName, so that it has no full service names; `adcli update` or `net ads join` sets it"}
	}
	return Check{Name: name, State: OK, Detail: a.DN}
}

// checkKeys compares the keytab with the directory's version of the account's key.
func checkKeys(a directory.Account, o Options) Check {
	const name = "keytab"
	newest := 0
	for _, k := range o.Keys {
		user, _, _ := strings.Cut(k.Principal, "@")
		if k.AES && strings.EqualFold(user, a.Name) {
			newest = max(newest, k.Version)
		}
	}
	switch {
	case newest == 0:
		return bad(name, finding.Error, a, "", fault.New(fault.AgentNoKeytab, a.ShortName(), "keytab", o.Keytab))
	case a.KeyVersion == 0:
		return Check{Name: name, State: OK, Detail: fmt.Sprintf("AES key of version %d; the directory does not tell its own", newest)}
	case newest != a.KeyVersion:
		c := bad(name, finding.Error, a, "msDS-KeyVersionNumber", fault.New(fault.KeytabStale, a.ShortName(), "account", a.Name, "keytab", o.Keytab))
		c.Detail += fmt.Sprintf(" (keytab: version %d, directory: version %d)", newest, a.KeyVersion)
		c.Finding.Evidence = fmt.Sprintf("keytab %s: version %d; %s: version %d", o.Keytab, newest, a.DN, a.KeyVersion)
		return c
	}
	return Check{Name: name, State: OK, Detail: fmt.Sprintf("AES key of version %d, as in the directory", newest)}
}

// encryption makes the account take AES tickets, and keeps what it takes besides.
func encryption(ctx context.Context, d Directory, a directory.Account, o Options) Check {
	const name = "encryption types"
	if a.EncryptionTypes&directory.EncryptionAES != 0 {
		return Check{Name: name, State: OK, Detail: fmt.Sprintf("AES (%s 0x%x)", directory.AttributeEncryptionTypes, a.EncryptionTypes)}
	}
	want := a.EncryptionTypes | directory.EncryptionAES
	if o.DryRun {
		return Check{Name: name, State: Planned, Detail: fmt.Sprintf("%s from 0x%x to 0x%x", directory.AttributeEncryptionTypes, a.EncryptionTypes, want)}
	}
	var mods []directory.Mod
	if a.EncryptionTypes != 0 {
		mods = append(mods, directory.Mod{Op: directory.Delete, Attribute: directory.AttributeEncryptionTypes, Values: decimal(a.EncryptionTypes)})
	}
	mods = append(mods, directory.Mod{Op: directory.Add, Attribute: directory.AttributeEncryptionTypes, Values: decimal(want)})
	if err := d.Modify(ctx, a.DN, mods...); err != nil {
		c := bad(name, finding.Warning, a, directory.AttributeEncryptionTypes, fault.New(fault.HostWithoutAES, "", "account", a.Name, "values", fmt.Sprintf("0x%x", a.EncryptionTypes)))
		c.Detail += "; it could not be changed: " + fault.From(err).Message()
		return c
	}
	return Check{Name: name, State: Changed, Detail: fmt.Sprintf("%s is 0x%x now", directory.AttributeEncryptionTypes, want)}
}

func decimal(n uint32) [][]byte { return raw([]string{strconv.FormatUint(uint64(n), 10)}) }

func serviceNames(ctx context.Context, d Directory, a directory.Account, missing []string, o Options) (Check, error) {
	const name = "service names"
	c, err := PlanAdd(ctx, d, nil, a, missing)
	if fault.Is(err, fault.ServiceNameTaken) {
		return bad(name, finding.Error, a, directory.AttributeServiceNames, fault.From(err)), nil
	}
	if err != nil {
		return Check{}, err
	}
	added := strings.Join(spn.PlainList(c.Add), ", ")
	switch {
	case c.Empty():
		return Check{Name: name, State: OK, Detail: "all there: " + strings.Join(classes, ", ") + ", each by short and full name"}, nil
	case o.DryRun:
		return Check{Name: name, State: Planned, Detail: "to add: " + added}, nil
	}
	if err := Apply(ctx, d, c); err != nil {
		return bad(name, finding.Error, a, directory.AttributeServiceNames, fault.From(err)), nil
	}
	return Check{Name: name, State: Changed, Detail: "added " + added}, nil
}

// tickets proves that the controller issues tickets for the names.
func tickets(ctx context.Context, a directory.Account, o Options) Check {
	const name = "tickets"
	n := 0
	for _, class := range classes {
		for _, host := range []string{a.ShortName(), a.DNSHostName} {
			if host == "" {
				continue
			}
			if err := o.Ticket(ctx, spn.For(class, host)); err != nil {
				return bad(name, finding.Error, a, directory.AttributeServiceNames, fault.From(err))
			}
			n++
		}
	}
	return Check{Name: name, State: OK, Detail: fmt.Sprintf("the controller issues tickets for all %d names", n)}
}
