package lab

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestParseRate(t *testing.T) {
	for in, want := range map[string]uint64{"1gbit": 1e9, "100mbit": 1e8, "64kbit": 64000, "2500000": 2500000, "8bit": 8} {
		if got, err := ParseRate(in); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "gbit", "0", "-1mbit", "1.5gbit", "1 gbit", "1gbyte"} {
		if got, err := ParseRate(in); err == nil {
			t.Errorf("ParseRate(%q) = %d, want an error", in, got)
		}
	}
}

func TestLabNamesCannotLeaveTheBaseDirectory(t *testing.T) {
	for _, name := range []string{"", "..", "a/b", ".hidden", "UPPER", strings.Repeat("x", 32)} {
		if checkName(name) == nil {
			t.Errorf("name %q is accepted", name)
		}
	}
	if err := checkName("test-12345-two"); err != nil {
		t.Error(err)
	}
}

func TestInterfaceNamesFitTheKernelsLimit(t *testing.T) {
	for _, s := range members {
		for n := range s.addresses {
			if port := fabricPort(s.name, n); len(port) > 15 {
				t.Errorf("%s is longer than 15 bytes", port)
			}
		}
	}
}

func TestServiceNamesHaveEscapedTwinsForBlanksOnly(t *testing.T) {
	got := ServiceNames("HV02", MigrationService, "cifs")
	want := []string{
		"Microsoft Virtual System Migration Service/HV02",
		"Microsoft Virtual System Migration Service/hv02.lab.drover.test",
		`Microsoft\ Virtual\ System\ Migration\ Service/HV02`,
		`Microsoft\ Virtual\ System\ Migration\ Service/hv02.lab.drover.test`,
		"cifs/HV02",
		"cifs/hv02.lab.drover.test",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q", got)
	}
}

func TestEveryDefaultHostMayDelegateToEveryOtherAndHV04ToNone(t *testing.T) {
	computers := theDirectory().Computers
	if len(computers) != 4 {
		t.Fatalf("%d accounts", len(computers))
	}
	for _, c := range computers {
		allowed := strings.Join(c.DelegateTo, "\n") + "\n"
		for _, host := range HostNames() {
			want := host != c.Name && host != HV04 && c.Name != HV04
			if got := strings.Contains(allowed, "cifs/"+host+"\n"); got != want {
				t.Errorf("%s may delegate to %s: %v", c.Name, host, got)
			}
		}
		if got, want := c.Flags&FlagTrustedToAuthForDlg != 0, c.Name != HV04; got != want {
			t.Errorf("%s: protocol transition is %v", c.Name, got)
		}
	}
}

func TestHV04IsRaisedOnlyWhenNamed(t *testing.T) {
	for want, o := range map[string]Options{
		"HV01 HV02 HV03":      {},
		"HV01 HV02 HV03 HV04": {Hosts: HostNames()},
		"HV04":                {Hosts: []string{HV04}},
		"":                    {Hosts: []string{}},
	} {
		o, err := o.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, s := range o.cast() {
			if s.role == roleHost {
				names = append(names, s.name)
			}
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%v raises %q, want %q", o.Hosts, got, want)
		}
	}
	if _, err := (Options{Hosts: []string{"HV99"}}).withDefaults(); err == nil {
		t.Error("HV99 is accepted")
	}
}

func TestProcessIsNotConfusedWithALaterOneOfTheSameNumber(t *testing.T) {
	me, err := identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !me.alive() {
		t.Error("this process counts as dead")
	}
	other := me
	other.Start--
	if other.alive() {
		t.Error("an earlier process of the same number counts as alive")
	}
	if err := other.kill(t.Context()); err != nil { // must not kill this process
		t.Error(err)
	}
}

func TestKillReturnsWhenTheProcessIsGone(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := identify(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.kill(t.Context()); err != nil {
		t.Error(err)
	}
	if p.alive() {
		t.Error("it still runs")
	}
	if err := cmd.Wait(); err == nil {
		t.Error("sleep ended by itself")
	}
}

func TestAddressesOutsideTheLabAreNotResolved(t *testing.T) {
	for in, want := range map[string]string{
		"hv02:6601":                 "10.77.0.12:6601",
		"HV03.lab.drover.test:6601": "10.77.0.13:6601",
		"192.168.10.11:6600":        "192.168.10.11:6600",
	} {
		if got, err := resolve(in); err != nil || got != want {
			t.Errorf("resolve(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	if got, err := resolve("example.org:80"); err == nil {
		t.Errorf("example.org became %q", got)
	}
}
