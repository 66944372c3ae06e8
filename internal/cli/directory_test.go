package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
)

func TestDirectoryFlagsThatContradict(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]directoryFlags{
		"--ca-file is for --ldaps":             {caFile: empty},
		"has no certificate":                   {caFile: empty, ldaps: true},
		"cannot be read":                       {caFile: filepath.Join(dir, "absent"), simpleBind: "alice@example.test"},
		"--password-stdin is for":              {passwordStdin: true, ldaps: true},
		"--server 192.0.2.1 is an address":     {server: "192.0.2.1"},
		"--server 2001:db8::1 is an address":   {server: "[2001:db8::1]:636", ldaps: true},
		`--server "dc 1" is not a host name`:   {server: "dc 1"},
		`--server "dc_ 1" is not a host name`:  {server: "dc_ 1:389", simpleBind: "alice@example.test"},
		`--domain "a b" is not a host name`:    {domain: "a b"},
		`--domain "x)(y" is not a host name`:   {domain: "x)(y"},
		`--domain "-example" is not a host na`: {domain: "-example"},
	} {
		_, err := f.options()
		if e := fault.From(err); e == nil || e.Code != fault.Usage || !strings.Contains(e.Message(), want) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

func TestDirectoryFlagsBecomeOptions(t *testing.T) {
	o, err := directoryFlags{domain: "Example.TEST.", server: "DC1"}.options()
	if err != nil || o.Domain != "example.test" || len(o.Servers) != 1 || o.Servers[0] != "DC1" || o.LDAPS != nil {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = (directoryFlags{ldaps: true}).options(); err != nil || o.LDAPS == nil || o.LDAPS.RootCAs != nil || o.Servers != nil {
		t.Errorf("%+v, %v", o, err)
	}
	// A password needs no name of the server, and never goes without TLS.
	if o, err = (directoryFlags{simpleBind: `EXAMPLE\alice`, server: "192.0.2.1:6360"}).options(); err != nil || o.LDAPS == nil {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestLdapiWithoutAValueIsSambasOwnSocket(t *testing.T) {
	for arg, want := range map[string]string{"--ldapi": directory.PrivilegedSocket, "--ldapi=/run/other": "/run/other"} {
		var f directoryFlags
		fs := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.add(fs)
		if err := fs.Parse([]string{arg, "HV01"}); err != nil || f.ldapi != want || fs.Arg(0) != "HV01" {
			t.Errorf("%s: %q, %v, %v", arg, f.ldapi, fs.Args(), err)
		}
	}
}

func TestADirectionIsNoHost(t *testing.T) {
	_, err := (&intentFlags{}).selection(nil, delegation.Intent{}, []string{"HV01:HV02"})
	if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "--one-way") {
		t.Error(err)
	}
}

func TestPasswordForTheDirectory(t *testing.T) {
	bind := func(f directoryFlags, stdin string) (directory.Options, error) {
		f.passwordStdin = true
		o, err := f.options()
		if err != nil {
			t.Fatal(err)
		}
		return o, newProgram(strings.NewReader(stdin), &bytes.Buffer{}, &bytes.Buffer{}).withPassword(t.Context(), f, &o)
	}
	o, err := bind(directoryFlags{simpleBind: "alice@Example.TEST"}, "secret\nrest")
	if err != nil || o.Domain != "example.test" || *o.Simple != (directory.Simple{User: "alice@Example.TEST", Password: "secret"}) {
		t.Errorf("%+v, %v", o, err)
	}
	for want, c := range map[string]struct {
		flags directoryFlags
		stdin string
	}{
		"which domain":          {directoryFlags{simpleBind: `EXAMPLE\alice`}, "secret\n"},
		"the password is empty": {directoryFlags{simpleBind: "alice@example.test"}, "\n"},
	} {
		if _, err := bind(c.flags, c.stdin); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if o, err := bind(directoryFlags{simpleBind: `EXAMPLE\alice`, domain: "example.test"}, "secret\n"); err != nil || o.Domain != "example.test" {
		t.Errorf("%+v, %v", o, err)
	}
}
