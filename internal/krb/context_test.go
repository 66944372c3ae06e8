package krb

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/spn"
)

// pair makes both ends of a context over binding.
func pair(t *testing.T, binding Binding, spnego bool) (client, server *Context) {
	t.Helper()
	client, tok, err := Initiate(goodForge().ticket(t), binding)
	if err != nil {
		t.Fatal(err)
	}
	if spnego {
		tok = NegTokenInit(tok)
	}
	accept := testHost(t).AcceptUnbound
	if binding != nil {
		accept = func(tok []byte) (*Context, []byte, error) { return testHost(t).Accept(tok, binding) }
	}
	server, reply, err := accept(tok)
	if err != nil {
		t.Fatal(err)
	}
	if spnego != (reply[0] == tagNegResp) {
		t.Errorf("reply starts with %#x, SPNEGO asked for: %v", reply[0], spnego)
	}
	if err := client.Complete(reply); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestContextBothWays(t *testing.T) {
	for _, spnego := range []bool{false, true} {
		client, server := pair(t, testBinding, spnego)
		for i, x := range []struct{ from, to *Context }{{client, server}, {server, client}, {client, server}} {
			msg := bytes.Repeat([]byte("x"), 1000*i)
			mic, err := x.from.MIC(msg)
			if err != nil {
				t.Fatal(err)
			}
			if err := x.to.VerifyMIC(msg, mic); err != nil {
				t.Errorf("MIC: %v", err)
			}
			if x.to.VerifyMIC(append(msg, 1), mic) == nil {
				t.Error("MIC covers another message")
			}
			if x.from.VerifyMIC(msg, mic) == nil {
				t.Error("own MIC is taken for the peer's")
			}
			sealed, err := x.from.Wrap(msg)
			if err != nil {
				t.Fatal(err)
			}
			if len(msg) > 0 && bytes.Contains(sealed, msg[:16]) {
				t.Error("not sealed")
			}
			got, err := x.to.Unwrap(sealed)
			if err != nil || !bytes.Equal(got, msg) {
				t.Errorf("unwrap: %v", err)
			}
			if _, err := x.to.Unwrap(sealed); err == nil {
				t.Error("the same token opens twice")
			}
			if _, err := x.from.Unwrap(sealed); err == nil {
				t.Error("own token is taken for the peer's")
			}
		}
	}
}

func TestUnwrapRefusesDamage(t *testing.T) {
	client, server := pair(t, nil, false)
	sealed, err := client.Wrap([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed {
		for _, b := range [][]byte{sealed[:i], append(append(bytes.Clone(sealed[:i]), sealed[i]^0x10), sealed[i+1:]...)} {
			if p, err := server.Unwrap(b); err == nil {
				t.Fatalf("damage at %d opens as %q", i, p)
			}
		}
	}
	signed, err := client.wrap([]byte("hello"), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Unwrap(signed); err == nil {
		t.Error("a token that is only signed passes for sealed")
	}
	if p, err := server.unwrap(signed, false); err != nil || string(p) != "hello" {
		t.Errorf("signed token: %q, %v", p, err)
	}
}

// RFC 4121 4.2.5: Windows rotates its tokens.
func TestUnwrapUndoesRotation(t *testing.T) {
	client, server := pair(t, nil, false)
	sealed, err := client.Wrap([]byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	const r = 28
	body := sealed[16:]
	rotated := append(bytes.Clone(sealed[:16]), append(bytes.Clone(body[len(body)-r:]), body[:len(body)-r]...)...)
	rotated[7] = r
	if p, err := server.Unwrap(rotated); err != nil || string(p) != "hello" {
		t.Errorf("%q, %v", p, err)
	}
}

func TestCompleteRefusesWhoCannotReadTheTicket(t *testing.T) {
	h := testHost(t)
	c, tok, err := Initiate(goodForge().ticket(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, reply, err := h.AcceptUnbound(tok)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.MIC(nil); err == nil {
		t.Error("usable before the acceptor has proved itself")
	}
	other, tok2, err := Initiate(goodForge().ticket(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	other.cusec++ // another request of the same second
	if _, _, err = h.AcceptUnbound(tok2); err != nil {
		t.Fatal(err)
	}
	if err := other.Complete(reply); !fault.Is(err, fault.AuthRefused) {
		t.Errorf("reply to another request: %v", err)
	}
	forged := goodForge()
	forged.session.KeyValue = bytes.Repeat([]byte{1}, 32)
	stranger := &Context{acceptor: true, session: forged.session}
	wrong, err := stranger.apRep(c.ctime, c.cusec)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"nothing": nil, "own token": tok, "another key": wrong, "cut": reply[:40],
		"refused by SPNEGO": derWrap(tagNegResp, derWrap(tagSeq, derWrap(0xa0, []byte{0x0a, 1, 2})))} {
		if err := c.Complete(b); !fault.Is(err, fault.AuthRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Complete(reply); err != nil {
		t.Errorf("the right reply: %v", err)
	}
}

// An exporter that failed must not turn the check off.
func TestAnEmptyBindingIsNoBinding(t *testing.T) {
	for _, b := range []Binding{nil, {}, testBinding[:16]} {
		f := goodForge()
		f.binding = b
		if _, _, err := testHost(t).Accept(f.token(t), b); !fault.Is(err, fault.BindingMismatch) {
			t.Errorf("accepted with a binding of %d bytes: %v", len(b), err)
		}
		if _, _, err := Initiate(goodForge().ticket(t), b); (err != nil) != (b != nil) {
			t.Errorf("initiated with a binding of %d bytes: %v", len(b), err)
		}
	}
}

func TestBindingProofs(t *testing.T) {
	client, server := pair(t, testBinding, false)
	other := Binding(bytes.Repeat([]byte{9}, 32))
	proof, err := server.ProveBinding(testBinding)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.CheckBinding(testBinding, proof); err != nil {
		t.Errorf("right session: %v", err)
	}
	if err := client.CheckBinding(other, proof); !fault.Is(err, fault.BindingMismatch) {
		t.Errorf("another session: %v", err)
	}
	if err := server.CheckBinding(testBinding, proof); !fault.Is(err, fault.BindingMismatch) {
		t.Errorf("own proof sent back: %v", err)
	}
	if err := client.CheckBinding(nil, proof); err == nil {
		t.Error("no session at all")
	}
	back, err := client.ProveBinding(testBinding)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.CheckBinding(testBinding, back); err != nil {
		t.Errorf("other direction: %v", err)
	}
}

// A man in the middle has two TLS sessions, with two exporter values.
func TestBindingOfTLSSessions(t *testing.T) {
	a1, a2 := tlsBindings(t, tls.VersionTLS13)
	b1, _ := tlsBindings(t, tls.VersionTLS13)
	if !bytes.Equal(a1, a2) || len(a1) != 32 {
		t.Errorf("both ends of one session differ: %x %x", a1, a2)
	}
	if bytes.Equal(a1, b1) {
		t.Error("two sessions have the same binding")
	}
	if x, _ := tlsBindings(t, tls.VersionTLS12); x != nil {
		t.Error("TLS 1.2 gives a binding")
	}
}

func tlsBindings(t *testing.T, version uint16) (client, server Binding) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, s := net.Pipe()
	defer c.Close()
	defer s.Close()
	sc := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version})
	done := make(chan error, 1)
	go func() { done <- sc.Handshake() }()
	cc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	if err := cc.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	cs, ss := cc.ConnectionState(), sc.ConnectionState()
	client, _ = BindingOf(&cs)
	server, _ = BindingOf(&ss)
	return client, server
}

func TestNames(t *testing.T) {
	n, err := parseService(testSPN)
	if err != nil || len(n.NameString) != 2 || n.NameString[0] != "Microsoft Virtual System Migration Service" {
		t.Errorf("%q: %v", n.NameString, err)
	}
	for _, bad := range []string{"", "x", "/x", "x/", "a/b/c/d", "a//b", "a/\x00"} {
		if _, err := parseService(bad); err == nil {
			t.Errorf("%q is taken for a service name", bad)
		}
	}
	for in, want := range map[string]string{
		`Microsoft\ Virtual\ Console\ Service/HV02@R`: "Microsoft Virtual Console Service/HV02",
		"cifs/HV02":    "cifs/HV02",
		`a\\b/c\@d@R`:  `a\b/c@d`,
		`trailing\`:    `trailing\`,
		"HV01$@LAB.DE": "HV01$",
	} {
		if got := spn.Plain(in); got != want {
			t.Errorf("spn.Plain(%q) = %q, want %q", in, got, want)
		}
	}
	for by, want := range map[string]string{"HV01$@R": "HV01", testSPN + "@R": "HV02", "cifs/hv03.lab.drover.test@R": "HV03", `Micro\ soft/hv01@R`: "HV01"} {
		if got := (Identity{Delegated: true, DelegatedBy: by}).DelegatingHost(); got != want {
			t.Errorf("DelegatingHost(%q) = %q, want %q", by, got, want)
		}
	}
}
