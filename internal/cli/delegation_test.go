package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/finding"
)

func TestHostsOfAFile(t *testing.T) {
	got, err := hostList(strings.NewReader("HV01\n\n# all of them\n  HV02  # the new one\nCN=HV#3,DC=lab\r\n\t#x\n"), "-")
	if err != nil || !slices.Equal(got, []string{"HV01", "HV02", "CN=HV#3,DC=lab"}) {
		t.Errorf("%q %v", got, err)
	}
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte(strings.Repeat("HV01\n", maxHostList/5)+"HV02\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// What was cut off would be hosts that are not wanted.
	if got, err := hostList(nil, path); !fault.Is(err, fault.Usage) {
		t.Errorf("a file that is too long: %d hosts, %v", len(got), err)
	}
}

func TestAHostToGoBackMayBeADistinguishedName(t *testing.T) {
	cmd := newDelegationRollback(newProgram(strings.NewReader(""), &strings.Builder{}, &strings.Builder{}))
	if err := cmd.ParseFlags([]string{"--host", "CN=HV01,CN=Computers,DC=lab", "--host", "HV02"}); err != nil {
		t.Fatal(err)
	}
	got, err := cmd.Flags().GetStringArray("host")
	if err != nil || !slices.Equal(got, []string{"CN=HV01,CN=Computers,DC=lab", "HV02"}) {
		t.Errorf("%q %v", got, err)
	}
}

// Findings come from plans, too, which are files that anybody may have written.
func TestFindingsDoNothingToTheTerminal(t *testing.T) {
	const evil = "\x1b[2J\u009b\u202e"
	f := fold{directions: []string{evil}, Finding: finding.Finding{Code: evil, Severity: evil, Message: evil, Fix: []finding.Command{{Tool: evil, Line: evil}}}}
	var b strings.Builder
	f.write(&b)
	f.Fix, f.Hint = nil, evil
	f.write(&b)
	if strings.ContainsAny(b.String(), evil[:1]+"\u009b\u202e") {
		t.Errorf("%q", b.String())
	}
}

func TestAPasswordGoesToNoServerThatOnlyAPlanNames(t *testing.T) {
	for _, c := range []struct {
		flags          directoryFlags
		server, domain string
		want           directoryFlags
	}{
		{directoryFlags{}, "dc1.example.test", "example.test", directoryFlags{server: "dc1.example.test", domain: "example.test"}},
		{directoryFlags{simpleBind: "alice@EXAMPLE.TEST"}, "DC1.example.test", "example.test",
			directoryFlags{simpleBind: "alice@EXAMPLE.TEST", server: "DC1.example.test", domain: "example.test"}},
		{directoryFlags{simpleBind: "alice@example.test"}, "dc1.evil.test", "example.test", directoryFlags{simpleBind: "alice@example.test"}},
		{directoryFlags{simpleBind: "alice@example.test"}, "dc1.evil.test", "evil.test", directoryFlags{simpleBind: "alice@example.test"}},
		{directoryFlags{simpleBind: `EXAMPLE\alice`}, "dc1.evil.test", "evil.test", directoryFlags{simpleBind: `EXAMPLE\alice`}},
	} {
		got := c.flags
		if got.presume(c.server, c.domain); got != c.want {
			t.Errorf("%+v of %s: %+v", c.flags, c.server, got)
		}
	}
}
