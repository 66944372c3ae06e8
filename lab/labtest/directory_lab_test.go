package labtest

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/lab"
)

// directoryTest is a lab's directory with one connection that may change everything,
// and one of a host.
type directoryTest struct {
	*domain
	admin, host *directory.Conn
}

// TestDirectory reads and writes both kinds of Samba with every method.
func TestDirectory(t *testing.T) {
	for name, o := range map[string]lab.Options{
		"samba 4.17": {Name: "dir417"},
		"samba 4.22": {Name: "dir422", Directory: "trixie"},
	} {
		t.Run(name, func(t *testing.T) {
			o.NoAgents, o.Hosts = true, []string{lab.HV01}
			d := domainOf(t, lab.Start(t, o))
			x := &directoryTest{domain: d, admin: d.administrator(t), host: d.ldap(t, d.host(t, lab.HV01, nil))}
			t.Run("accounts", x.testAccounts)
			t.Run("values", x.testValues)
			t.Run("resource-based delegation", x.testActOnBehalf)
			t.Run("groups and changes", x.testGroups)
			t.Run("access denied", x.testDenied)
			t.Run("mappings", x.testMappings)
			t.Run("forest", x.testForest)
			t.Run("many members", x.testManyMembers) // last: fills the directory
		})
	}
}

// administrator connects as the domain's Administrator.
func (d *domain) administrator(t *testing.T) *directory.Conn {
	t.Helper()
	cc := filepath.Join(d.dir, "cc-administrator")
	if _, err := krb.Login(t.Context(), lab.UserAdministrator, lab.AdministratorPassword, cc, d.conf, nil); err != nil {
		t.Fatal(err)
	}
	o, err := krb.OpenOperator(cc, d.conf, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := directory.Dial(t.Context(), directory.Options{Domain: lab.Domain, Servers: []string{controller},
		Principal: o.Principal(), Dial: d.Member(lab.MGMT).Dial,
		Security: func(ctx context.Context, _ *tls.ConnectionState) directory.Security {
			return krb.NewSASL(ctx, o.Ticket)
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mod(op directory.Op, attribute string, values ...string) directory.Mod {
	m := directory.Mod{Op: op, Attribute: attribute}
	for _, v := range values {
		m.Values = append(m.Values, []byte(v))
	}
	return m
}

func (x *directoryTest) testAccounts(t *testing.T) {
	const hosts = "HV01$ HV02$ HV03$ HV04$"
	for name, c := range map[string]struct {
		query directory.Query
		want  string
	}{
		"all":                {directory.Query{}, "admin Administrator DC1$ disabled Guest HV01$ HV02$ HV03$ HV04$ krbtgt nobody1 operator protected sensitive viewer"},
		"computers":          {directory.Query{Computers: true}, "DC1$ " + hosts},
		"below":              {directory.Query{Base: "CN=Computers," + lab.BaseDN}, hosts},
		"class":              {directory.Query{Class: migration}, hosts},
		"pattern":            {directory.Query{Pattern: "*/hv02.*"}, "HV02$"},
		"pattern of a class": {directory.Query{Pattern: strings.ToLower(migration) + "/*"}, hosts},
		"service names":      {directory.Query{ServiceNames: true}, "DC1$ " + hosts + " krbtgt"},
		"no service names":   {directory.Query{Nameless: true}, "admin Administrator disabled Guest nobody1 operator protected sensitive viewer"},
		"delegating":         {directory.Query{Delegating: true}, "DC1$ HV01$ HV02$ HV03$"},
		"names": {directory.Query{Names: []string{"hv01", "HV02$", "hv03." + lab.Domain, lab.HostDN(lab.HV04), "operator", "NOSUCH", "CN=x,=", `CN=a\,(b,DC=lab`}},
			hosts + " operator"},
		"names, computers": {directory.Query{Names: []string{"hv01", "operator"}, Computers: true}, "HV01$"},
		"nothing":          {directory.Query{Pattern: "nosuch/*)(cn=*"}, ""},
	} {
		accounts, err := x.admin.Accounts(t.Context(), c.query)
		var got []string
		for _, a := range accounts {
			got = append(got, a.Name)
			if a.Protected != (a.Name == lab.UserProtected) || (a.Class == directory.Computer) != strings.HasSuffix(a.Name, "$") || a.USN == 0 || a.Hidden {
				t.Errorf("%s: %+v", name, a)
			}
			bySID, err := x.host.Accounts(t.Context(), directory.Query{Names: []string{a.SID}})
			if err != nil || len(bySID) != 1 || bySID[0].DN != a.DN {
				t.Errorf("%s by its SID %s: %v, %v", a.Name, a.SID, bySID, err)
			}
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	_, err := x.admin.Accounts(t.Context(), directory.Query{Base: "OU=Nosuch," + lab.BaseDN})
	wantCode(t, err, fault.DirectoryObjectGone)
}

// testValues: values are added and deleted, and either asserts what it expects.
func (x *directoryTest) testValues(t *testing.T) {
	x.reset(t)
	ctx, dn := t.Context(), lab.HostDN(lab.HV02)
	const list = directory.AttributeDelegateTo
	before, err := x.admin.Read(ctx, dn, list, directory.AttributeFlags)
	if err != nil || len(before.GUID) != 36 || before.USN == 0 {
		t.Fatalf("%+v, %v", before, err)
	}
	flags := before.Strings(directory.AttributeFlags)[0]
	for name, mods := range map[string][]directory.Mod{
		"value present":            {mod(directory.Add, list, "cifs/HV01")},
		"value present elsewise":   {mod(directory.Add, directory.AttributeServiceNames, "cifs/HV02")},
		"value absent":             {mod(directory.Delete, list, "cifs/none")},
		"one absent, one new":      {mod(directory.Add, list, "cifs/new"), mod(directory.Delete, list, "cifs/none")},
		"attribute absent":         {mod(directory.Delete, "description")},
		"other flags":              {mod(directory.Delete, directory.AttributeFlags, "512"), mod(directory.Add, directory.AttributeFlags, "4096")},
		"other types":              {mod(directory.Delete, directory.AttributeEncryptionTypes, "31"), mod(directory.Add, directory.AttributeEncryptionTypes, "24")},
		"member of a group absent": nil,
	} {
		object := dn
		if mods == nil {
			object, mods = lab.UserDN(lab.GroupOperators), []directory.Mod{mod(directory.Delete, "member", dn)}
		}
		if err := x.admin.Modify(ctx, object, mods...); !fault.Is(err, fault.DirectoryChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	after, err := x.admin.Read(ctx, dn, list, directory.AttributeFlags)
	if err != nil || after.USN != before.USN || !slices.Equal(after.Strings(list), before.Strings(list)) {
		t.Errorf("a refused change changed something: %+v, %v", after, err)
	}
	if err := x.admin.Modify(ctx, dn, mod(directory.Delete, list, "cifs/HV01"), mod(directory.Add, list, "cifs/new"),
		mod(directory.Delete, directory.AttributeFlags, flags), mod(directory.Add, directory.AttributeFlags, "4096")); err != nil {
		t.Fatal(err)
	}
	after, err = x.admin.Read(ctx, dn, list, directory.AttributeFlags, "description")
	if err != nil || after.USN <= before.USN || slices.Contains(after.Strings(list), "cifs/HV01") || !slices.Contains(after.Strings(list), "cifs/new") ||
		after.Strings(directory.AttributeFlags)[0] != "4096" || len(after.Attributes) != 2 {
		t.Errorf("%+v, %v", after, err)
	}
	// The name of another host keeps Samba's words, by which the caller tells it.
	err = x.admin.Modify(ctx, dn, mod(directory.Add, directory.AttributeServiceNames, "cifs/HV01"))
	if f := wantCode(t, err, fault.DirectoryFailed); !strings.Contains(f.Args["reason"], "LDAP result 19") || !strings.Contains(f.Args["reason"], "cifs/HV01") {
		t.Errorf("%v", err)
	}
	for _, gone := range []string{lab.HostDN("NOSUCH"), "CN=X,DC=elsewhere,DC=test"} {
		wantCode(t, x.admin.Modify(ctx, gone, mod(directory.Add, list, "cifs/x")), fault.DirectoryObjectGone)
		_, err := x.admin.Read(ctx, gone, list)
		wantCode(t, err, fault.DirectoryObjectGone)
	}
	wantCode(t, x.admin.Modify(ctx, dn, mod(directory.Add, "noSuchAttribute", "x")), fault.DirectoryFailed)
}

// testActOnBehalf: Samba lets nobody write it over LDAP, and reads it to everybody.
func (x *directoryTest) testActOnBehalf(t *testing.T) {
	ctx, dn := t.Context(), lab.HostDN(lab.HV02)
	err := x.admin.Modify(ctx, dn, mod(directory.Add, directory.AttributeActOnBehalf, "x"))
	wantCode(t, err, fault.DelegationModel)
	if _, err := x.Member(lab.DC1).Run(ctx, "samba-tool", "delegation", "add-principal", "HV02$", "HV01$"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Directory().Replace(context.Background(), dn, directory.AttributeActOnBehalf) })
	a, err := x.host.Account(ctx, "HV02$")
	if err != nil || !a.ResourceBased() {
		t.Fatalf("%+v, %v", a, err)
	}
	e, err := x.host.Read(ctx, dn, directory.AttributeActOnBehalf, "nTSecurityDescriptor")
	if err != nil || string(e.Attributes[directory.AttributeActOnBehalf][0]) != string(a.ActOnBehalf) || len(e.Attributes["nTSecurityDescriptor"]) != 1 {
		t.Errorf("%+v, %v", e, err)
	}
	wantCode(t, x.admin.Modify(ctx, dn, mod(directory.Delete, directory.AttributeActOnBehalf)), fault.DelegationModel)
}

func (x *directoryTest) testGroups(t *testing.T) {
	ctx := t.Context()
	quiet, err := x.admin.HighestUSN(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := x.admin.Changes(ctx, quiet); err != nil || len(c) > 0 {
		t.Errorf("nothing happened, %+v, %v", c, err)
	}
	g := directory.NewGroup{DN: "CN=Drover Hosts,CN=Users," + lab.BaseDN, Name: "Drover Hosts", Description: "hosts", Members: []string{lab.HostDN(lab.HV01), lab.HostDN(lab.HV02)}}
	if err := x.admin.AddGroup(ctx, g); err != nil {
		t.Fatal(err)
	}
	wantCode(t, x.admin.AddGroup(ctx, g), fault.DirectoryChanged)
	wantCode(t, x.admin.Modify(ctx, g.DN, mod(directory.Add, "member", lab.HostDN(lab.HV01))), fault.DirectoryChanged)
	wantCode(t, x.admin.Modify(ctx, g.DN, mod(directory.Add, "member", lab.HostDN("NOSUCH"))), fault.DirectoryObjectGone)
	groups, err := x.host.Groups(ctx, "drover hosts", "NOSUCH", "Domain Admins")
	if err != nil || len(groups) != 2 || groups[1].DN != g.DN || len(groups[1].Members) != 2 || !strings.HasSuffix(groups[0].SID, "-512") {
		t.Fatalf("%+v, %v", groups, err)
	}
	if a, err := x.host.Account(ctx, "HV01$"); err != nil || !slices.Equal(a.MemberOf, []string{g.DN}) {
		t.Errorf("%q, %v", a.MemberOf, err)
	}
	created, err := x.admin.Changes(ctx, quiet)
	if err != nil || len(created) != 1 || created[0].DN != g.DN || created[0].Deleted {
		t.Fatalf("%+v, %v", created, err)
	}
	if err := x.admin.DeleteObject(ctx, g.DN); err != nil {
		t.Fatal(err)
	}
	wantCode(t, x.admin.DeleteObject(ctx, g.DN), fault.DirectoryObjectGone)
	deleted, err := x.admin.Changes(ctx, created[0].USN)
	if err != nil || len(deleted) != 1 || deleted[0].GUID != created[0].GUID || !deleted[0].Deleted {
		t.Errorf("%+v, %v", deleted, err)
	}
	// A host may not see what was deleted, and gets the rest.
	if c, err := x.host.Changes(ctx, quiet); err != nil || len(c) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
	wantCode(t, x.admin.DeleteObject(ctx, "CN=Users,"+lab.BaseDN), fault.DirectoryFailed)
}

func (x *directoryTest) testDenied(t *testing.T) {
	ctx := t.Context()
	for name, m := range map[string]directory.Mod{"list": mod(directory.Add, directory.AttributeDelegateTo, "cifs/x"), "flags": mod(directory.Replace, directory.AttributeFlags, "4096")} {
		f := wantCode(t, x.host.Modify(ctx, lab.HostDN(lab.HV01), m), fault.DirectoryAccessDenied)
		if !strings.Contains(f.Args["writers"], "Domain Admins, ") || strings.Contains(f.Args["writers"], "S-1-") || strings.Contains(f.Args["writers"], "SYSTEM") ||
			f.Args["attribute"] != m.Attribute || f.Args["object"] != lab.HostDN(lab.HV01) {
			t.Errorf("%s: %s", name, f.Message())
		}
	}
	wantCode(t, x.host.DeleteObject(ctx, lab.HostDN(lab.HV02)), fault.DirectoryAccessDenied)
	wantCode(t, x.host.AddGroup(ctx, directory.NewGroup{DN: "CN=X,CN=Users," + lab.BaseDN, Name: "X"}), fault.DirectoryAccessDenied)
	// Its own service names it may write.
	own := mod(directory.Add, directory.AttributeServiceNames, "drover/hv01")
	if err := x.host.Modify(ctx, lab.HostDN(lab.HV01), own); err != nil {
		t.Fatal(err)
	}
	own.Op = directory.Delete
	if err := x.host.Modify(ctx, lab.HostDN(lab.HV01), own); err != nil {
		t.Error(err)
	}
}

func (x *directoryTest) testMappings(t *testing.T) {
	m, err := x.host.Mappings(t.Context())
	if err != nil || !slices.Contains(m, "cifs") || !slices.Contains(m, "rpc") || slices.Contains(m, "host") {
		t.Errorf("%q, %v", m, err)
	}
}

// testForest: service names of the whole forest, from a global catalogue.
func (x *directoryTest) testForest(t *testing.T) {
	g, err := x.host.Global(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	accounts, err := g.Accounts(t.Context(), directory.Query{ServiceNames: true})
	if err != nil || len(accounts) != 6 || len(accounts[1].ServiceNames) == 0 {
		t.Errorf("%+v, %v", accounts, err)
	}
	if groups, err := g.Groups(t.Context(), "Domain Admins"); err != nil || len(groups) != 1 {
		t.Errorf("%+v, %v", groups, err)
	}
}

// testManyMembers: more members than Windows gives at once, and a part of them, which
// Samba gives when it is asked for one.
func (x *directoryTest) testManyMembers(t *testing.T) {
	ctx, count := t.Context(), 1600
	if err := x.Populate(ctx, lab.Population{Hosts: 1, Users: count}); err != nil {
		t.Fatal(err)
	}
	g := directory.NewGroup{DN: "CN=Many,CN=Users," + lab.BaseDN, Name: "Many"}
	for n := range count {
		g.Members = append(g.Members, "CN="+lab.PopulationUser(n+1)+","+lab.PopulationPeopleOU)
	}
	if err := x.admin.AddGroup(ctx, g); err != nil {
		t.Fatal(err)
	}
	slices.Sort(g.Members)
	for _, attribute := range []string{"member", "member;range=0-99"} {
		e, err := x.host.Read(ctx, g.DN, attribute)
		got := e.Strings(attribute)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, g.Members) {
			t.Errorf("%s: %d members, %v", attribute, len(got), err)
		}
	}
	accounts, err := x.host.Accounts(ctx, directory.Query{Base: lab.PopulationPeopleOU})
	if err != nil || len(accounts) != count {
		t.Errorf("%d accounts, %v", len(accounts), err)
	}
	// Protected Users through a group in it.
	if err := x.admin.Modify(ctx, "CN=Protected Users,CN=Users,"+lab.BaseDN, mod(directory.Add, "member", g.DN)); err != nil {
		t.Fatal(err)
	}
	accounts, err = x.host.Accounts(ctx, directory.Query{Names: []string{lab.PopulationUser(1600), lab.UserOperator}})
	if err != nil || len(accounts) != 2 || accounts[0].Protected || !accounts[1].Protected {
		t.Errorf("%+v, %v", accounts, err)
	}
}
