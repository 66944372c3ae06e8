package labtest

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"drover/internal/audit"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/spn"
	"drover/lab"
)

// names is a lab whose service names are changed, by the domain's administrator.
type names struct {
	*lab.Lab
	dir *lab.Directory
}

func startNames(t *testing.T, o lab.Options) *names {
	t.Helper()
	o.NoAgents, o.Directory = true, os.Getenv(directoryEnv)
	l := lab.Start(t, o)
	if err := l.KInit(t.Context(), lab.UserAdministrator); err != nil {
		t.Fatal(err)
	}
	return &names{l, l.Directory()}
}

// run runs drover as the administrator, reads the JSON that it prints, and wants an
// exit status.
func (n *names) run(t *testing.T, status int, into any, args ...string) {
	t.Helper()
	r, err := n.Drover(t.Context(), lab.UserAdministrator, append(args, "-o", "json")...)
	decode(t, r, err, status, into, args)
}

func decode(t *testing.T, r lab.Result, err error, status int, into any, args []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != status {
		t.Fatalf("drover %s: status %d, want %d\n%s%s", strings.Join(args, " "), r.Status, status, r.Stdout, r.Stderr)
	}
	if err := json.Unmarshal([]byte(r.Stdout), into); err != nil {
		t.Fatalf("drover %s: %v\n%s%s", strings.Join(args, " "), err, r.Stdout, r.Stderr)
	}
}

// refusedCommand is what a command that fails prints as JSON.
type refusedCommand struct{ Error fault.Problem }

// stored are the service names of an account as they are in the directory.
func (n *names) stored(t *testing.T, dn string) []string {
	t.Helper()
	v, err := n.dir.Values(t.Context(), dn, directory.AttributeServiceNames)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

type nameListed struct {
	Name, Account, DN string
	Twin, Disabled    bool
}

type changeOfNames struct {
	Account, DN          string
	Add, Delete, Already []string
	DryRun               bool `json:"dry_run"`
}

func TestServiceNames(t *testing.T) {
	n := startNames(t, lab.Options{Name: "spn", Hosts: []string{lab.HV01}})
	t.Run("list", n.testList)
	t.Run("find", n.testFind)
	t.Run("add and delete", n.testAddAndDelete)
	t.Run("add what a host needs", n.testAddMissing)
	t.Run("taken", n.testTaken)
	t.Run("a host's own", n.testOwn)
	t.Run("duplicates", n.testDuplicates) // last: nothing takes one away again
}

func (n *names) testList(t *testing.T) {
	for _, name := range []string{"HV04", "hv04$", "hv04." + lab.Domain, lab.HostDN(lab.HV04)} {
		var got []nameListed
		n.run(t, 0, &got, "spn", "list", name)
		var plain []string
		for _, g := range got {
			plain = append(plain, g.Name)
			if g.Account != "HV04$" || g.Twin != strings.HasPrefix(g.Name, spn.Migration) {
				t.Errorf("%+v", g)
			}
		}
		want := slices.DeleteFunc(lab.ServiceNames(lab.HV04), spn.IsTwin)
		slices.Sort(plain)
		slices.Sort(want)
		if !slices.Equal(plain, want) {
			t.Errorf("%s has %q, want %q", name, plain, want)
		}
	}
	var failed refusedCommand
	n.run(t, 3, &failed, "spn", "list", "NOSUCH")
	if failed.Error.Code != fault.HostNotInDirectory {
		t.Errorf("%+v", failed)
	}
}

func (n *names) testFind(t *testing.T) {
	for pattern, want := range map[string]int{"CIFS/hv0*": 8, "*/HV04": 6, strings.ToLower(spn.Migration) + "/hv04": 1, "nosuch/*": 0} {
		for _, where := range []string{"", "--forest"} {
			var got []nameListed
			n.run(t, 0, &got, slices.DeleteFunc([]string{"spn", "find", pattern, where}, func(s string) bool { return s == "" })...)
			if len(got) != want || slices.ContainsFunc(got, func(g nameListed) bool { return spn.IsTwin(g.Name) }) {
				t.Errorf("%s %s: %+v, want %d", pattern, where, got, want)
			}
		}
	}
}

func (n *names) testAddAndDelete(t *testing.T) {
	dn, before := lab.HostDN(lab.HV04), n.stored(t, lab.HostDN(lab.HV04))
	name := spn.Migration + "/alias04"
	var c changeOfNames
	n.run(t, 0, &c, "spn", "add", "HV04", name, "cifs/HV04", "--dry-run")
	if !c.DryRun || !slices.Equal(c.Add, spn.Stored(true, name)) || !slices.Equal(c.Already, []string{"cifs/HV04"}) {
		t.Errorf("%+v", c)
	}
	if got := n.stored(t, dn); !slices.Equal(got, before) {
		t.Errorf("--dry-run left %q", got)
	}
	n.run(t, 0, &c, "spn", "add", "HV04", name)
	want := append(slices.Clone(before), spn.Stored(true, name)...)
	slices.Sort(want)
	if got := n.stored(t, dn); !slices.Equal(got, want) || len(want) != len(before)+2 {
		t.Errorf("after add: %q", got)
	}
	n.run(t, 0, &c, "spn", "delete", "HV04", strings.ToUpper(name), "--dry-run")
	n.run(t, 0, &c, "spn", "delete", "HV04", strings.ToUpper(name))
	if got := n.stored(t, dn); !slices.Equal(got, before) {
		t.Errorf("after delete: %q", got)
	}
}

func (n *names) testAddMissing(t *testing.T) {
	dn, before := lab.HostDN(lab.HV04), n.stored(t, lab.HostDN(lab.HV04))
	lost := append(spn.Stored(true, spn.Migration+"/HV04"), "HOST/HV04")
	if err := n.dir.Remove(t.Context(), dn, directory.AttributeServiceNames, lost...); err != nil {
		t.Fatal(err)
	}
	var c changeOfNames
	n.run(t, 0, &c, "spn", "add", "HV04")
	if got := n.stored(t, dn); !slices.Equal(got, before) {
		t.Errorf("%q, want %q; added %q", got, before, c.Add)
	}
}

func (n *names) testTaken(t *testing.T) {
	before := n.stored(t, lab.HostDN(lab.HV04))
	for _, name := range []string{"CIFS/hv01", strings.ToUpper(spn.Migration) + "/HV01"} {
		var failed refusedCommand
		n.run(t, 5, &failed, "spn", "add", "HV04", name)
		if failed.Error.Code != fault.ServiceNameTaken || failed.Error.Args["owner"] != lab.HostDN(lab.HV01) {
			t.Errorf("%s: %+v", name, failed.Error)
		}
	}
	var failed refusedCommand
	n.run(t, 2, &failed, "spn", "add", "HV04", "cifs/10.77.0.14")
	if failed.Error.Code != fault.ServiceNameMalformed {
		t.Errorf("%+v", failed)
	}
	if got := n.stored(t, lab.HostDN(lab.HV04)); !slices.Equal(got, before) {
		t.Errorf("they left %q", got)
	}
}

// testOwn: a host may write its own names and nobody else's.
func (n *names) testOwn(t *testing.T) {
	m := n.Member(lab.HV01)
	if _, err := m.Run(t.Context(), "kinit", "-k", "HV01$"); err != nil {
		t.Fatal(err)
	}
	asHost := func(status int, into any, args ...string) {
		t.Helper()
		r, err := n.DroverOn(t.Context(), lab.HV01, nil, append(args, "-o", "json")...)
		decode(t, r, err, status, into, args)
	}
	before := n.stored(t, lab.HostDN(lab.HV01))
	var c changeOfNames
	asHost(0, &c, "spn", "add", "HV01", "drovertest/HV01")
	asHost(0, &c, "spn", "delete", "HV01", "drovertest/HV01")
	if got := n.stored(t, lab.HostDN(lab.HV01)); !slices.Equal(got, before) || !slices.Equal(c.Delete, []string{"drovertest/HV01"}) {
		t.Errorf("%+v, %q", c, got)
	}
	var failed refusedCommand
	asHost(4, &failed, "spn", "add", "HV02", "drovertest/HV02")
	e := failed.Error
	if e.Code != fault.DirectoryAccessDenied || e.Args["object"] != lab.HostDN(lab.HV02) || e.Args["attribute"] != directory.AttributeServiceNames ||
		!strings.Contains(e.Args["writers"], "Domain Admins") || !strings.Contains(e.Args["principal"], "HV01$") {
		t.Errorf("%+v", e)
	}
}

// testDuplicates: Samba refuses a name that another account has; it is there all the
// same where it came by replication. Here it is written below what refuses it.
func (n *names) testDuplicates(t *testing.T) {
	type found struct {
		Server     string
		Duplicates []audit.Duplicate
	}
	var got found
	n.run(t, 0, &got, "spn", "duplicates")
	if len(got.Duplicates) != 0 || !strings.EqualFold(got.Server, "dc1."+lab.Domain) {
		t.Errorf("with twins only: %+v", got)
	}
	partition := "/var/lib/samba/private/sam.ldb.d/" + strings.ToUpper(lab.BaseDN) + ".ldb"
	name := strings.ToUpper(spn.Migration + "/hv02." + lab.Domain)
	write := n.Member(lab.DC1).Command(t.Context(), "ldbmodify", "-H", partition)
	write.Stdin = strings.NewReader("dn: " + lab.UserDN(lab.UserDisabled) + "\nchangetype: modify\nadd: servicePrincipalName\nservicePrincipalName: " + name + "\n")
	if out, err := write.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, where := range []string{"", "--forest"} {
		got = found{}
		n.run(t, 11, &got, slices.DeleteFunc([]string{"spn", "duplicates", where}, func(s string) bool { return s == "" })...)
		if len(got.Duplicates) != 1 {
			t.Fatalf("%s: %+v", where, got)
		}
		d := got.Duplicates[0]
		slices.Sort(d.Objects)
		if !strings.EqualFold(d.Name, name) || !slices.Equal(d.Objects, []string{lab.HostDN(lab.HV02), lab.UserDN(lab.UserDisabled)}) {
			t.Errorf("%s: %+v", where, d)
		}
	}
}
