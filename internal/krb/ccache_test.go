package krb

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
	"drover/internal/spn"
)

// testTGT is a ticket-granting ticket of the operator, as a KDC would issue it.
func testTGT(t testing.TB, end time.Time) *Ticket {
	f := goodForge()
	f.sname = []string{"krbtgt", testRealm}
	f.flags = []int{flags.Forwardable}
	tk := f.ticket(t)
	tk.service, tk.end, tk.obtained = "krbtgt/"+testRealm, end, testNow
	types.SetFlag(&tk.flags, flags.Forwardable)
	return tk
}

func TestCCacheRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cc")
	tgt := testTGT(t, testNow.Add(time.Hour))
	if err := writeCCache(path, tgt); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	now := func() time.Time { return testNow }
	for _, name := range []string{path, "FILE:" + path} {
		o, err := OpenOperator(name, "", now)
		if err != nil {
			t.Fatal(err)
		}
		if o.Principal() != "operator@"+testRealm || !o.Forwardable() || o.Expires().Unix() != tgt.end.Unix() {
			t.Errorf("%s %v %v", o.Principal(), o.Forwardable(), o.Expires())
		}
		if string(o.tgt.key.KeyValue) != string(tgt.key.KeyValue) || string(o.tgt.ticket.EncPart.Cipher) != string(tgt.ticket.EncPart.Cipher) {
			t.Error("ticket or key differ")
		}
	}
}

func TestCachedServicesNamesWhatThereAreTicketsFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cc")
	tgt := testTGT(t, testNow.Add(time.Hour))
	if err := writeCCache(path, tgt); err != nil {
		t.Fatal(err)
	}
	if got := CachedServices(path, ""); len(got) != 1 || got[0] != "krbtgt/"+testRealm {
		t.Errorf("%q", got)
	}
	for _, name := range []string{path + "x", "KEYRING:persistent:0"} {
		if got := CachedServices(name, ""); got != nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestOpenOperatorFaults(t *testing.T) {
	dir := t.TempDir()
	path := func(n string) string { return filepath.Join(dir, n) }
	if err := writeCCache(path("good"), testTGT(t, testNow.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := writeCCache(path("old"), testTGT(t, testNow.Add(-time.Minute))); err != nil {
		t.Fatal(err)
	}
	service := testTGT(t, testNow.Add(time.Hour))
	service.ticket.SName.NameString = []string{"cifs", "HV02"}
	if err := writeCCache(path("service"), service); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path("good"))
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cut": good[:len(good)/2], "empty": nil, "text": []byte("hello, this is no cache"), "v1": append([]byte{5, 1}, good[2:]...)} {
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now := func() time.Time { return testNow }
	for name, code := range map[string]fault.Code{path("absent"): fault.NoTicket, path("cut"): fault.NoTicket, path("empty"): fault.NoTicket,
		path("text"): fault.NoTicket, path("v1"): fault.NoTicket, path("service"): fault.NoTicket, path("old"): fault.TicketExpired,
		"KEYRING:persistent:0": fault.NoTicket, "KCM:": fault.NoTicket} {
		if _, err := OpenOperator(name, "", now); !fault.Is(err, code) {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
}

func TestOpenOperatorFindsTheDefaultCache(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tktabc")
	if err := writeCCache(file, testTGT(t, testNow.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "primary"), []byte("tktabc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return testNow }
	for _, name := range []string{"FILE:" + file, "DIR:" + dir, "DIR::" + file} {
		t.Setenv("KRB5CCNAME", name)
		if _, err := OpenOperator("", "", now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("KRB5CCNAME", "")
	conf := filepath.Join(dir, "krb5.conf")
	t.Setenv("KRB5_CONFIG", conf)
	if p, shown, err := cachePath("", ""); err != nil || filepath.Dir(p) != "/tmp" || shown != "FILE:"+p {
		t.Errorf("default %q shown as %q: %v", p, shown, err)
	}
	text := "# default_ccache_name = FILE:/nowhere\n[libdefaults]\n  default_ccache_name = FILE:" + dir + "/cc_%{uid}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, _, err := cachePath("", ""); err != nil || p != fmt.Sprintf("%s/cc_%d", dir, os.Getuid()) {
		t.Errorf("default_ccache_name gives %q: %v", p, err)
	}
}

func TestOperatorGetsTickets(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	now := testNow
	tgt := testTGT(t, testNow.Add(time.Hour))
	tgt.key, tgt.cname = fakeSession, types.PrincipalName{NameType: 1, NameString: []string{"HV02$"}} // whom the fake answers for
	o := &Operator{client: h.client, tgt: tgt, cache: newTicketCache()}
	o.client.now = func() time.Time { return now }
	ctx := testCtx(t)
	first, err := o.Ticket(ctx, testSPN)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := o.Ticket(ctx, testSPN); err != nil || again != first {
		t.Errorf("asked twice (%v)", err)
	}
	o.Forget()
	if again, err := o.Ticket(ctx, testSPN); err != nil || again == first {
		t.Errorf("not forgotten (%v)", err)
	}
	k.refuse = func(int, *tgsRequest) int32 { return 7 }
	if _, err := o.Ticket(ctx, "x/y"); !fault.Is(err, fault.ServiceUnknown) {
		t.Errorf("unknown service: %v", err)
	}
	k.refuse = func(int, *tgsRequest) int32 { return 32 }
	if _, err := o.Ticket(ctx, "x/y"); !fault.Is(err, fault.TicketExpired) {
		t.Errorf("expired at the KDC: %v", err)
	}
	now = tgt.end
	if _, err := o.Ticket(ctx, "x/y"); !fault.Is(err, fault.TicketExpired) {
		t.Errorf("expired: %v", err)
	}
}

func TestLogin(t *testing.T) {
	k := startFakeKDC(t)
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	text := "[libdefaults]\n default_realm = " + testRealm + "\n[realms]\n " + testRealm + " = {\n  kdc = " + k.addr + "\n }\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cc := filepath.Join(t.TempDir(), "cc")
	now := func() time.Time { return testNow }
	login := func(principal string) error {
		_, err := Login(testCtx(t), principal, "password", cc, conf, now)
		return err
	}
	// The fake's reply is under another key than the password's.
	if err := login("operator"); err == nil || fault.Is(err, fault.KDCUnreachable) {
		t.Errorf("a reply under a wrong key: %v", err)
	}
	for code, want := range map[int32]fault.Code{24: fault.LoginFailed, 6: fault.LoginFailed, 18: fault.LoginFailed, 23: fault.LoginFailed, 37: fault.ClockSkew, 60: fault.LoginFailed} {
		k.asError, k.skew = code, time.Hour
		if err := login("operator"); !fault.Is(err, want) {
			t.Errorf("KDC error %d: %v, want %s", code, err, want)
		}
	}
	if err := login("@"); !fault.Is(err, fault.LoginFailed) {
		t.Errorf("no name: %v", err)
	}
	if _, err := os.Stat(cc); !os.IsNotExist(err) {
		t.Errorf("a failed sign-in left a cache: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Login(ctx, "operator", "x", cc, conf, now); err == nil {
		t.Error("cancelled context")
	}
}

func FuzzCCache(f *testing.F) {
	good, err := formatCCache(testTGT(f, testNow))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(append([]byte{5, 3}, good[16:]...))
	f.Add([]byte{5, 4, 0xff, 0xff})
	huge := append([]byte{5, 4, 0, 0, 0, 0, 0, 1}, 0xff, 0xff, 0xff, 0xff)
	f.Add(binary.BigEndian.AppendUint32(huge, 0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, creds, err := parseCCache(b)
		if err != nil {
			return
		}
		for _, c := range creds {
			if tk, err := c.toTicket(time.Now); err == nil && len(tk.ticket.SName.NameString) == 0 {
				t.Error("ticket without a service")
			}
		}
	})
}

func FuzzServiceName(f *testing.F) {
	for _, s := range []string{testSPN, "cifs/HV02", "a/b/c", `Micro\ soft/HV02@R`, "//", `\`, "@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseService(s)
		if err == nil && nameString(n) != s {
			t.Errorf("%q became %q", s, nameString(n))
		}
		if p := spn.Plain(s); len(p) > len(s) {
			t.Errorf("%q grew to %q", s, p)
		}
		if p, r, err := parsePrincipal(s, testRealm); err == nil && (len(p.NameString) == 0 || r == "") {
			t.Errorf("%q: %v@%q", s, p, r)
		}
	})
}

func FuzzPAC(f *testing.F) {
	g := goodForge()
	g.pac.transited, g.pac.target = []string{"HV01$@R"}, "cifs/HV02"
	f.Add(g.pac.marshal(f, g.key))
	f.Add(g.pac.logonInfo())
	f.Add(g.pac.delegationInfo())
	f.Add(g.pac.clientInfo())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := parsePAC(b, g.key); err == nil && p.userSID == "" {
			t.Error("a PAC without a user verifies")
		}
		// Behind the signature too, as if the KDC were hostile.
		for _, read := range []func(*pac, []byte) error{(*pac).readLogonInfo, (*pac).readClientInfo, (*pac).readDelegationInfo} {
			if p := (&pac{}); read(p, b) == nil && len(p.groups) > len(b) {
				t.Errorf("%d groups from %d bytes", len(p.groups), len(b))
			}
		}
	})
}

// FuzzAccept changes a good token everywhere outside its ciphertexts, which is all
// that somebody without keys can do. Only the good token may be accepted, once.
func FuzzAccept(f *testing.F) {
	h := testHost(f)
	g := goodForge()
	g.binding = testBinding
	good := g.token(f)
	f.Add(good)
	f.Add(NegTokenInit(good))
	f.Add(good[:len(good)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := h.Accept(b, testBinding)
		if err == nil && c.Identity().Principal != "operator@"+testRealm {
			t.Errorf("accepted as %+v", c.Identity())
		}
		if err != nil && fault.From(err).Code == fault.Internal {
			t.Errorf("no code: %v", err)
		}
	})
}
