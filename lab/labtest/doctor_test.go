package labtest

import (
	"regexp"
	"strings"
	"testing"

	"drover/lab"
	"drover/lab/doctor"
)

// ofEachKind are some of the cases that `make doctor-matrix` runs all of.
var ofEachKind = regexp.MustCompile(`^(service names: escaped twin missing|service names: twice, on a disabled account|delegation: only short names|` +
	`delegation: on a user's account|account: disabled|key: older than the directory's|operator: sensitive|clock: controller ten minutes ahead|` +
	`service record: LDAP missing|realm: hosts assigned to another|operator: no AES key|host: UUID of another one|host: storage is not mounted|controller: an old address besides|names: the address of another host|names: hosts file overrides|` +
	`network: 6601 filtered|network: agent hangs|network: 6600 refused|between: large packets to one host get lost|between: route by the management network|settings: authentication differs)$`)

// TestDoctor breaks one thing after the other; the doctor names it and nothing else, and
// what it proposes cures it and can be taken back. After the cure a guest can be moved.
func TestDoctor(t *testing.T) {
	s := startSite(t, lab.Options{Name: "doctor", Unjoined: true})
	w := doctor.New(s.Lab, true)
	r, err := w.Examine(t.Context(), lab.DefaultHosts()...)
	if err != nil || len(r.Causes) > 0 || len(r.Hosts) != 3 {
		t.Fatalf("healthy lab: %v, %+v", err, r)
	}
	for _, c := range r.NotChecked {
		if c.Reason == "" || !strings.HasPrefix(c.What, "port 6600") {
			t.Errorf("not checked on a healthy lab: %+v", c)
		}
	}
	t.Run("a VM and an event", s.aboutVM)
	if err := w.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range doctor.Cases() {
		if !ofEachKind.MatchString(c.Name) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			if o, err := w.Run(t.Context(), c); err != nil || !o.Passed() {
				t.Errorf("%v\n%s", err, o)
			}
		})
	}
}
