package lab_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"drover/lab"
)

// TestTheFourthHost: a lab with HV04 alone, whose directory knows the other hosts all the same.
func TestTheFourthHost(t *testing.T) {
	l := lab.Start(t, lab.Options{Name: "fourth", NoAgents: true, Hosts: []string{lab.HV04}})
	if l.Member(lab.HV01) != nil || len(l.Hosts()) != 1 {
		t.Fatalf("hosts %v", l.Hosts())
	}
	host := l.Member(lab.HV04)
	if host.Address(lab.Management) != "10.77.0.14" || host.Address(lab.Migration) != "192.168.10.14" {
		t.Errorf("addresses %s and %s", host.Address(lab.Management), host.Address(lab.Migration))
	}
	run(t, host, "kinit", "-k", "HV04$")
	for _, name := range lab.HostNames() {
		run(t, l.Member(lab.DC1), "kinit", "-k", "-t", "/run/keytabs/"+name+".keytab", name+"$")
		if out := run(t, host, "kvno", lab.MigrationService+"/"+name); !strings.Contains(out, "kvno = ") {
			t.Errorf("%s: %s", name, out)
		}
	}
	testHV04Account(t, l)
	// What tests change is put back, for this host as well.
	d := l.Directory()
	if err := d.SetDelegation(t.Context(), lab.HV04, lab.DelegationTo(lab.HV01)...); err != nil {
		t.Fatal(err)
	}
	if err := d.ChangeFlags(t.Context(), lab.HostDN(lab.HV04), lab.FlagTrustedToAuthForDlg, 0); err != nil {
		t.Fatal(err)
	}
	if err := d.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	testHV04Account(t, l)
}

// testHV04Account: service names, but no delegation and plain flags.
func testHV04Account(t *testing.T, l *lab.Lab) {
	t.Helper()
	d := l.Directory()
	if got, err := d.Delegation(t.Context(), lab.HV04); err != nil || len(got) > 0 {
		t.Errorf("HV04 may delegate to %q, %v", got, err)
	}
	flags, err := d.Values(t.Context(), lab.HostDN(lab.HV04), "userAccountControl")
	if want := strconv.Itoa(lab.FlagWorkstationAccount | lab.FlagPasswordNeverEnds); err != nil || !slices.Equal(flags, []string{want}) {
		t.Errorf("HV04's flags are %q, want %s; %v", flags, want, err)
	}
	want := lab.ServiceNames(lab.HV04)
	slices.Sort(want)
	if got, err := d.Values(t.Context(), lab.HostDN(lab.HV04), "servicePrincipalName"); err != nil || !slices.Equal(got, want) {
		t.Errorf("HV04's service names are %q, %v", got, err)
	}
}

// TestDirectoryOnDebian13: the same domain on Samba 4.22.
func TestDirectoryOnDebian13(t *testing.T) {
	l := lab.Start(t, lab.Options{Name: "samba422", NoAgents: true, Directory: "trixie"})
	if out := run(t, l.Member(lab.DC1), "samba", "--version"); !strings.HasPrefix(out, "Version 4.22.") {
		t.Errorf("samba is %s", out)
	}
	if s := inspect(t, l.Name()); s.Directory != "trixie" || s.Rootfs != "machine" {
		t.Errorf("%+v", s)
	}
	t.Run("operator gets tickets for the migration service", func(t *testing.T) { testTickets(t, l) })
	t.Run("directory changes take effect", func(t *testing.T) { testDirectory(t, l) })
	t.Run("the directory can be gone, and live in another time", func(t *testing.T) { testDirectoryClock(t, l) })
}
