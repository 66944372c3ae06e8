package labtest

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/enroll"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/spn"
	"drover/lab"
)

// enroll runs `drover host enroll` as root on NEW1.
func (n *names) enroll(t *testing.T, status int, into any, flags ...string) {
	t.Helper()
	args := append([]string{"host", "enroll", "-o", "json"}, flags...)
	r, err := n.DroverOn(t.Context(), lab.NEW1, nil, args...)
	decode(t, r, err, status, into, args)
}

// checksOf are the checks of an enrolment, each as "name state".
func checksOf(r enroll.Report) (out []string) {
	for _, c := range r.Checks {
		out = append(out, fmt.Sprintf("%s %s", c.Name, c.State))
	}
	return out
}

// TestEnroll: a new machine joins with adcli, enrols with its own key, and is a
// destination from then on.
func TestEnroll(t *testing.T) {
	n := startNames(t, lab.Options{Name: "enroll", Hosts: []string{lab.HV01}, Unjoined: true})
	var failed refusedCommand
	n.enroll(t, 4, &failed)
	if failed.Error.Code != fault.AgentNoKeytab {
		t.Errorf("before it has joined: %+v", failed.Error)
	}
	if err := n.Join(t.Context(), lab.NEW1); err != nil {
		t.Fatal(err)
	}
	t.Run("dry run", n.testEnrollDryRun)
	t.Run("enrol", n.testEnroll)
	t.Run("again", n.testEnrollAgain)
	t.Run("encryption types", n.testEnrollTypes)
	t.Run("destination", n.testDestination)
	t.Run("keytab says another version", n.testOddKeytab)
	t.Run("stale keytab", n.testStaleKeytab)
}

func (n *names) testEnrollDryRun(t *testing.T) {
	before := n.stored(t, lab.HostDN(lab.NEW1))
	var r enroll.Report
	n.enroll(t, 0, &r, "--dry-run")
	want := []string{"account ok", "keytab ok", "encryption types ok", "service names planned"}
	if got := checksOf(r); !slices.Equal(got, want) || r.Account != "NEW1$" || r.DN != lab.HostDN(lab.NEW1) {
		t.Errorf("%q, %+v", got, r)
	}
	if got := n.stored(t, lab.HostDN(lab.NEW1)); !slices.Equal(got, before) {
		t.Errorf("it left %q", got)
	}
}

func (n *names) testEnroll(t *testing.T) {
	before := n.stored(t, lab.HostDN(lab.NEW1))
	var r enroll.Report
	n.enroll(t, 0, &r)
	want := []string{"account ok", "keytab ok", "encryption types ok", "service names changed", "tickets ok"}
	if got := checksOf(r); !slices.Equal(got, want) {
		t.Errorf("%q, %+v", got, r)
	}
	names := append(slices.Clone(before), append(spn.Stored(true, spn.Migration+"/NEW1"), spn.Stored(true, spn.Migration+"/new1."+lab.Domain)...)...)
	slices.Sort(names)
	if got := n.stored(t, lab.HostDN(lab.NEW1)); !slices.Equal(got, names) {
		t.Errorf("service names %q, want %q", got, names)
	}
}

var allOK = []string{"account ok", "keytab ok", "encryption types ok", "service names ok", "tickets ok"}

func (n *names) testEnrollAgain(t *testing.T) {
	var r enroll.Report
	n.enroll(t, 0, &r)
	if got := checksOf(r); !slices.Equal(got, allOK) {
		t.Errorf("%q", got)
	}
	r = enroll.Report{}
	n.enroll(t, 0, &r, "--dry-run")
	if got := checksOf(r); !slices.Equal(got, allOK[:4]) {
		t.Errorf("%q", got)
	}
}

// testEnrollTypes: a host may say itself that it takes AES.
func (n *names) testEnrollTypes(t *testing.T) {
	if err := n.dir.Replace(t.Context(), lab.HostDN(lab.NEW1), directory.AttributeEncryptionTypes); err != nil {
		t.Fatal(err)
	}
	var r enroll.Report
	n.enroll(t, 0, &r)
	if got := checksOf(r); !slices.Contains(got, "encryption types changed") || r.Failed() {
		t.Errorf("%q: %+v", got, r)
	}
	got, err := n.dir.Values(t.Context(), lab.HostDN(lab.NEW1), directory.AttributeEncryptionTypes)
	if err != nil || !slices.Equal(got, []string{"24"}) {
		t.Errorf("%q, %v", got, err)
	}
	r = enroll.Report{}
	n.enroll(t, 0, &r)
	if got := checksOf(r); !slices.Equal(got, allOK) {
		t.Errorf("then %q", got)
	}
}

// testDestination: a host whose list has it gets tickets to it for an operator.
func (n *names) testDestination(t *testing.T) {
	d := domainOf(t, n.Lab)
	source := d.host(t, lab.HV01, nil)
	operator, err := source.Impersonate(t.Context(), lab.UserOperator+"@"+lab.Realm)
	if err != nil {
		t.Fatal(err)
	}
	services := []string{spn.Migration + "/NEW1", spn.Migration + "/new1." + lab.Domain, "cifs/NEW1", "cifs/new1." + lab.Domain}
	for _, s := range services {
		var refused *krb.DelegationError
		if _, err := source.Delegate(t.Context(), operator, s); !errors.As(err, &refused) {
			t.Errorf("%s before it was allowed: %v", s, err)
		}
	}
	if err := n.dir.AddDelegation(t.Context(), lab.HV01, lab.DelegationTo(lab.NEW1)...); err != nil {
		t.Fatal(err)
	}
	accepting, err := krb.OpenHost(krb.Config{Krb5Conf: d.conf, Keytab: d.Member(lab.NEW1).Path("/etc/krb5.keytab"), Account: "NEW1$"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range services {
		ticket, err := source.Delegate(t.Context(), operator, s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if id := connect(t, ticket, accepting, true).Identity(); id.Principal != lab.UserOperator+"@"+lab.Realm || !id.Delegated {
			t.Errorf("%s: NEW1 sees %+v", s, id)
		}
	}
}

const newPassword = "New1-Passw0rd-1"

// testOddKeytab: the key is right and its version is not, as after a keytab was made
// by hand. The host signs in with it, and cannot open the tickets of others.
func (n *names) testOddKeytab(t *testing.T) {
	if err := n.dir.SetPassword(t.Context(), lab.HostDN(lab.NEW1), newPassword); err != nil {
		t.Fatal(err)
	}
	m := n.Member(lab.NEW1)
	ktutil := m.Command(t.Context(), "ktutil")
	ktutil.Stdin = strings.NewReader("addent -password -p NEW1$@" + lab.Realm + " -k 77 -e aes256-cts-hmac-sha1-96 -f\n" + newPassword + "\nwkt /tmp/odd.keytab\n")
	if out, err := ktutil.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(m.Path("/tmp/odd.keytab")); err != nil {
		t.Fatal(err)
	}
	var r enroll.Report
	n.enroll(t, 11, &r, "--keytab", "/tmp/odd.keytab")
	for _, c := range r.Checks {
		if (c.State == enroll.Bad) != (c.Name == "keytab") || c.State == enroll.Bad && (c.Finding == nil || c.Finding.Code != fault.KeytabStale) {
			t.Errorf("%+v", c)
		}
	}
}

// testStaleKeytab: with a key that is not the account's any more nobody signs in.
func (n *names) testStaleKeytab(t *testing.T) {
	var failed refusedCommand
	n.enroll(t, 4, &failed)
	if failed.Error.Code != fault.KeytabStale {
		t.Errorf("%+v", failed.Error)
	}
	if err := n.Join(t.Context(), lab.NEW1); err != nil {
		t.Fatal(err)
	}
	var r enroll.Report
	n.enroll(t, 0, &r)
	if got := checksOf(r); !slices.Equal(got, allOK) {
		t.Errorf("after joining again: %q", got)
	}
}
