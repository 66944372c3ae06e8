package look

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
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// nameServer answers from a map of "KIND name" to records; a kind of answer that is
// not there is NXDOMAIN, and "refuse." and "silent." are names for the rest.
func nameServer(t *testing.T, records map[string][]string) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		name, kind := q.Question[0].Name, dns.TypeToString[q.Question[0].Qtype]
		r := new(dns.Msg)
		r.SetReply(q)
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		switch values, known := records[kind+" "+name]; {
		case strings.HasPrefix(name, "silent."):
			return
		case strings.HasPrefix(name, "refuse."):
			r.Rcode = dns.RcodeRefused
		case strings.HasPrefix(name, "long.") && !tcp:
			r.Truncated = true
		case known:
			for _, v := range values {
				rr, err := dns.NewRR(fmt.Sprintf("%s 300 IN %s %s", name, kind, v))
				if err != nil {
					t.Error(err)
				}
				r.Answer = append(r.Answer, rr)
			}
		case !slices.ContainsFunc([]string{"A ", "AAAA ", "SRV ", "PTR "}, func(k string) bool { return records[k+name] != nil }):
			r.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(r)
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: answer}, {Listener: l, Handler: answer}} {
		ended := make(chan struct{})
		go func() { defer close(ended); _ = s.ActivateAndServe() }()
		t.Cleanup(func() {
			pc.Close()
			l.Close()
			<-ended
		})
	}
	return pc.LocalAddr().String()
}

func TestAnswersAreToldApart(t *testing.T) {
	server := nameServer(t, map[string][]string{
		"A hv01.example.org.":         {"10.0.0.11", "10.0.0.111"},
		"AAAA hv01.example.org.":      {"fd00::11"},
		"AAAA hv02.example.org.":      {"fd00::12"},
		"A long.example.org.":         {"10.0.0.13"},
		"SRV _ldap.example.org.":      {"10 100 389 dc2.example.org.", "0 10 389 DC1.example.org.", "0 100 390 dc3.example.org."},
		"PTR 11.0.0.10.in-addr.arpa.": {"HV01.example.org."},
	})
	m := Machine{Patience: 400 * time.Millisecond}
	ctx := t.Context()
	for _, c := range []struct {
		name   string
		got    Answer
		state  State
		values []string
	}{
		{"both kinds of address", m.Host(ctx, server, "hv01.example.org"), Found, []string{"10.0.0.11", "10.0.0.111", "fd00::11"}},
		{"IPv6 only", m.Host(ctx, server, "hv02.example.org"), Found, []string{"fd00::12"}},
		{"truncated, then by TCP", m.Host(ctx, server, "long.example.org"), Found, []string{"10.0.0.13"}},
		{"no such name", m.Host(ctx, server, "hv09.example.org"), NoName, nil},
		{"no record of the kind", m.Host(ctx, server, "_ldap.example.org"), NoData, nil},
		{"refused", m.Host(ctx, server, "refuse.example.org"), Refused, nil},
		{"silent", m.Host(ctx, server, "silent.example.org"), Silent, nil},
		{"services by priority and weight", m.Service(ctx, server, "_ldap.example.org"), Found, []string{"dc3.example.org:390", "dc1.example.org:389", "dc2.example.org:389"}},
		{"reverse", m.Reverse(ctx, server, netip.MustParseAddr("10.0.0.11")), Found, []string{"hv01.example.org"}},
		{"nothing listens", m.Host(ctx, "127.0.0.1:1", "hv01.example.org"), Silent, nil},
	} {
		if c.got.State != c.state || !slices.Equal(c.got.Values, c.values) {
			t.Errorf("%s: %+v, want %s %q", c.name, c.got, c.state, c.values)
		}
		if silent := c.got.State == Silent; silent && (c.got.Definite() || c.got.Detail == "") || !silent && c.state != Refused && !c.got.Definite() {
			t.Errorf("%s: %+v", c.name, c.got)
		}
	}
	if a := m.Host(ctx, server, "hv01.example.org"); a.Life != 300*time.Second || len(a.Addresses()) != 3 {
		t.Errorf("%+v", a)
	}
}

// An answer that came too late says nothing about the name.
func TestSlowNamesAreNotMissing(t *testing.T) {
	server := nameServer(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a := (Machine{}).Host(ctx, server, "hv01.example.org"); a.State != Silent {
		t.Errorf("%+v", a)
	}
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSearchList(t *testing.T) {
	m := Machine{ResolvConf: file(t, "nameserver 10.0.0.1\nnameserver fd00::1\nsearch Other.test example.org.\noptions ndots:1\n")}
	r, err := m.Resolver()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(r.Servers, []string{"10.0.0.1:53", "[fd00::1]:53"}) || !slices.Equal(r.Search, []string{"other.test", "example.org"}) {
		t.Errorf("%+v", r)
	}
	for name, want := range map[string][]string{
		"HV01":              {"hv01.other.test", "hv01.example.org", "hv01"},
		"hv01.example.org":  {"hv01.example.org", "hv01.example.org.other.test", "hv01.example.org.example.org"},
		"hv01.example.org.": {"hv01.example.org"},
	} {
		if got := r.Candidates(name); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if _, err := (Machine{ResolvConf: "/nonexistent"}).Resolver(); err == nil {
		t.Error("no file, and no error")
	}
}

func TestHostsFile(t *testing.T) {
	m := Machine{HostsFile: file(t, "127.0.0.1 localhost\n10.0.0.11 HV01.example.org hv01 # of old\n#10.0.0.12 hv01\nfd00::11\thv01\nnonsense hv01\n10.0.0.11 hv01\n")}
	for name, want := range map[string][]netip.Addr{
		"hv01":              {netip.MustParseAddr("10.0.0.11"), netip.MustParseAddr("fd00::11")},
		"hv01.example.org.": {netip.MustParseAddr("10.0.0.11")},
		"hv02":              nil,
	} {
		if got, err := m.Listed(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v %v, want %v", name, got, err, want)
		}
	}
	if got, err := (Machine{HostsFile: "/nonexistent"}).Listed("hv01"); err != nil || got != nil {
		t.Errorf("%v %v", got, err)
	}
}

func TestPortsAreToldApart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	here := netip.MustParseAddr("127.0.0.1")
	if p := (Machine{}).Port(t.Context(), here, l.Addr().(*net.TCPAddr).AddrPort().Port()); p.State != Open || !p.Answers() {
		t.Errorf("%+v", p)
	}
	if p := (Machine{}).Port(t.Context(), here, 1); p.State != Closed || !p.Answers() {
		t.Errorf("%+v", p)
	}
	for _, c := range []struct {
		err   error
		state PortState
	}{
		{syscall.ECONNREFUSED, Closed}, {syscall.EHOSTUNREACH, Unreachable}, {syscall.ENETUNREACH, Unreachable},
		{syscall.EPERM, Blocked}, {syscall.ETIMEDOUT, Filtered}, {context.DeadlineExceeded, Filtered}, {errors.New("who knows"), Unclear},
	} {
		m := Machine{Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: c.err}
		}}
		if p := m.Port(t.Context(), here, 6601); p.State != c.state || p.Detail == "" {
			t.Errorf("%v: %+v, want %s", c.err, p, c.state)
		}
	}
	m := Machine{Patience: 50 * time.Millisecond, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	if p := m.Port(t.Context(), here, 6601); p.State != Filtered {
		t.Errorf("%+v", p)
	}
}
