package enroll

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/spn"
)

// fake is a directory of a few accounts that carries modifications out.
type fake struct {
	kind     directory.Controller
	accounts []directory.Account
	refuse   map[string]error // by attribute
	twice    bool             // as Samba, it lets no service name be deleted that is there twice
}

func (f *fake) Root(context.Context) (directory.Root, error) {
	return directory.Root{Server: "dc1.example.org", Domain: "example.org", Kind: f.kind}, nil
}

func (f *fake) Mappings(context.Context) ([]string, error) { return []string{"http", "cifs"}, nil }

func (f *fake) Accounts(_ context.Context, q directory.Query) (out []directory.Account, err error) {
	for _, a := range f.accounts {
		named := slices.ContainsFunc(q.Names, func(n string) bool { return isCalled(a, n) })
		if named || q.Pattern != "" && holds(a, q.Pattern) {
			out = append(out, a)
		}
	}
	return out, nil
}

func (f *fake) Find(ctx context.Context, names []string) ([]directory.Account, error) {
	return f.Accounts(ctx, directory.Query{Names: names})
}

func (f *fake) Modify(_ context.Context, dn string, mods ...directory.Mod) error {
	for i := range f.accounts {
		a := &f.accounts[i]
		if a.DN != dn {
			continue
		}
		for _, m := range mods {
			if err := f.refuse[m.Attribute]; err != nil {
				return err
			}
			if f.twice && m.Op == directory.Delete {
				return fault.New(fault.DirectoryFailed, "", "server", "dc1", "object", dn, "reason", "Constraint Violation")
			}
			if m.Op == directory.Replace {
				a.ServiceNames = nil
			}
			for _, v := range m.Values {
				switch {
				case m.Op == directory.Replace:
					a.ServiceNames = append(a.ServiceNames, string(v))
				case m.Attribute == directory.AttributeEncryptionTypes:
					a.EncryptionTypes = map[string]uint32{"24": 24, "28": 28}[string(v)]
				case m.Op == directory.Add:
					a.ServiceNames = append(a.ServiceNames, string(v))
				default:
					a.ServiceNames = slices.DeleteFunc(a.ServiceNames, func(s string) bool { return s == string(v) })
				}
			}
		}
		return nil
	}
	return fault.New(fault.DirectoryObjectGone, "", "object", dn)
}

func joined() directory.Account {
	return directory.Account{Class: directory.Computer, Name: "HV01$", DN: "CN=HV01", DNSHostName: "hv01.example.org", KeyVersion: 2,
		EncryptionTypes: 4, ServiceNames: []string{"HOST/HV01", "HOST/hv01.example.org", "RestrictedKrbHost/HV01"}}
}

func goodOptions() Options {
	return Options{Account: "HV01$", Keytab: "/etc/krb5.keytab", Keys: []krb.KeytabKey{{Principal: "HV01$@EXAMPLE.ORG", Version: 2, AES: true}}}
}

func TestEnrolAddsWhatLacksAndThenNothing(t *testing.T) {
	f := &fake{kind: directory.Samba, accounts: []directory.Account{joined()}}
	var asked []string
	o := goodOptions()
	o.Ticket = func(_ context.Context, s string) error { asked = append(asked, s); return nil }
	r, err := Host(t.Context(), f, o)
	if err != nil || r.Failed() {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, want := range spn.Stored(true, spn.Migration+"/HV01", spn.Migration+"/hv01.example.org") {
		if !slices.Contains(f.accounts[0].ServiceNames, want) {
			t.Errorf("%q was not added: %q", want, f.accounts[0].ServiceNames)
		}
	}
	if slices.ContainsFunc(f.accounts[0].ServiceNames, func(n string) bool { return spn.Class(n) == "cifs" }) {
		t.Errorf("cifs was added, which HOST stands for: %q", f.accounts[0].ServiceNames)
	}
	if f.accounts[0].EncryptionTypes != 28 || !slices.Contains(asked, "cifs/HV01") || len(asked) != 8 {
		t.Errorf("encryption types %d, tickets asked for %q", f.accounts[0].EncryptionTypes, asked)
	}
	before := slices.Clone(f.accounts[0].ServiceNames)
	r, err = Host(t.Context(), f, o)
	if err != nil || r.Failed() || slices.ContainsFunc(r.Checks, func(c Check) bool { return c.State != OK }) {
		t.Errorf("the second time: %+v, %v", r, err)
	}
	if !slices.Equal(before, f.accounts[0].ServiceNames) {
		t.Errorf("the second time it changed the names: %q", f.accounts[0].ServiceNames)
	}
}

func TestEnrolOnWindowsWritesNoTwins(t *testing.T) {
	f := &fake{kind: directory.Windows, accounts: []directory.Account{joined()}}
	if _, err := Host(t.Context(), f, goodOptions()); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(f.accounts[0].ServiceNames, spn.IsTwin) {
		t.Errorf("%q", f.accounts[0].ServiceNames)
	}
}

func TestDryRunChangesNothing(t *testing.T) {
	f := &fake{kind: directory.Samba, accounts: []directory.Account{joined()}}
	o := goodOptions()
	o.DryRun = true
	r, err := Host(t.Context(), f, o)
	if err != nil || r.Failed() {
		t.Fatalf("%+v, %v", r, err)
	}
	planned := 0
	for _, c := range r.Checks {
		if c.State == Planned {
			planned++
		}
	}
	if planned != 2 || len(f.accounts[0].ServiceNames) != 3 || f.accounts[0].EncryptionTypes != 4 {
		t.Errorf("%d planned, %+v", planned, f.accounts[0])
	}
}

func TestEnrolTellsTroublesApart(t *testing.T) {
	taken := directory.Account{Class: directory.User, Name: "svc", DN: "CN=svc", ServiceNames: []string{strings.ToLower(spn.Migration) + "/hv01"}}
	for name, tc := range map[string]struct {
		account func(*directory.Account)
		options func(*Options)
		refuse  map[string]error
		others  []directory.Account
		check   string
		want    fault.Code
	}{
		"disabled":          {account: func(a *directory.Account) { a.Flags = directory.FlagDisabled }, check: "account", want: fault.HostAccountDisabled},
		"keytab behind":     {options: func(o *Options) { o.Keys[0].Version = 1 }, check: "keytab", want: fault.KeytabStale},
		"directory behind":  {options: func(o *Options) { o.Keys[0].Version = 3 }, check: "keytab", want: fault.KeytabStale},
		"no AES key":        {options: func(o *Options) { o.Keys[0].AES = false }, check: "keytab", want: fault.AgentNoKeytab},
		"key of another":    {options: func(o *Options) { o.Keys[0].Principal = "HV02$@EXAMPLE.ORG" }, check: "keytab", want: fault.AgentNoKeytab},
		"name is taken":     {others: []directory.Account{taken}, check: "service names", want: fault.ServiceNameTaken},
		"may not write":     {refuse: map[string]error{directory.AttributeServiceNames: fault.New(fault.DirectoryAccessDenied, "")}, check: "service names", want: fault.DirectoryAccessDenied},
		"may not set types": {refuse: map[string]error{directory.AttributeEncryptionTypes: fault.New(fault.DirectoryAccessDenied, "")}, check: "encryption types", want: fault.HostWithoutAES},
		"KDC knows no names": {options: func(o *Options) {
			o.Ticket = func(context.Context, string) error { return fault.New(fault.ServiceUnknown, "") }
		}, check: "tickets", want: fault.ServiceUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			a, o := joined(), goodOptions()
			if tc.account != nil {
				tc.account(&a)
			}
			if tc.options != nil {
				tc.options(&o)
			}
			r, err := Host(t.Context(), &fake{kind: directory.Samba, accounts: append([]directory.Account{a}, tc.others...), refuse: tc.refuse}, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Checks {
				if c.State == Bad && (c.Name != tc.check || c.Finding == nil || c.Finding.Code != tc.want) {
					t.Errorf("%+v (finding %+v)", c, c.Finding)
				}
			}
			if !r.Failed() {
				t.Errorf("nothing failed: %+v", r)
			}
		})
	}
}

func TestAddAndDeleteWithChecks(t *testing.T) {
	host := joined()
	host.ServiceNames = append(host.ServiceNames, spn.Stored(true, spn.Migration+"/HV01")...)
	other := directory.Account{Class: directory.User, Name: "svc", DN: "CN=svc", Flags: directory.FlagDisabled, ServiceNames: []string{"MSSQLSvc/db01:1433"}}
	f := &fake{kind: directory.Samba, accounts: []directory.Account{host, other}}

	c, err := PlanAdd(t.Context(), f, nil, host, []string{"CIFS/hv01", spn.Migration + "/HV01", spn.Migration + "/x"})
	if err != nil || !slices.Equal(c.Add, append([]string{"CIFS/hv01"}, spn.Stored(true, spn.Migration+"/x")...)) || len(c.Already) != 2 {
		t.Errorf("add: %+v, %v", c, err)
	}
	if _, err := PlanAdd(t.Context(), f, nil, host, []string{"mssqlsvc/DB01:1433"}); !fault.Is(err, fault.ServiceNameTaken) {
		t.Errorf("a name on a disabled user: %v", err)
	}
	forest := &fake{accounts: []directory.Account{{DN: "CN=x,DC=child", ServiceNames: []string{"cifs/elsewhere"}}}}
	if _, err := PlanAdd(t.Context(), f, forest, host, []string{"cifs/elsewhere"}); !fault.Is(err, fault.ServiceNameTaken) {
		t.Errorf("a name in another domain: %v", err)
	}
	c, err = PlanDelete(t.Context(), f, host, []string{strings.ToUpper(spn.Migration) + "/hv01", "cifs/none"})
	if err != nil || len(c.Delete) != 2 || !slices.Equal(c.Already, []string{"cifs/none"}) {
		t.Errorf("delete: %+v, %v", c, err)
	}
	if err := Apply(t.Context(), f, c); err != nil || len(f.accounts[0].ServiceNames) != 3 {
		t.Errorf("%v, %q", err, f.accounts[0].ServiceNames)
	}
	for _, bad := range []string{"", "cifs", "cifs/", "cifs/10.0.0.1", "cifs/[fe80::1]", spn.Twin(spn.Migration + "/HV01"), "cifs/a@REALM", "a/b/c/d", "cifs/a\nb", " cifs/a"} {
		if _, err := PlanAdd(t.Context(), f, nil, host, []string{bad}); !fault.Is(err, fault.ServiceNameMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAccountByEveryNameItHas(t *testing.T) {
	user := directory.Account{Class: directory.User, Name: "HV01", DN: "CN=HV01,CN=Users"}
	twice := directory.Account{Class: directory.Computer, Name: "HV09$", DN: "CN=HV09", DNSHostName: "hv01.example.org"}
	f := &fake{accounts: []directory.Account{joined(), user, twice}}
	if a, err := Account(t.Context(), &fake{accounts: []directory.Account{joined()}}, "hv01.example.org."); err != nil || a.DN != "CN=HV01" {
		t.Errorf("with a dot at its end: %+v, %v", a, err)
	}
	for _, name := range []string{"HV01", "hv01", "HV01$", "CN=hv01"} {
		if a, err := Account(t.Context(), f, name); err != nil || a.DN != "CN=HV01" {
			t.Errorf("%q: %+v, %v", name, a, err)
		}
	}
	for name, code := range map[string]fault.Code{"HV77": fault.HostNotInDirectory, "10.0.0.1": fault.HostNameIsAddress, "[::1]": fault.HostNameIsAddress, "hv01.example.org": fault.HostNameAmbiguous} {
		if _, err := Account(t.Context(), f, name); !fault.Is(err, code) {
			t.Errorf("%q: %v, want %s", name, err, code)
		}
	}
	if _, err := Account(t.Context(), failing{f}, "HV01"); err == nil {
		t.Error("no error from a directory that does not answer")
	}
}

type failing struct{ *fake }

func (failing) Find(context.Context, []string) ([]directory.Account, error) {
	return nil, errors.New("gone")
}

func TestANameThatIsThereTwiceCanBeTakenAway(t *testing.T) {
	f := &fake{kind: directory.Samba, twice: true, accounts: []directory.Account{joined()}}
	c, err := PlanDelete(t.Context(), f, f.accounts[0], []string{"host/hv01"})
	if err == nil {
		err = Apply(t.Context(), f, c)
	}
	if err != nil || !slices.Equal(f.accounts[0].ServiceNames, joined().ServiceNames[1:]) {
		t.Errorf("%v, %q", err, f.accounts[0].ServiceNames)
	}
}
