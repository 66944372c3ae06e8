package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/audit"
	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/look"
)

// dials answers connections by what is said of their address and port, and says that all
// others are not there.
func dials(open ...string) look.Machine {
	return look.Machine{Patience: time.Second, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		if slices.Contains(open, address) {
			c, far := net.Pipe()
			_ = far.Close()
			return c, nil
		}
		if slices.Contains(open, strings.Split(address, ":")[0]) {
			return nil, syscall.ECONNREFUSED
		}
		return nil, syscall.EHOSTUNREACH
	}}
}

// Of a controller with several addresses each is looked at, and one at which nobody is
// anybody's trouble now and then.
func TestOtherAddressesOfAController(t *testing.T) {
	for _, c := range []struct {
		name string
		open []string
		want []string
	}{
		{"there", []string{"10.0.0.2:88", "10.0.0.2:389"}, nil},
		{"not there", nil, []string{"dns-address-extra samba-tool dns delete dc1.lab.drover.test lab.drover.test dc1 A 10.0.0.2 -U Administrator"}},
		{"without LDAP", []string{"10.0.0.2", "10.0.0.2:88"}, []string{"port-closed "}},
		{"nothing listens", []string{"10.0.0.2"}, []string{"port-closed ", "port-closed "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dc := controller{name: "dc1.lab.drover.test", addrs: []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}}
			x := &examination{Doctor: &Doctor{Now: time.Now, Domain: "lab.drover.test", Machine: dials(append(c.open, "10.0.0.1:88", "10.0.0.1:389")...)}, controllers: []controller{dc}}
			at := x.sights(t.Context(), &dc)
			if len(at) != 2 || !at[0].open() {
				t.Fatalf("%+v", at)
			}
			x.otherAddress(&dc, at[1])
			var got []string
			for _, f := range x.found {
				line := ""
				if len(f.Fix) > 0 {
					line = f.Fix[0].Line
				}
				got = append(got, fmt.Sprintf("%s %s", f.Code, line))
				if f.Code == fault.DNSAddressExtra && (len(f.Undo) != 2 || strings.Contains(f.Message+f.Why, "{")) {
					t.Errorf("%+v", f)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A Windows host has no agent whose port could be closed.
func TestAWindowsHostHasNoAgent(t *testing.T) {
	for system, want := range map[string][]fault.Code{"Windows Server 2025 Datacenter": nil, "Debian": {fault.PortClosed}, "": {fault.PortClosed}} {
		w := whole{site: newSite("HV01")}
		w.accounts[0].OperatingSystem = system
		d := w.doctor(t)
		if err := os.WriteFile(d.Machine.HostsFile, []byte("192.0.2.1 hv01.lab.drover.test hv01\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		d.Machine.Dial = dials("192.0.2.1", "192.0.2.1:6600").Dial
		r := w.examine(t, d, Question{Hosts: []string{"HV01"}})
		if !slices.Equal(codesOf(r), want) {
			t.Errorf("%q: %q\n%+v", system, codesOf(r), r.Causes)
		}
		told := slices.ContainsFunc(r.NotChecked, func(c Check) bool { return c.Object == "HV01" && strings.Contains(c.Reason, "Windows") })
		if told != (want == nil) {
			t.Errorf("%q: %+v", system, r.NotChecked)
		}
	}
}

// What one controller has and another has not is on its way, or stuck.
func TestControllersThatDoNotAgree(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(a *directory.Account)
		works  bool
		want   []string
	}{
		{"they agree", func(*directory.Account) {}, true, nil},
		{"another order and case", func(a *directory.Account) {
			slices.Reverse(a.ServiceNames)
			a.ServiceNames[0] = strings.ToUpper(a.ServiceNames[0])
		}, true, nil},
		{"delegation", func(a *directory.Account) { a.DelegateTo = nil }, true, []string{directory.AttributeDelegateTo}},
		{"names and key", func(a *directory.Account) { a.ServiceNames, a.KeyVersion = a.ServiceNames[1:], 7 }, true, []string{directory.AttributeServiceNames, "msDS-KeyVersionNumber"}},
		{"the account", func(a *directory.Account) { a.DN = "CN=elsewhere" }, true, []string{"the account itself"}},
		{"that does not answer", func(a *directory.Account) { a.DelegateTo = nil }, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			here, there := whole{site: newSite("HV01", "HV02")}, whole{site: newSite("HV01", "HV02")}
			c.change(&there.accounts[0])
			d := here.doctor(t)
			d.Now = time.Now
			d.Directory = func(_ context.Context, server string) (ExaminedDirectory, error) {
				if server != "dc2.lab.drover.test" {
					t.Errorf("asked %q", server)
				}
				return there, nil
			}
			x := &examination{Doctor: d, snap: &audit.Snapshot{Root: directory.Root{Server: "dc1.lab.drover.test", BaseDN: "DC=lab"}},
				controllers: []controller{{name: "dc1.lab.drover.test", works: true}, {name: "dc2.lab.drover.test", works: c.works}}}
			for i := range here.accounts[:2] {
				a := &here.accounts[i]
				x.hosts = append(x.hosts, &seenHost{Host: delegation.Host{Name: a.ShortName(), Account: a.Name, DN: a.DN}, account: a})
			}
			x.compareControllers(t.Context())
			var got []string
			for _, f := range x.found {
				if f.Code != fault.ReplicationPending || f.Host != "HV01" || len(f.Fix) != 2 {
					t.Errorf("%+v", f)
				}
				got = append(got, f.Attribute)
			}
			if !slices.Equal(got, c.want) || c.works != (len(x.checked) == 1) || c.works != (len(x.notChecked) == 0) {
				t.Errorf("%q, want %q; %+v %+v", got, c.want, x.checked, x.notChecked)
			}
		})
	}
}
