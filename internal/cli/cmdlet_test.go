package cli

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"drover/internal/api"
	"drover/internal/cmdlet"
	"drover/internal/directory"
)

func (f *fakeAgent) NetworkAdapters(context.Context) ([]api.NetworkAdapter, error) {
	return []api.NetworkAdapter{
		{Name: "eth0", MAC: "52:54:00:00:00:01", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}, Up: true, SpeedMbps: 1000, MTU: 1500, Kind: "device"},
		{Name: "mig0", MAC: "52:54:00:00:00:02", Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.10.1/24")}, Up: true, SpeedMbps: 10000, MTU: 9000, Kind: "device", Migration: true},
	}, f.refusal("adapters")
}

func TestCmdletLineLeavesOtherCommandLinesAlone(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"move/APP01/--to/HV02":         "move/APP01/--to/HV02",
		"vm/show/a | b":                "vm/show/a | b",
		"-o/json/vm/list":              "-o/json/vm/list",
		"get-vm/-name/a | b":           "Get-VM/-name/a | b",
		"-o/json/GET-VM":               "-o/json/Get-VM",
		"--output=json/get-vm | fl":    "--output=json/Get-VM/|/fl",
		"help/MOVE-vm":                 "help/Move-VM",
		"help/move":                    "help/move",
		"__complete/move-vm/-na":       "__complete/Move-VM/-na",
		"tnc/-port/6600":               "Test-NetConnection/-port/6600",
		"-o":                           "-o",
		"Get-VMHost/|/Select/x,y":      "Get-VMHost/|/Select/x,y",
		"move/--vm/Get-VM | Select a;": "move/--vm/Get-VM | Select a;",
	} {
		got, err := cmdletLine(slices.DeleteFunc(strings.Split(in, "/"), func(s string) bool { return in == "" }))
		if err != nil || strings.Join(got, "/") != want {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}

// nativeVerb is what help says that a cmdlet stands for.
var nativeVerb = regexp.MustCompile(`drover ((?:[a-z]+ ?)+)`)

// Each cmdlet either shows objects, runs a verb that there is, or says what to use.
func TestEveryCmdletDoesSomething(t *testing.T) {
	root := newRoot(newProgram(nil, nil, nil))
	for _, c := range cmdlet.All() {
		for _, m := range nativeVerb.FindAllStringSubmatch(c.Native, -1) {
			if cmd, _, err := root.Find(strings.Fields(m[1])); err != nil || cmd == root || len(strings.Fields(m[1])) > 1 && cmd.HasSubCommands() {
				t.Errorf("%s is said to be %q, which is no verb", c.Name, m[0])
			}
		}
		show := shower(c.Name) != nil
		if show != (c.Properties != nil) {
			t.Errorf("%s has properties: %t, is shown: %t", c.Name, c.Properties != nil, show)
		}
		if show || c.Instead != nil || c.Tool != nil {
			continue
		}
		if cmd, rest, err := root.Find(c.Verb); err != nil || cmd == root || len(rest) > 0 {
			t.Errorf("%s runs %q, which is no verb", c.Name, c.Verb)
		}
	}
}

func TestHostsOfACmdletHaveItsProperties(t *testing.T) {
	for name, o := range map[string]cmdlet.Object{
		"Get-VMHost":             hostObject(api.HostInfo{}),
		"Get-VM":                 vmObject(api.VM{}, "HV01"),
		"Get-VMMigrationNetwork": networkObject(fakeSettings().Networks[0], "HV01"),
	} {
		c, _ := cmdlet.Lookup(name)
		if got := o.Names(); !slices.Equal(got, c.Properties) {
			t.Errorf("%s gives %q and promises %q", name, got, c.Properties)
		}
	}
}

func TestConnectTellsRefusedFromConnected(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(l.Addr().String())
	if source, err := connectOnce(t.Context(), at); err != nil || source != "127.0.0.1" {
		t.Errorf("%q, %v", source, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = connectOnce(t.Context(), at)
	if !errors.Is(err, syscall.ECONNREFUSED) || !strings.HasPrefix(connectReason(err), "refused:") {
		t.Errorf("%v", err)
	}
	if r := connectReason(&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}); r != "no route to host" {
		t.Error(r)
	}
	if r := connectReason(&net.OpError{Op: "dial", Err: context.DeadlineExceeded}); !strings.HasPrefix(r, "timed out") {
		t.Error(r)
	}
}

func TestComputerHasPowerShellsPropertiesAndThoseAskedFor(t *testing.T) {
	a := directory.Account{DN: "CN=HV01,CN=Computers,DC=example,DC=test", Name: "HV01$", Class: directory.Computer, Flags: directory.FlagWorkstation | directory.FlagTrustedToAuth,
		DelegateTo: []string{"Microsoft Virtual System Migration Service/HV02", `Microsoft\ Virtual\ System\ Migration\ Service/HV02`, "cifs/HV02"}}
	o, err := computerObject(t.Context(), nil, a, []string{"MSDS-allowedtodelegateto", "sid"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"DistinguishedName", "DNSHostName", "Enabled", "Name", "ObjectClass", "SamAccountName", "SID", "MSDS-allowedtodelegateto"}
	if !slices.Equal(o.Names(), want) || o.Get("Name") != "HV01" || o.Get("Enabled") != true {
		t.Errorf("%+v", o)
	}
	if got := o.Get("msDS-AllowedToDelegateTo").([]string); !slices.Equal(got, []string{"Microsoft Virtual System Migration Service/HV02", "cifs/HV02"}) {
		t.Errorf("%q", got)
	}
	if o, err = computerObject(t.Context(), nil, a, []string{"*"}); err != nil || o.Get("TrustedToAuthForDelegation") != true || o.Get("TrustedForDelegation") != false {
		t.Errorf("%+v, %v", o, err)
	}
	if v := texts([][]byte{{0xff, 0}, []byte("x")}); !slices.Equal(v.([]string), []string{"/wA=", "x"}) {
		t.Errorf("%q", v)
	}
}
