package audit

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"drover/internal/directory"
	"drover/internal/spn"
)

func TestNoAccountIsReadTwice(t *testing.T) {
	w := newWorld(4)
	w.account("HV03$").ServiceNames = nil // delegates all the same
	w.add(&directory.Account{DN: "CN=NEW1,CN=Computers," + base, Class: directory.Computer, Name: "NEW1$"})
	w.addUser("svc", 0).ServiceNames = []string{"http/x"}
	for i := range 20 {
		w.addUser(fmt.Sprintf("user%d", i), 0)
	}
	w.addGroup("VM Operators", "CN=user3,CN=Users,"+base, "CN=svc,CN=Users,"+base)
	p := policy(t, "{hosts: [HV01, HV02, HV03, NEW1], operators: ['VM Operators', user3, user4]}")
	s, err := Load(t.Context(), w, p)
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range w.reads {
		if n != 1 {
			t.Errorf("%s was read %d times", name, n)
		}
	}
	var got []string
	for _, a := range s.Accounts {
		got = append(got, a.Name)
	}
	slices.Sort(got)
	if want := []string{"HV01$", "HV02$", "HV03$", "HV04$", "NEW1$", "svc", "user3", "user4"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if len(s.Groups) != 1 || s.USN != w.usn || s.Root != w.root {
		t.Errorf("%+v", s)
	}
}

func TestHostsOfAnOrganisationalUnitAreReadThoughTheyAreBare(t *testing.T) {
	w := newWorld(2)
	w.add(&directory.Account{DN: "CN=NEW1,CN=Computers," + base, Class: directory.Computer, Name: "NEW1$", DNSHostName: "new1.lab.drover.test", EncryptionTypes: 24})
	found := brief(audit(t, w, policy(t, "ou: CN=Computers,"+base)))
	if !slices.ContainsFunc(found, func(s string) bool {
		return s == "error protocol-transition-missing NEW1$: TRUSTED_TO_AUTH_FOR_DELEGATION"
	}) {
		t.Errorf("%q", found)
	}
}

func TestAnAccountWithoutServiceNamesIsNotGone(t *testing.T) {
	w := newWorld(2)
	w.add(&directory.Account{DN: "CN=BARE,CN=Computers," + base, Class: directory.Computer, Name: "BARE$"})
	w.account("HV01$").DelegateTo = append(w.account("HV01$").DelegateTo, "cifs/BARE", "cifs/GONE")
	found := brief(audit(t, w, policy(t, "")))
	if want := []string{"warning delegation-extra HV01$: cifs/BARE", "warning delegation-stale-name HV01$: cifs/GONE"}; !slices.Equal(found, want) {
		t.Errorf("%q", found)
	}
}

func TestGroupsOfOperatorsAreBounded(t *testing.T) {
	w := newWorld(0)
	var members []string
	for i := range maxOperators + 1 {
		members = append(members, fmt.Sprintf("CN=u%d,%s", i, base))
	}
	w.addGroup("Everybody", members...)
	if _, err := Load(t.Context(), w, policy(t, "operators: [Everybody]")); err == nil {
		t.Error("read them all")
	}
	w = newWorld(0)
	for i := range maxDepth + 3 {
		w.addGroup(fmt.Sprintf("G%d", i), fmt.Sprintf("CN=G%d,CN=Users,%s", i+1, base))
	}
	if _, err := Load(t.Context(), w, policy(t, "operators: [G0]")); err == nil {
		t.Error("followed groups without end")
	}
}

func TestADirectoryThatFailsIsAnError(t *testing.T) {
	w := newWorld(1)
	w.failure = errGone
	if _, err := Load(t.Context(), w, policy(t, "")); !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
}

// The size that an audit has to cope with: 500 hosts in one group and 10,000 other
// accounts of which 500 have service names. Being linear is what makes it quick.
func BenchmarkAudit500Hosts(b *testing.B) {
	w := newWorld(0)
	for i := 1; i <= 500; i++ {
		w.addHost(i, 0)
	}
	for i := range 10_000 {
		a := w.addUser(fmt.Sprintf("user%d", i), 0)
		if i < 500 {
			a.ServiceNames = []string{fmt.Sprintf("http/app%d", i)}
		}
	}
	var members []string
	for i := 1; i <= 500; i++ {
		members = append(members, w.account(host(i)+"$").DN)
	}
	w.addGroup("Drover Hosts", members...)
	p := policy(b, "model: group")
	for b.Loop() {
		s, err := load(b.Context(), w, p, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Check(p, s); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSnapshotOfAServiceNameThatIsAPattern(t *testing.T) {
	// Names come from the directory: what looks like anything else must not confuse.
	w := newWorld(2)
	w.addUser("odd", 0).ServiceNames = []string{"", "/", "a", `\`, "*/*", "x\x00/y", spn.Migration + "/"}
	if fs := audit(t, w, policy(t, "")); len(fs) > 0 {
		t.Errorf("%q", brief(fs))
	}
}
