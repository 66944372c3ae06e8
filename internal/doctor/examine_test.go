package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
	"drover/internal/settings"
)

// whole is a site that the doctor can read all of.
type whole struct {
	*site
	entries map[string]map[string]string // attributes by distinguished name
	failure error
}

func (w whole) Root(context.Context) (directory.Root, error) {
	return directory.Root{Server: "dc1.lab.drover.test", Kind: directory.Samba, BaseDN: "DC=lab,DC=drover,DC=test", Domain: "lab.drover.test", Controllers: 1}, w.failure
}

func (w whole) Accounts(_ context.Context, q directory.Query) (out []directory.Account, err error) {
	for _, a := range w.accounts {
		named := slices.ContainsFunc(q.Names, func(n string) bool {
			return strings.EqualFold(n, a.Name) || strings.EqualFold(n, a.ShortName()) || n == a.DN
		})
		if len(q.Names) == 0 && (!q.ServiceNames || len(a.ServiceNames) > 0) && (!q.Delegating || len(a.DelegateTo) > 0) || named {
			out = append(out, a)
		}
	}
	return out, nil
}

func (whole) Groups(context.Context, ...string) ([]directory.Group, error) { return nil, nil }
func (whole) Mappings(context.Context) ([]string, error)                   { return nil, nil }
func (whole) HighestUSN(context.Context) (int64, error)                    { return 1, nil }
func (whole) Changes(context.Context, int64) ([]directory.Changed, error)  { return nil, nil }
func (whole) Close() error                                                 { return nil }
func (w whole) Read(_ context.Context, dn string, attributes ...string) (directory.Entry, error) {
	e := directory.Entry{DN: dn, Attributes: map[string][][]byte{}}
	for _, a := range attributes {
		if v, there := w.entries[dn][a]; there {
			e.Attributes[a] = [][]byte{[]byte(v)}
		}
	}
	return e, nil
}

// doctor looks at the site from a machine without name servers, whose hosts file has
// the hosts; every port answers, and so do agents with usual settings.
func (w whole) doctor(t *testing.T) *Doctor {
	t.Helper()
	var hosts strings.Builder
	i := 0
	for _, a := range w.accounts {
		if a.Class == directory.Computer {
			i++
			fmt.Fprintf(&hosts, "127.1.%d.%d %s %s\n", i/200, i%200+1, a.DNSHostName, strings.ToLower(a.ShortName()))
		}
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	d := &Doctor{Here: "MGMT", Domain: "lab.drover.test", Krb5Conf: write("krb5.conf", "[libdefaults]\n default_realm = LAB.DROVER.TEST\n"),
		Machine: look.Machine{HostsFile: write("hosts", hosts.String()), ResolvConf: write("resolv.conf", "search lab.drover.test\n"),
			Patience: 200 * time.Millisecond, Dial: func(context.Context, string, string) (net.Conn, error) {
				c, far := net.Pipe()
				_ = far.Close()
				return c, nil
			}},
		Directory: func(context.Context, string) (ExaminedDirectory, error) { return w, nil },
		Source:    func(_ context.Context, h delegation.Host) (Prober, error) { return siteProber{w.site, h.Name}, nil }}
	d.Machine.Lookup = func(_ context.Context, name string) ([]netip.Addr, error) { return d.Machine.Listed(name) }
	return d
}

func (w whole) examine(t *testing.T, d *Doctor, q Question) Report {
	t.Helper()
	if q.Operator == "" {
		q.Operator = siteOperator
	}
	r, err := d.Examine(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func codesOf(r Report) (out []fault.Code) {
	for _, c := range r.Causes {
		out = append(out, c.Code)
	}
	return out
}

var four = []string{"HV01", "HV02", "HV03", "HV04"}

func TestFourHealthyHosts(t *testing.T) {
	w := whole{site: newSite(four...)}
	r := w.examine(t, w.doctor(t), Question{Hosts: four})
	if len(r.Causes) != 0 || len(r.Hosts) != 4 || len(r.Pairs) != 12 || r.Server != "dc1.lab.drover.test" {
		t.Errorf("%+v", r)
	}
	// What nobody could look at has not passed.
	for _, want := range []string{"names name and addresses HV01", "host settings HV02"} {
		if !slices.ContainsFunc(r.NotChecked, func(c Check) bool { return fmt.Sprintf("%s %s %s", c.Area, c.What, c.Object) == want && c.Reason != "" }) {
			t.Errorf("not among what was not checked: %s\n%+v", want, r.NotChecked)
		}
	}
	for _, c := range r.NotChecked {
		if slices.ContainsFunc(r.Checked, func(d Check) bool { return c.Area == d.Area && c.What == d.What && c.Object == d.Object }) {
			t.Errorf("both checked and not: %+v", c)
		}
	}
	// Without names, all hosts of the domain.
	if r := w.examine(t, w.doctor(t), Question{}); len(r.Hosts) != 4 || len(r.Causes) != 0 {
		t.Errorf("%+v", r)
	}
	// One direction, under any form of the names.
	if r := w.examine(t, w.doctor(t), Question{Pairs: []delegation.Direction{{Source: "hv01.lab.drover.test", Destination: "HV02"}}}); len(r.Hosts) != 2 || len(r.Causes) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestOneThingWrongIsOneFinding(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(w whole)
		question Question
		want     []fault.Code
		host     string
	}{
		{"list missing", func(w whole) { w.accounts[0].DelegateTo = nil }, Question{}, []fault.Code{fault.DelegationIncomplete, fault.DelegationIncomplete, fault.DelegationIncomplete}, "HV01"},
		{"service name missing", func(w whole) { w.accounts[1].ServiceNames = w.accounts[1].ServiceNames[1:] }, Question{}, []fault.Code{fault.ServiceNameMissing}, "HV02"},
		{"disabled host", func(w whole) { w.accounts[2].Flags |= directory.FlagDisabled }, Question{}, []fault.Code{fault.HostAccountDisabled}, "HV03"},
		{"unconstrained elsewhere", func(w whole) { w.accounts[3].Flags |= directory.FlagTrustedForAny }, Question{Hosts: four[:2]}, nil, ""},
		{"unconstrained", func(w whole) { w.accounts[0].Flags |= directory.FlagTrustedForAny }, Question{}, []fault.Code{fault.Unconstrained}, "HV01"},
		{"RC4 only", func(w whole) { w.accounts[0].EncryptionTypes = 4 }, Question{}, []fault.Code{fault.HostWithoutAES}, "HV01"},
		{"no transition", func(w whole) { w.accounts[0].Flags &^= directory.FlagTrustedToAuth }, Question{}, []fault.Code{fault.TransitionMissing}, "HV01"},
		{"sensitive operator", func(w whole) { w.accounts[4].Flags |= directory.FlagNotDelegated }, Question{}, []fault.Code{fault.OperatorSensitive}, ""},
		{"disabled operator", func(w whole) { w.accounts[4].Flags |= directory.FlagDisabled }, Question{}, []fault.Code{fault.OperatorDisabled}, ""},
		{"no such operator", func(whole) {}, Question{Operator: "nosuch"}, []fault.Code{fault.OperatorUnknown}, ""},
		{"no such host", func(whole) {}, Question{Hosts: []string{"HV01", "HV02", "HV09"}}, []fault.Code{fault.HostNotInDirectory}, ""},
		{"stale key", func(w whole) { w.refuse["HV02"] = fault.KeytabStale }, Question{}, []fault.Code{fault.KeytabStale}, "HV02"},
		{"locked operator", func(w whole) {
			w.entries[w.accounts[4].DN] = map[string]string{attributeComputed: "16", attributeLockout: "132539328000000000"}
		}, Question{}, []fault.Code{fault.OperatorLocked}, ""},
		{"operator whose lockout is over", func(w whole) {
			w.entries[w.accounts[4].DN] = map[string]string{attributeComputed: "0", attributeLockout: "132539328000000000"}
		}, Question{}, nil, ""},
		{"lockout of which the controller says no more", func(w whole) { w.entries[w.accounts[4].DN] = map[string]string{attributeLockout: "132539328000000000"} }, Question{}, []fault.Code{fault.OperatorLocked}, ""},
		{"expired password", func(w whole) { w.entries[w.accounts[4].DN] = map[string]string{attributeComputed: "8388608"} }, Question{}, []fault.Code{fault.OperatorPassword}, ""},
		{"expired account", func(w whole) { w.entries[w.accounts[4].DN] = map[string]string{attributeExpires: "132539328000000000"} }, Question{}, []fault.Code{fault.OperatorExpired}, ""},
		{"account that never expires", func(w whole) {
			w.entries[w.accounts[4].DN] = map[string]string{attributeExpires: "9223372036854775807", attributeLastSet: "132539328000000000"}
		}, Question{}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := whole{site: newSite(four...), entries: map[string]map[string]string{}}
			c.change(w)
			if c.question.Hosts == nil {
				c.question.Hosts = four
			}
			r := w.examine(t, w.doctor(t), c.question)
			if !slices.Equal(codesOf(r), c.want) {
				t.Fatalf("%q, want %q\n%+v", codesOf(r), c.want, r.Causes)
			}
			for _, x := range r.Causes {
				if c.host != "" && x.Host != c.host && x.Source != c.host {
					t.Errorf("host %q, want %q: %+v", x.Host, c.host, x)
				}
				if x.Why == "" || x.ReadFrom == "" || x.ReadAt.IsZero() || strings.Contains(x.Message+x.Why+x.Effect, "{") {
					t.Errorf("%+v", x.Finding)
				}
			}
		})
	}
}

// A name is of one account at a time: whoever takes the cure of a misplaced one back has
// to take it from its owner first.
func TestMisplacedNameGoesBackInTheOrderThatControllersAllow(t *testing.T) {
	w := whole{site: newSite(four...)}
	moved := w.accounts[1].ServiceNames[:2] // with its escaped twin
	w.accounts[1].ServiceNames = w.accounts[1].ServiceNames[2:]
	w.accounts[4].ServiceNames = moved
	r := w.examine(t, w.doctor(t), Question{Hosts: four})
	if len(r.Causes) != 1 || r.Causes[0].Code != fault.ServiceNameMisplaced {
		t.Fatalf("%q\n%+v", codesOf(r), r.Causes)
	}
	objects := func(list []finding.Command) (out []string) {
		for _, c := range list {
			if c.Tool == finding.LDIF {
				first, _, _ := strings.Cut(c.Line, "\n")
				out = append(out, strings.TrimPrefix(first, "dn: "))
			}
		}
		return out
	}
	wrong, right := w.accounts[4].DN, w.accounts[1].DN
	if fix, undo := objects(r.Causes[0].Fix), objects(r.Causes[0].Undo); !slices.Equal(fix, []string{wrong, right}) || !slices.Equal(undo, []string{right, wrong}) {
		t.Errorf("fix %q, undo %q", fix, undo)
	}
}

// Every cure of the directory's side is there as PowerShell and as LDIF, and so is what
// takes it back.
func TestCuresComeInEveryForm(t *testing.T) {
	w := whole{site: newSite(four...)}
	w.accounts[0].DelegateTo = w.accounts[0].DelegateTo[1:]
	w.accounts[1].ServiceNames = w.accounts[1].ServiceNames[1:]
	w.accounts[2].Flags &^= directory.FlagTrustedToAuth
	w.accounts[3].Flags |= directory.FlagTrustedForAny
	w.accounts[3].EncryptionTypes = 4
	w.accounts[4].DelegateTo = siteNames("HV02")
	r := w.examine(t, w.doctor(t), Question{Hosts: four})
	if len(r.Causes) < 6 {
		t.Fatalf("%q", codesOf(r))
	}
	for _, c := range r.Causes {
		for _, list := range [][]finding.Command{c.Fix, c.Undo} {
			for _, tool := range []finding.Tool{finding.PowerShell, finding.LDIF, finding.SambaTool} {
				if tool == finding.SambaTool && c.Code == fault.HostWithoutAES { // net ads does it
					continue
				}
				if !slices.ContainsFunc(list, func(x finding.Command) bool { return x.Tool == tool }) {
					t.Errorf("%s has no %s: %+v", c.Code, tool, list)
				}
			}
		}
		if c.Evidence == "" || c.Effect == "" {
			t.Errorf("%+v", c.Finding)
		}
	}
	i := slices.IndexFunc(r.Causes, func(c Cause) bool { return c.Code == fault.TransitionMissing })
	var ldif string
	for _, f := range r.Causes[i].Fix {
		if f.Tool == finding.LDIF {
			ldif = f.Line
		}
	}
	want := "dn: CN=HV03,CN=Computers,DC=lab,DC=drover,DC=test\nchangetype: modify\ndelete: userAccountControl\nuserAccountControl: 4096\n-\nadd: userAccountControl\nuserAccountControl: 16781312\n-\n"
	if ldif != want {
		t.Errorf("%q, want %q", ldif, want)
	}
}

func TestLDIFEncodesWhatIsNotSafe(t *testing.T) {
	for value, want := range map[string]string{"CN=HV01": "dn: CN=HV01\n", "CN=Jürgen": "dn:: Q049SsO8cmdlbg==\n", " x": "dn:: IHg=\n", "x\ny": "dn:: eAp5\n", "x ": "dn:: eCA=\n"} {
		if got := ldifLine("dn", value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

// The directory part of a large site: nothing is found, and nothing is rehearsed.
func TestTwoHundredHosts(t *testing.T) {
	var hosts []string
	for i := range 200 {
		hosts = append(hosts, fmt.Sprintf("HV%03d", i+1))
	}
	w := whole{site: newSite(hosts...)}
	d := w.doctor(t)
	r := w.examine(t, d, Question{Hosts: hosts})
	if len(r.Causes) != 0 || len(r.Hosts) != 200 || len(r.Pairs) != 200*199 {
		t.Errorf("%d findings, %d hosts, %d pairs", len(r.Causes), len(r.Hosts), len(r.Pairs))
	}
	if !slices.ContainsFunc(r.NotChecked, func(c Check) bool { return strings.Contains(c.Reason, "more than 8 hosts") }) {
		t.Error("it does not say that nothing was rehearsed")
	}
}

func TestDirectoryThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []fault.Code
	}{
		{fault.New(fault.DirectoryUnreachable, "", "domain", "lab.drover.test", "reason", "nobody answers"), []fault.Code{fault.DirectoryUnreachable}},
		{fault.New(fault.DirectorySignIn, "", "server", "dc1", "principal", "operator", "reason", "expired"), []fault.Code{fault.DirectorySignIn}},
		{errors.New("who knows"), []fault.Code{fault.DirectoryUnreachable}},
	} {
		w := whole{site: newSite(four...)}
		d := w.doctor(t)
		d.Directory = func(context.Context, string) (ExaminedDirectory, error) { return nil, c.err }
		r := w.examine(t, d, Question{Hosts: four})
		if !slices.Equal(codesOf(r), c.want) || len(r.Hosts) != 4 {
			t.Errorf("%v: %q", c.err, codesOf(r))
		}
		if !slices.ContainsFunc(r.NotChecked, func(x Check) bool { return x.Area == AreaDirectory }) {
			t.Errorf("%v: the directory passes as checked", c.err)
		}
	}
}

func TestNobodySignedIn(t *testing.T) {
	w := whole{site: newSite(four...)}
	d := w.doctor(t)
	d.Directory, d.CallerError = nil, fault.New(fault.NoTicket, "", "cache", "FILE:/tmp/krb5cc_0")
	r := w.examine(t, d, Question{Hosts: four})
	if !slices.Equal(codesOf(r), []fault.Code{fault.NoTicket}) {
		t.Errorf("%q", codesOf(r))
	}
}

// Whoever signs in to the directory by a password or a socket lacks no ticket.
func TestPasswordNeedsNoTicket(t *testing.T) {
	w := whole{site: newSite(four...)}
	d := w.doctor(t)
	d.CallerError = fault.New(fault.NoTicket, "", "cache", "FILE:/tmp/krb5cc_0")
	if r := w.examine(t, d, Question{Hosts: four}); len(r.Causes) > 0 || r.Server == "" {
		t.Errorf("%q of %q", codesOf(r), r.Server)
	}
}

func TestEndOfContext(t *testing.T) {
	w := whole{site: newSite(four...)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.doctor(t).Examine(ctx, Question{Hosts: four}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// usual are settings that fit.
func usual() settings.Settings {
	s := settings.Default()
	s.Incoming, s.Outgoing = true, true
	s.Networks = []settings.Network{{Subnet: netip.MustParsePrefix("192.168.10.0/24")}}
	return s
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(a *Agent)
		want   []fault.Code
	}{
		{"usual", func(*Agent) {}, nil},
		{"incoming off", func(a *Agent) { a.Settings.Incoming = false }, []fault.Code{fault.MigrationDisabled}},
		{"outgoing off", func(a *Agent) { a.Settings.Outgoing = false }, []fault.Code{fault.MigrationDisabled}},
		{"CredSSP", func(a *Agent) { a.Settings.Authentication = settings.CredSSP }, []fault.Code{fault.AuthenticationDiffers}},
		{"TCPIP", func(a *Agent) { a.Settings.Performance = settings.TCPIP }, []fault.Code{fault.PerformanceDiffers}},
		{"no moves", func(a *Agent) { a.Settings.MaximumMigrations = 0 }, []fault.Code{fault.LimitZero}},
		{"no storage moves", func(a *Agent) { a.Settings.MaximumStorageMigrations = 0 }, []fault.Code{fault.LimitZero}},
		{"all places taken", func(a *Agent) { a.Moves = 2 }, []fault.Code{fault.MigrationLimit}},
		{"all places for storage taken", func(a *Agent) { a.StorageMoves = 2 }, []fault.Code{fault.MigrationLimit}},
		{"older", func(a *Agent) { a.Version = "0.9" }, []fault.Code{fault.VersionsDiffer}},
		{"another network", func(a *Agent) { a.Settings.Networks[0].Subnet = netip.MustParsePrefix("192.168.20.0/24") },
			[]fault.Code{fault.NoCommonNetwork, fault.NoCommonNetwork, fault.NoCommonNetwork, fault.NoCommonNetwork, fault.NoCommonNetwork, fault.NoCommonNetwork}},
		{"no address", func(a *Agent) { a.Addresses = nil }, []fault.Code{fault.MigrationPortUnbound}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := whole{site: newSite(four...)}
			d := w.doctor(t)
			d.Agent = func(_ context.Context, host string) (Agent, error) {
				a := Agent{Host: shortName(host), Version: "1.0", Settings: usual(), Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.168.10.1:6600")}}
				if shortName(host) == "HV02" {
					c.change(&a)
				}
				return a, nil
			}
			x := &examination{Doctor: d}
			x.Now = time.Now
			for _, n := range four {
				x.hosts = append(x.hosts, &seenHost{Host: delegation.Host{Name: n, FQDN: strings.ToLower(n) + ".lab.drover.test"}})
			}
			for _, s := range four {
				for _, n := range four {
					if s != n {
						x.pairs = append(x.pairs, delegation.Direction{Source: s, Destination: n})
					}
				}
			}
			for _, h := range x.hosts {
				a, _ := d.Agent(t.Context(), h.Name)
				h.agent = &a
				x.judgeAgent(t.Context(), h)
			}
			x.compareHosts(t.Context())
			var got []fault.Code
			for _, f := range x.found {
				got = append(got, f.Code)
				if f.Host != "HV02" && f.Source == "" {
					t.Errorf("%+v", f)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
