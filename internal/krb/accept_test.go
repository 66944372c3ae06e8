package krb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
	"drover/internal/spn"
)

var testBinding = Binding(bytes.Repeat([]byte{7}, 32))

func TestAcceptReadsIdentityFromTicketAndPAC(t *testing.T) {
	f := goodForge()
	f.pac.resource = []uint32{2000}
	f.pac.extra = [][]uint32{{18, 2}, {5, 21, 8, 8, 8, 1111}}
	f.pac.target = `Microsoft\ Virtual\ System\ Migration\ Service/HV02@LAB.DROVER.TEST`
	f.pac.transited = []string{"HV09$@LAB.DROVER.TEST", "HV01$@LAB.DROVER.TEST"}
	c, _, err := testHost(t).AcceptUnbound(f.token(t))
	if err != nil {
		t.Fatal(err)
	}
	id := c.Identity()
	if id.Principal != "operator@"+testRealm || id.Realm != testRealm || id.UserSID != testDomain+"-1104" {
		t.Errorf("identity %+v", id)
	}
	want := []string{"S-1-18-2", testDomain + "-1103", testDomain + "-513", "S-1-5-21-8-8-8-1111", "S-1-5-21-9-9-9-2000"}
	slices.Sort(want)
	if !slices.Equal(id.Groups, want) {
		t.Errorf("groups %v, want %v", id.Groups, want)
	}
	if id.SignIn != SignInAsserted || !id.Delegated || id.DelegatedBy != "HV01$@"+testRealm || id.DelegatingHost() != "HV01" {
		t.Errorf("delegation %+v", id)
	}
	if id.ProxyTarget != testSPN {
		t.Errorf("proxy target %q is not the plain name", id.ProxyTarget)
	}
	if !id.Forwardable || !id.Expires.Equal(f.end) {
		t.Errorf("forwardable %v, expires %v", id.Forwardable, id.Expires)
	}
}

// Each case is something a client or somebody on the wire can do.
func TestAcceptRefuses(t *testing.T) {
	cases := map[string]struct {
		change func(*forged)
		code   fault.Code
	}{
		"authenticator of another user":     {func(f *forged) { f.authCName = "administrator" }, fault.AuthRefused},
		"authenticator of another realm":    {func(f *forged) { f.authRealm = "EVIL.TEST" }, fault.AuthRefused},
		"no PAC":                            {func(f *forged) { f.noPAC = true }, fault.AuthRefused},
		"PAC with another group written in": {func(f *forged) { f.pac.damage = swapRID(1103, 512) }, fault.AuthRefused},
		"PAC of another user":               {func(f *forged) { f.pac.name = "administrator" }, fault.AuthRefused},
		"PAC of another sign-in":            {func(f *forged) { f.pac.authTime = f.auth.Add(-time.Hour) }, fault.AuthRefused},
		"PAC garbage":                       {func(f *forged) { f.pacBytes = []byte("garbage garbage garbage") }, fault.AuthRefused},
		"clock ahead":                       {func(f *forged) { f.ctime = testNow.Add(10 * time.Minute) }, fault.ClockSkew},
		"clock behind":                      {func(f *forged) { f.ctime = testNow.Add(-10 * time.Minute) }, fault.ClockSkew},
		"ticket over":                       {func(f *forged) { f.end = testNow.Add(-time.Hour) }, fault.TicketExpired},
		"ticket not begun":                  {func(f *forged) { f.auth = testNow.Add(time.Hour); f.pac.authTime = f.auth }, fault.ClockSkew},
		"old key version":                   {func(f *forged) { f.kvno = testKVNO + 1 }, fault.KeytabStale},
		"another key":                       {func(f *forged) { f.key.KeyValue = bytes.Repeat([]byte{9}, 32) }, fault.AuthRefused},
		"RC4":                               {func(f *forged) { f.etype = 23 }, fault.AuthRefused},
		"no binding where one is due":       {func(f *forged) { f.binding = nil }, fault.BindingMismatch},
		"binding of another session":        {func(f *forged) { f.binding = Binding(bytes.Repeat([]byte{8}, 32)) }, fault.BindingMismatch},
		"checksum that is not GSS":          {func(f *forged) { f.checksumType = 16 }, fault.AuthRefused},
		"checksum too short": {func(f *forged) {
			f.authenticatorPT = func(a *types.Authenticator) { a.Cksum.Checksum = a.Cksum.Checksum[:20] }
		}, fault.AuthRefused},
		"ticket of another realm": {func(f *forged) { f.mutate = func(r *messages.APReq) { r.Ticket.Realm = "EVIL.TEST" } }, fault.AuthRefused},
		"invalid flag":            {func(f *forged) { f.flags = []int{7} }, fault.AuthRefused},
		"session key of the wrong size": {func(f *forged) {
			f.mutate = nil
			f.authenticatorPT = func(a *types.Authenticator) { a.SubKey.KeyValue = a.SubKey.KeyValue[:5] }
		}, fault.AuthRefused},
		"empty service name (hole 2)":  {func(f *forged) { f.sname = nil }, fault.AuthRefused},
		"short ticket (hole 2)":        {func(f *forged) { f.mutate = func(r *messages.APReq) { r.Ticket.EncPart.Cipher = []byte{1, 2} } }, fault.AuthRefused},
		"empty authenticator (hole 2)": {func(f *forged) { f.mutate = func(r *messages.APReq) { r.EncryptedAuthenticator.Cipher = nil } }, fault.AuthRefused},
		"authenticator of 20 bytes (hole 2)": {func(f *forged) {
			f.mutate = func(r *messages.APReq) { r.EncryptedAuthenticator.Cipher = make([]byte, 20) }
		}, fault.AuthRefused},
	}
	h := testHost(t)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			f := goodForge()
			f.binding = testBinding
			c.change(&f)
			ctx, reply, err := h.Accept(f.token(t), testBinding)
			if err == nil || ctx != nil || reply != nil {
				t.Fatalf("accepted: %+v", ctx)
			}
			if got := fault.From(err).Code; got != c.code {
				t.Errorf("code %s, want %s: %v", got, c.code, err)
			}
		})
	}
}

// swapRID makes one group into another after the PAC was signed, and leaves it well
// formed otherwise.
func swapRID(from, to uint32) func([]byte) {
	return func(b []byte) {
		i := bytes.Index(b, binary.LittleEndian.AppendUint32(nil, from))
		binary.LittleEndian.PutUint32(b[i:], to)
	}
}

// The change that "another group written in" makes is one that only the signature
// can show.
func TestSwappedGroupIsWellFormed(t *testing.T) {
	f := goodForge()
	f.pac.groups = []uint32{513, 512}
	want, err := parsePAC(f.pac.marshal(t, f.key), f.key)
	if err != nil {
		t.Fatal(err)
	}
	f.pac.groups, f.pac.damage = []uint32{513, 1103}, swapRID(1103, 512)
	b := f.pac.marshal(t, f.key)
	bufs, err := pacBuffers(b)
	if err != nil {
		t.Fatal(err)
	}
	var got pac
	if err := got.readLogonInfo(bufs[pacLogonInfo]); err != nil || !slices.Equal(got.groups, want.groups) {
		t.Errorf("%v, %v", got.groups, err)
	}
	if _, err := parsePAC(b, f.key); err == nil {
		t.Error("the change is not seen")
	}
}

func TestAcceptTakesEveryAESKey(t *testing.T) {
	h := testHost(t)
	for _, et := range []int32{17, 18} {
		f := goodForge()
		f.key, f.etype = hostKey(et), et
		if _, _, err := h.AcceptUnbound(f.token(t)); err != nil {
			t.Errorf("encryption type %d: %v", et, err)
		}
	}
}

// Hole 1: the library marshals a ticket's decrypted part, session key included,
// once the ticket was verified.
func TestEvidenceNeverContainsSessionKey(t *testing.T) {
	f := goodForge()
	c, _, err := testHost(t).AcceptUnbound(f.token(t))
	if err != nil {
		t.Fatal(err)
	}
	ev, err := c.Evidence()
	if err != nil {
		t.Fatal(err)
	}
	// What the library would do, to show that the test can fail.
	leaky := ev.ticket
	leaky.DecryptedEncPart = messages.EncTicketPart{Flags: types.NewKrbFlags(), Key: f.session, CRealm: "R",
		CName: types.PrincipalName{NameString: []string{"x"}}, AuthTime: testNow, EndTime: testNow}
	if b, err := leaky.Marshal(); err != nil || !bytes.Contains(b, f.session.KeyValue) {
		t.Fatalf("the library no longer marshals the decrypted part (%v): this test shows nothing", err)
	}
	wired := wireTicket(leaky)
	for what, tk := range map[string]*messages.Ticket{"evidence": &ev.ticket, "wireTicket": &wired} {
		b, err := tk.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, f.session.KeyValue) {
			t.Errorf("%s holds the session key in clear", what)
		}
	}
}

// Hole 3: the service name is not authenticated, so changing it must not make an
// authenticator fresh. Nor must anything else outside the ciphertext.
func TestReplayIsRecognisedWhateverElseChanges(t *testing.T) {
	h := testHost(t)
	req := goodForge().apReq(t)
	send := func() error {
		b, err := req.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = h.AcceptUnbound(gssFrame(tokAPReq, b))
		return err
	}
	if err := send(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(){
		"the same":             func() {},
		"another service name": func() { req.Ticket.SName.NameString = []string{"cifz", "HV02"} },
		"another name type":    func() { req.Ticket.SName.NameType = 1 },
		"another option":       func() { types.SetFlag(&req.APOptions, 1) },
		"another key version":  func() { req.EncryptedAuthenticator.KVNO = 99 },
	} {
		change()
		if err := send(); !fault.Is(err, fault.Replay) {
			t.Errorf("%s: %v, want %s", name, err, fault.Replay)
		}
	}
}

// Hole 4: the realm comes from the ticket. A client that names another realm in
// its authenticator is refused, so it can never be the one reported.
func TestRealmIsTheTickets(t *testing.T) {
	f := goodForge()
	f.realm = "OTHER.TEST" // what the KDC put into the ticket
	c, _, err := testHost(t).AcceptUnbound(f.token(t))
	if err != nil {
		t.Fatal(err)
	}
	if id := c.Identity(); id.Realm != "OTHER.TEST" || id.Principal != "operator@OTHER.TEST" {
		t.Errorf("identity %+v is not the ticket's", id)
	}
	f = goodForge()
	f.authRealm = "OTHER.TEST"
	if _, _, err := testHost(t).AcceptUnbound(f.token(t)); !fault.Is(err, fault.AuthRefused) {
		t.Errorf("a realm of the client's choosing: %v", err)
	}
}

// Hole 5: a ticket whose unauthenticated name was changed is still accepted, and
// the name from the PAC is the one that is reported.
func TestProxyTargetComesFromThePACOnly(t *testing.T) {
	f := goodForge()
	f.pac.target, f.pac.transited = "cifs/HV02", []string{"HV01$@" + testRealm}
	f.sname = []string{"Microsoft Virtual System Migration Service", "HV02"} // changed on the way
	c, _, err := testHost(t).AcceptUnbound(f.token(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Identity().ProxyTarget; got != "cifs/HV02" {
		t.Errorf("proxy target %q, want the one in the PAC", got)
	}
}

// All service names of an account have one key, so a ticket for another of its
// services can be read here. Neither it nor a delegated one under another name is taken.
func TestATicketForAnotherServiceOfTheAccountIsRefused(t *testing.T) {
	migration := spn.Migration
	for name, c := range map[string]struct {
		sname     string // on the ticket
		delegated string // in the PAC
		wanted    []string
		ok        bool
	}{
		"for the service":                       {migration + "/HV02", "", []string{migration}, true},
		"in another case":                       {"http/hv02.lab.drover.test", "", []string{"HTTP", migration}, true},
		"with Samba's escapes":                  {strings.ReplaceAll(migration, " ", `\ `) + "/HV02", "", []string{migration}, true},
		"for the account itself":                {"HV02$", "", []string{"HTTP"}, true},
		"for another service":                   {"cifs/HV02", "", []string{"HTTP", migration}, false},
		"for a service that begins alike":       {"HTTPX/HV02", "", []string{"HTTP"}, false},
		"for no service":                        {"HV02", "", []string{"HTTP"}, false},
		"delegated":                             {migration + "/HV02", migration + "/HV02", []string{migration}, true},
		"delegated for another, under its name": {"cifs/HV02", "cifs/HV02", []string{migration}, false},
		"delegated for another, renamed":        {migration + "/HV02", "cifs/HV02", []string{migration}, false},
		"delegated for the other, renamed":      {"cifs/HV02", migration + "/HV02", []string{"cifs"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := goodForge()
			f.binding, f.sname = testBinding, strings.Split(c.sname, "/")
			if c.delegated != "" {
				f.pac.target, f.pac.transited = c.delegated, []string{"HV01$@" + testRealm}
			}
			_, _, err := testHost(t).Accept(f.token(t), testBinding, c.wanted...)
			if c.ok && err != nil || !c.ok && !fault.Is(err, fault.AuthRefused) {
				t.Error(err)
			}
		})
	}
}

// Hole 6 is about what is asked of the KDC: see TestForwardableOnlyIfTheTGTIs.

func TestAcceptRefusesGarbage(t *testing.T) {
	h := testHost(t)
	good := goodForge().token(t)
	spnego := NegTokenInit(good)
	cases := [][]byte{nil, {0x60}, {0x60, 0x84, 0xff, 0xff, 0xff, 0xff}, []byte("NTLMSSP\x00"), good[:20], append(bytes.Clone(good), 0),
		gssFrame(tokAPRep, nil), gssFrame(tokAPReq, nil), gssFrame(tokAPReq, []byte{0x6e, 0}), spnego[:30], bytes.Repeat([]byte{0x60}, maxToken+1)}
	for i := range spnego {
		cases = append(cases, spnego[:i])
	}
	for i, b := range cases {
		if c, _, err := h.AcceptUnbound(b); err == nil || c != nil {
			t.Errorf("case %d accepted", i)
		} else if !fault.Is(err, fault.AuthRefused) {
			t.Errorf("case %d: %v", i, err)
		}
	}
}

func TestAcceptRefusesSPNEGOForAnotherMechanism(t *testing.T) {
	ntlm := []byte{0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a}
	mechs := derWrap(0xa0, derWrap(tagSeq, ntlm))
	init := derWrap(tagNegInit, derWrap(tagSeq, append(mechs, derWrap(0xa2, derWrap(tagOctets, []byte("NTLMSSP")))...)))
	_, _, err := testHost(t).AcceptUnbound(derWrap(0x60, append(bytes.Clone(oidSPNEGO), init...)))
	if !fault.Is(err, fault.AuthRefused) || !strings.Contains(err.Error(), "1.3.6.1.4.1.311.2.2.10") {
		t.Errorf("%v does not name the mechanism", err)
	}
}

func TestReplayCacheIsBoundedAndForgets(t *testing.T) {
	r := newReplayCache(2)
	if r.add([]byte("a"), testNow, testNow.Add(time.Minute)) != nil || r.add([]byte("b"), testNow, testNow.Add(time.Hour)) != nil {
		t.Fatal("fresh ones refused")
	}
	if err := r.add([]byte("c"), testNow, testNow.Add(time.Minute)); !errors.Is(err, errReplayFull) {
		t.Errorf("full cache: %v", err)
	}
	later := testNow.Add(2 * time.Minute)
	if err := r.add([]byte("c"), later, later.Add(time.Minute)); err != nil || r.len() != 2 {
		t.Errorf("after the first is over: %v, %d entries", err, r.len())
	}
	if err := r.add([]byte("b"), later, later); !errors.Is(err, errReplay) {
		t.Errorf("the other was forgotten: %v", err)
	}
}

func TestKeytabIsReadAgainWhenItChanges(t *testing.T) {
	h := testHost(t)
	f := goodForge()
	f.kvno = testKVNO + 1
	if _, _, err := h.AcceptUnbound(f.token(t)); !fault.Is(err, fault.KeytabStale) {
		t.Fatalf("before: %v", err)
	}
	writeKeytab(t, h.keys.path, "HV02$", testKVNO+1, 18)
	if _, _, err := h.AcceptUnbound(f.token(t)); err != nil {
		t.Errorf("after the keytab was renewed: %v", err)
	}
}

func TestOpenHostWithoutUsableKey(t *testing.T) {
	dir := t.TempDir()
	secret := hostKey(18).KeyValue
	garbage := append([]byte{5, 2, 0, 0, 1, 0}, secret...)
	rc4 := filepath.Join(dir, "rc4")
	writeKeytab(t, rc4, "HV02$", 1, 23)
	user := filepath.Join(dir, "user")
	writeKeytab(t, user, "operator", 1, 18)
	for name, content := range map[string][]byte{"empty": {}, "header": {5, 2}, "garbage": garbage} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"absent", "empty", "header", "garbage", "rc4", "user"} {
		_, err := OpenHost(Config{Keytab: filepath.Join(dir, name), Host: "HV02"})
		if !fault.Is(err, fault.AgentNoKeytab) {
			t.Errorf("%s: %v", name, err)
		} else if bytes.Contains([]byte(err.Error()), secret[:8]) {
			t.Errorf("%s: the error shows the key", name)
		}
	}
}

// TestKeytabComesLater: an agent that started before its host joined the domain
// needs no restart once the keytab is there.
func TestKeytabComesLater(t *testing.T) {
	dir := t.TempDir()
	path, conf := filepath.Join(dir, "krb5.keytab"), filepath.Join(dir, "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\n default_realm = "+testRealm+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHost(Config{Krb5Conf: conf, Keytab: path, Account: "HV02$", Host: "HV02", Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	if h.Account() != "HV02$@"+testRealm {
		t.Errorf("account %s", h.Account())
	}
	check := func(when string, want bool) {
		t.Helper()
		_, _, accepted := h.AcceptUnbound(goodForge().token(t))
		for what, err := range map[string]error{"check": h.CheckKeytab(), "sign-in": accepted} {
			if (err == nil) != want || err != nil && !fault.Is(err, fault.AgentNoKeytab) {
				t.Errorf("%s, %s: %v", when, what, err)
			}
		}
	}
	check("without keytab", false)
	writeKeytab(t, path, "HV01$", testKVNO, 18)
	check("with another host's keytab", false)
	writeKeytab(t, path, "HV02$", testKVNO, 18, 17)
	check("with the keytab", true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("with the keytab gone", false)
}
