package lab_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/lab"
)

// TestDroverRunsAsAdministratorAndOnAnyMember, with a program in drover's place that tells where
// it is and what it finds there.
func TestDroverRunsAsAdministratorAndOnAnyMember(t *testing.T) {
	assets := t.TempDir()
	const program = "#!/bin/sh\necho \"$(hostname) $MORE $*\"\nklist -s && klist | grep principal\ntest -e /etc/krb5.keytab || exit 3\n"
	if err := os.MkdirAll(filepath.Join(assets, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(assets, "bin", "drover"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	l := lab.Start(t, lab.Options{Name: "operator", NoAgents: true, Hosts: []string{lab.HV01}, Unjoined: true, Assets: assets})
	testAdministrator(t, l)
	for member, want := range map[string]int{lab.MGMT: 3, lab.NEW1: 3, lab.HV01: 0} {
		r, err := l.DroverOn(t.Context(), member, []string{"MORE=more"}, "host", "enroll")
		if err != nil || r.Status != want || r.Stdout != strings.ToLower(member)+" more host enroll\n" {
			t.Errorf("on %s: %+v, %v; want status %d", member, r, err, want)
		}
	}
	if _, err := l.DroverOn(t.Context(), lab.HV02, nil); err == nil {
		t.Error("it runs on a host that is not raised")
	}
}

// testAdministrator: with this ticket, and not with an operator's, delegation can be changed.
func testAdministrator(t *testing.T, l *lab.Lab) {
	t.Helper()
	for user, may := range map[string]bool{lab.UserAdministrator: true, lab.UserOperator: false} {
		if err := l.KInit(t.Context(), user); err != nil {
			t.Fatal(err)
		}
		r, err := l.Drover(t.Context(), user, "version")
		if err != nil || !strings.Contains(r.Stdout, user+"@"+lab.Realm) {
			t.Errorf("as %s: %+v, %v", user, r, err)
		}
		cmd := l.Member(lab.MGMT).Command(t.Context(), "ldapmodify", "-Q", "-Y", "GSSAPI", "-H", "ldap://dc1."+lab.Domain)
		cmd.Env = append(cmd.Env, "KRB5CCNAME=/tmp/krb5cc_"+user)
		cmd.Stdin = strings.NewReader("dn: " + lab.HostDN(lab.HV04) + "\nchangetype: modify\nadd: msDS-AllowedToDelegateTo\nmsDS-AllowedToDelegateTo: cifs/" + user + "\n")
		if out, err := cmd.CombinedOutput(); (err == nil) != may {
			t.Errorf("%s changes delegation: %v: %s", user, err, out)
		}
	}
}
