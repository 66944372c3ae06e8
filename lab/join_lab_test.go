package lab_test

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"drover/lab"
)

// TestJoin: a machine that nobody knows becomes a member of the domain, on each Samba.
func TestJoin(t *testing.T) {
	for _, directory := range []string{"machine", "trixie"} {
		t.Run(directory, func(t *testing.T) {
			l := lab.Start(t, lab.Options{Name: "join-" + directory, NoAgents: true, Hosts: []string{}, Unjoined: true, Directory: directory})
			testUnjoined(t, l)
			if err := l.Join(t.Context(), lab.NEW1); err != nil {
				t.Fatal(err)
			}
			testJoined(t, l)
			// Once more: the keytab follows the new password.
			if err := l.Join(t.Context(), lab.NEW1); err != nil {
				t.Fatal(err)
			}
			run(t, l.Member(lab.NEW1), "kinit", "-k", "NEW1$")
			if err := l.Join(t.Context(), lab.HV01); err == nil {
				t.Error("a host that is not raised can join")
			}
		})
	}
}

// testUnjoined: the machine reaches the domain, which does not know it.
func testUnjoined(t *testing.T, l *lab.Lab) {
	m := l.Member(lab.NEW1)
	if _, err := os.Stat(m.Path("/etc/krb5.keytab")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has a keytab: %v", err)
	}
	if raw, err := os.ReadFile(m.Path("/etc/krb5.conf")); err != nil || !strings.Contains(string(raw), "default_realm = "+lab.Realm) {
		t.Errorf("krb5.conf: %v\n%s", err, raw)
	}
	if _, err := os.Stat(m.Path(lab.CAPath)); err != nil {
		t.Errorf("the authority's certificate: %v", err)
	}
	if got := strings.TrimSpace(run(t, m, "hostname", "-f")); got != m.FQDN {
		t.Errorf("its name is %q", got)
	}
	if _, err := l.Directory().Values(t.Context(), lab.HostDN(lab.NEW1), "objectClass"); err == nil {
		t.Error("the directory has an account for it")
	}
	if m.Address(lab.Migration) != "192.168.10.31" {
		t.Errorf("migration address %q", m.Address(lab.Migration))
	}
	if err := kinit(t, m, lab.UserOperator); err != nil {
		t.Error(err)
	}
}

func testJoined(t *testing.T, l *lab.Lab) {
	m := l.Member(lab.NEW1)
	run(t, m, "kinit", "-k", "NEW1$")
	if out := run(t, m, "klist", "-k"); !strings.Contains(out, "host/"+m.FQDN+"@"+lab.Realm) {
		t.Errorf("keytab:\n%s", out)
	}
	names, err := l.Directory().Values(t.Context(), lab.HostDN(lab.NEW1), "servicePrincipalName")
	if err != nil || !slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, "host/"+m.FQDN) }) {
		t.Errorf("service names %q, %v", names, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "Microsoft") || strings.HasPrefix(name, "cifs/") {
			t.Errorf("already enrolled: %s", name)
		}
	}
	// The machine can speak to the directory in its own name.
	entry := run(t, m, "ldapsearch", "-Q", "-LLL", "-Y", "GSSAPI", "-H", "ldap://dc1."+lab.Domain, "-b", lab.HostDN(lab.NEW1), "-s", "base", "dNSHostName")
	if !strings.Contains(entry, "dNSHostName: "+m.FQDN+"\n") {
		t.Errorf("its entry is %s", entry)
	}
}
