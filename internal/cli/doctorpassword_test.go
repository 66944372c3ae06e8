package cli

import (
	"bytes"
	"strings"
	"testing"

	"drover/internal/directory"
)

// DNS decides where the doctor compares controllers, and does not where a password goes.
func TestAPasswordGoesWhereDNSAloneSaysNot(t *testing.T) {
	alice := directoryFlags{simpleBind: "alice@example.test"}
	named := alice
	named.server = "dc1.example.test"
	for _, c := range []struct {
		flags        directoryFlags
		server, want string // want is why not, "" when it may
	}{
		{directoryFlags{}, "dc.evil.test", ""}, // a ticket is for one server
		{alice, "", ""},
		{alice, "DC2.Example.TEST.", ""},
		{alice, "dc.evil.test", "outside of the user's domain"},
		{alice, "notexample.test", "outside of the user's domain"},
		{directoryFlags{simpleBind: `EXAMPLE\alice`}, "dc2.example.test", "outside of the user's domain"},
		{directoryFlags{simpleBind: `EXAMPLE\alice`, domain: "Example.test."}, "dc2.example.test", ""},
		{named, "dc2.example.test", "dc1.example.test only"},
		{directoryFlags{ldapi: "/run/ldapi"}, "dc2.example.test", "this machine only"},
	} {
		f, err := c.flags.at(c.server)
		if c.want == "" && (err != nil || c.server != "" && f.server != c.server) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v at %q: %q, %v", c.flags, c.server, f.server, err)
		}
	}
	p := newProgram(nil, &bytes.Buffer{}, &bytes.Buffer{})
	if _, err := p.newDoctor(alice).Directory(t.Context(), "dc.evil.test"); err == nil || !strings.Contains(err.Error(), "outside of the user's domain") {
		t.Errorf("the doctor asks dc.evil.test: %v", err)
	}
}

// One line of stdin is the password for all connections.
func TestThePasswordIsReadOnce(t *testing.T) {
	f := directoryFlags{simpleBind: "alice@example.test", passwordStdin: true}
	p := newProgram(strings.NewReader("secret\n"), &bytes.Buffer{}, &bytes.Buffer{})
	for range 2 {
		o, err := p.directoryOptions(t.Context(), f)
		if err != nil || *o.Simple != (directory.Simple{User: "alice@example.test", Password: "secret"}) {
			t.Fatalf("%+v, %v", o.Simple, err)
		}
	}
}
