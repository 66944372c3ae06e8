package settings

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"drover/internal/fault"
)

func network(t *testing.T, s string) Network {
	t.Helper()
	n, err := ParseNetwork(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRateReadsWhatPeopleWrite(t *testing.T) {
	for in, want := range map[string]Rate{
		"500M": 5e8, "500m": 5e8, "500Mbit/s": 5e8, "500 Mbps": 5e8, "500mb/s": 5e8, "1G": 1e9, "1g": 1e9, "2.5G": 25e8, "0.5Gbit/s": 5e8,
		"1000k": 1e6, "1000K": 1e6, "1T": 1e12, "10T": 1e13, "1000000": 1e6, "none": 0, "None": 0, "0": 0, " 1G ": 1e9, "1.1G": 11e8,
	} {
		if got, err := ParseRate(in); err != nil || got != want {
			t.Errorf("%q: %d %v, want %d", in, got, err, want)
		}
	}
	for in, why := range map[string]string{
		"": "no bandwidth", "fast": "no bandwidth", "-1G": "no bandwidth", "1e9": "no bandwidth", "500MB/s": "bytes", "500": "forgotten", "999k": "less than 1M",
		"11T": "more than 10T", "1Gi": "no bandwidth", "G": "no bandwidth", "1.2.3G": "no bandwidth", "1G 1G": "no bandwidth", "9" + strings.Repeat("9", 400): "bandwidth", "500MiB/s": "no bandwidth",
		"0.4": "forgotten", "0.0001k": "forgotten",
	} {
		if got, err := ParseRate(in); err == nil || !strings.Contains(err.Error(), why) && !strings.Contains(err.Error(), "more than") {
			t.Errorf("%q: %d, %v; want %q", in, got, err, why)
		}
	}
}

func TestRateIsWrittenAsItIsRead(t *testing.T) {
	for r, want := range map[Rate]string{0: "none", 5e8: "500M", 25e8: "2.5G", 1e6: "1M", 1234567: "1234.567k", 1234567891: "1234567.891k", 1_000_000_001: "1000000.001k", 1e13: "10T", 1_050_000_000: "1.05G"} {
		if got := r.String(); got != want {
			t.Errorf("%d: %q, want %q", uint64(r), got, want)
		}
		if back, err := ParseRate(r.String()); err != nil || back != r {
			t.Errorf("%d: %q is read as %d, %v", uint64(r), r, back, err)
		}
	}
}

func TestNetworkSpecs(t *testing.T) {
	for in, want := range map[string]string{
		"192.168.10.0/24": "192.168.10.0/24", "192.168.10.5": "192.168.10.5/32", "fd00::/64,priority=3": "fd00::/64,priority=3",
		"10.0.0.0/8, bandwidth=1G, priority=2": "10.0.0.0/8,priority=2,bandwidth=1G", "fd00::1": "fd00::1/128", "::ffff:10.0.0.1": "10.0.0.1/32",
	} {
		n, err := ParseNetwork(in)
		if err != nil || n.String() != want {
			t.Errorf("%q: %s, %v; want %s", in, n, err, want)
		}
	}
	for in, why := range map[string]string{
		"": "neither", "192.168.10.5/24": "write 192.168.10.0/24", "fd00::5/64": "write fd00::/64", "10.0.0.0/8,priority=-1": "not from 0", "10.0.0.0/8,priority=1,priority=2": "each once",
		"10.0.0.0/8,speed=3": "knows", "0.0.0.0/0": "every network", "::/0": "every network", "fe80::1%eth0": "interface", "224.0.0.0/24": "multicast",
		"10.0.0.0/33": "neither", "10.0.0.0/8,": "not priority", "10.0.0.0/8,bandwidth=5": "forgotten", "10.0.0.0/8,priority=1000001": "not from 0", "::ffff:10.0.0.0/104": "IPv4",
	} {
		if n, err := ParseNetwork(in); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %s, %v; want %q", in, n, err, why)
		}
	}
}

func TestNamesHaveAliasesAndNoCase(t *testing.T) {
	for in, want := range map[string]Performance{"TCP/IP": TCPIP, "None": TCPIP, "tcpip": TCPIP, "SMBTransport": SMB, "smb": SMB, "COMPRESSION": Compression} {
		if got, err := ParsePerformance(in); err != nil || got != want {
			t.Errorf("%q: %s %v", in, got, err)
		}
	}
	var s struct {
		P Performance
		A Authentication
		E Encryption
	}
	if err := json.Unmarshal([]byte(`{"P": "tcp/ip", "A": "credssp", "E": "OFF"}`), &s); err != nil || s.P != TCPIP || s.A != CredSSP || s.E != Off {
		t.Errorf("%+v, %v", s, err)
	}
	if err := json.Unmarshal([]byte(`{"P": ""}`), &s); err != nil || s.P != "" {
		t.Errorf("records from before there were settings: %+v, %v", s, err)
	}
	for _, bad := range []string{`{"P": "fast"}`, `{"A": "NTLM"}`, `{"E": "Maybe"}`} {
		if err := json.Unmarshal([]byte(bad), &s); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	for in, want := range map[string]bool{"on": true, "$true": true, "True": true, "OFF": false, "$False": false} {
		if got, err := ParseSwitch(in); err != nil || got != want {
			t.Errorf("%q: %t %v", in, got, err)
		}
	}
}

func TestApplyChangesWhatIsNamedAndNothingElse(t *testing.T) {
	on, four, off := true, 4, Off
	before := Default()
	before.Networks = []Network{network(t, "192.168.10.0/24,priority=5")}
	after, err := before.Apply("HV01", Change{Incoming: &on, MaximumMigrations: &four, Encryption: &off,
		AddNetworks: []Network{network(t, "fd00::/64"), network(t, "10.0.0.0/8,priority=5"), network(t, "10.0.0.0/16,priority=5")}})
	if err != nil {
		t.Fatal(err)
	}
	want := "[{incoming_enabled off on} {maximum_migrations 2 4} {networks 192.168.10.0/24,priority=5 " +
		"fd00::/64 10.0.0.0/8,priority=5 10.0.0.0/16,priority=5 192.168.10.0/24,priority=5} {encryption Required Off}]"
	if got := fmt.Sprint(Diff(before, after)); got != want || after.Revision != 1 {
		t.Errorf("%s, revision %d, want %s", got, after.Revision, want)
	}
	if v := after.Values()[7].Value; v != "fd00::/64 10.0.0.0/8,priority=5 10.0.0.0/16,priority=5 192.168.10.0/24,priority=5" {
		t.Errorf("networks by priority, then subnet: %s", v)
	}
	if len(before.Networks) != 1 || before.Revision != 0 {
		t.Errorf("the old settings were changed: %+v", before)
	}
	edited, err := after.Apply("HV01", Change{AddNetworks: []Network{network(t, "192.168.10.0/24,bandwidth=1G")}, RemoveNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil || edited.Values()[7].Value != "192.168.10.0/24,bandwidth=1G fd00::/64 10.0.0.0/16,priority=5" {
		t.Errorf("%s, %v", edited.Values()[7].Value, err)
	}
	same, err := edited.Apply("HV01", edited.Change())
	if err != nil || same.Revision != edited.Revision {
		t.Errorf("a change to what is there has a revision of its own: %d after %d, %v", same.Revision, edited.Revision, err)
	}
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func TestApplyRefusesAsAWhole(t *testing.T) {
	lots, minus, stale, slow := 129, -1, int64(7), Rate(10)
	odd, hostBits := Performance("tcpip"), Network{Subnet: netip.MustParsePrefix("10.1.2.3/8")}
	many := make([]Network, 65)
	for i := range many {
		many[i].Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 32)
	}
	a := network(t, "10.0.0.0/8")
	for name, c := range map[string]struct {
		ch   Change
		code fault.Code
		says string
	}{
		"stale":             {Change{IfRevision: &stale}, fault.SettingsChanged, "revision 0, not 7"},
		"too many":          {Change{MaximumMigrations: &lots}, fault.SettingsInvalid, "maximum_migrations: 129"},
		"negative":          {Change{MaximumStorageMigrations: &minus}, fault.SettingsInvalid, "-1"},
		"slow":              {Change{Bandwidth: &slow}, fault.SettingsInvalid, "forgotten"},
		"another spelling":  {Change{Performance: &odd}, fault.SettingsInvalid, "TCPIP"},
		"host bits":         {Change{AddNetworks: []Network{hostBits}}, fault.SettingsInvalid, "write 10.0.0.0/8"},
		"no subnet":         {Change{AddNetworks: []Network{{}}}, fault.SettingsInvalid, "needs a subnet"},
		"twice":             {Change{Networks: &[]Network{a, a}}, fault.SettingsInvalid, "twice"},
		"added twice":       {Change{AddNetworks: []Network{a, a}}, fault.SettingsInvalid, "twice"},
		"not there":         {Change{RemoveNetworks: []netip.Prefix{a.Subnet}}, fault.SettingsInvalid, "no migration network"},
		"replace and add":   {Change{Networks: &[]Network{}, AddNetworks: []Network{a}}, fault.SettingsInvalid, "replaces all"},
		"more than a table": {Change{Networks: &many}, fault.SettingsInvalid, "65 networks"},
	} {
		_, err := Default().Apply("HV01", c.ch)
		if !fault.Is(err, c.code) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTemplateIsReadBack(t *testing.T) {
	s := Default()
	s.Incoming, s.AnyNetwork, s.Performance, s.Bandwidth, s.Encryption, s.Revision = true, true, SMB, 25e8, Off, 9
	s.Networks = []Network{network(t, "10.0.0.0/8,bandwidth=1G"), network(t, "10.0.0.7,priority=3"), network(t, "fd00:1::/64,priority=3")}
	for name, doc := range map[string][]byte{"YAML": s.Template(), "JSON": []byte(jsonOf(s.TemplateJSON()))} {
		ch, err := ParseTemplate(doc)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, doc)
		}
		back, err := Default().Apply("HV02", ch)
		if d := Diff(s, back); err != nil || len(d) > 0 || back.Revision != 1 {
			t.Errorf("%s: %v %v, revision %d\n%s", name, d, err, back.Revision, doc)
		}
	}
	if strings.Contains(string(s.Template()), "revision") {
		t.Error("a template has no revision")
	}
	part, err := ParseTemplate([]byte("bandwidth_limit: 500000000\nperformance_option: TCP/IP\n"))
	if err != nil || *part.Bandwidth != 5e8 || *part.Performance != TCPIP || part.Networks != nil || part.Incoming != nil {
		t.Errorf("%+v, %v", part, err)
	}
}

func TestTemplateIsReadStrictly(t *testing.T) {
	for in, why := range map[string]string{
		"maximum_migration: 3\n": "maximum_migration", "maximum_migrations: many\n": "maximum_migrations", "": "no settings", "networks: [{subnet: 10.0.0.1/8}]\n": "10.0.0.0/8",
		"networks: [{priority: 1}]\n": "needs a subnet", "bandwidth_limit: 5\n": "forgotten", "encryption: Maybe\n": "Maybe", "revision: 3\nencryption: Off\n": "revision",
		"encryption: Off\nencryption: Off\n": "already", "networks: [{subnet: 10.0.0.0/8, speed: 1}]\n": "speed", "encryption: ''\n": "encryption",
		"maximum_migrations: 2.7\n": "no whole number", "networks: [{subnet: 10.0.0.0/8, priority: 0.5}]\n": "no whole number", "encryption: Off\nnetworks:\n": "networks has no value",
		"encryption: Off\n---\nencryption: Required\n": "more than one document", "networks: [null]\n": "needs a subnet",
	} {
		if ch, err := ParseTemplate([]byte(in)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %+v, %v; want %q", in, ch, err, why)
		}
	}
	if _, err := ParseTemplate(make([]byte, MaxTemplate+1)); err == nil {
		t.Error("a template without bounds was read")
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"192.168.10.0/24,priority=1,bandwidth=500M", "fd00::1", "10.0.0.0/8,bandwidth=2.5Gbit/s", "::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := ParseRate(s); err == nil {
			if back, err := ParseRate(r.String()); err != nil || back != r {
				t.Fatalf("rate %q: %s is read back as %d, %v", s, r, uint64(back), err)
			}
		}
		n, err := ParseNetwork(s)
		if err != nil {
			return
		}
		if back, err := ParseNetwork(n.String()); err != nil || back != n {
			t.Fatalf("network %q: %s is read back as %s, %v", s, n, back, err)
		}
		if _, err := Default().Apply("HV01", Change{AddNetworks: []Network{n}}); err != nil {
			t.Fatalf("network %q: parsed, and refused: %v", s, err)
		}
	})
}

func FuzzParseTemplate(f *testing.F) {
	f.Add(Default().Template())
	f.Add([]byte("networks: [{subnet: 10.0.0.0/8, priority: 1, bandwidth_limit: 1G}]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ch, err := ParseTemplate(b)
		if err != nil {
			return
		}
		s, err := Default().Apply("HV01", ch)
		if err != nil {
			t.Fatalf("read, and refused: %v", err)
		}
		again, err := ParseTemplate(s.Template())
		if err != nil {
			t.Fatalf("%v\n%s", err, s.Template())
		}
		if back, err := Default().Apply("HV01", again); err != nil || len(Diff(s, back)) > 0 {
			t.Fatalf("%v %v", Diff(s, back), err)
		}
	})
}
