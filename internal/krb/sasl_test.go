package krb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"slices"
	"testing"

	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

// saslServer accepts a client and offers layers (RFC 4752 3.2).
func saslServer(t *testing.T, s *SASL, layers byte) (server *Context, answer []byte, err error) {
	t.Helper()
	tok, more, err := s.InitSecContextWithOptions(testSPN, nil, nil)
	if err != nil || !more {
		t.Fatalf("first token: more %v, %v", more, err)
	}
	server, reply, err := testHost(t).AcceptUnbound(tok)
	if err != nil {
		t.Fatal(err)
	}
	if out, more, err := s.InitSecContext(testSPN, reply); err != nil || more || out == nil {
		t.Fatalf("after the reply: %v more %v, %v", out, more, err)
	}
	offer, err := server.wrap([]byte{layers, 0, 0xff, 0xff}, false)
	if err != nil {
		t.Fatal(err)
	}
	answer, err = s.NegotiateSaslAuth(offer, "")
	return server, answer, err
}

func TestSASLTakesTheSealedLayer(t *testing.T) {
	src := func(_ context.Context, service string) (*Ticket, error) {
		if service != testSPN {
			t.Errorf("ticket for %q", service)
		}
		return goodForge().ticket(t), nil
	}
	s := NewSASL(t.Context(), src)
	server, answer, err := saslServer(t, s, 1|2|4)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := server.unwrap(answer, false); err != nil || len(got) != 4 || got[0] != saslSeal {
		t.Errorf("answer %v, %v", got, err)
	}
	if err := s.DeleteSecContext(); err != nil { // the library calls it after the bind
		t.Fatal(err)
	}
	sealed, err := s.Wrap([]byte("search"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := server.Unwrap(sealed); err != nil || string(got) != "search" {
		t.Errorf("%q, %v", got, err)
	}
	back, err := server.Wrap([]byte("entry"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Unwrap(back); err != nil || string(got) != "entry" {
		t.Errorf("%q, %v", got, err)
	}
	if _, _, err := saslServer(t, NewSASL(t.Context(), src), 1|2); err == nil {
		t.Error("a server without the sealed layer is taken")
	}
}

func TestSASLOutOfOrder(t *testing.T) {
	boom := errors.New("no ticket")
	s := NewSASL(t.Context(), func(context.Context, string) (*Ticket, error) { return nil, boom })
	if _, _, err := s.InitSecContext(testSPN, nil); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if _, _, err := s.InitSecContext(testSPN, []byte{1}); err == nil {
		t.Error("a reply before a request")
	}
	if _, err := s.NegotiateSaslAuth(nil, ""); err == nil {
		t.Error("an offer before a context")
	}
	if _, err := s.Wrap(nil); err == nil {
		t.Error("wrap before a context")
	}
	if _, err := s.Unwrap(nil); err == nil {
		t.Error("unwrap before a context")
	}
}

// Certificates made by openssl req; the digests in the tests are openssl dgst's.
const (
	certSHA384 = `-----BEGIN CERTIFICATE-----
MIIBcjCCARmgAwIBAgIUeLw/EGh7CyqHVNvsBg4iRfLy2uIwCgYIKoZIzj0EAwMw
DjEMMAoGA1UEAwwDZGMxMCAXDTI2MTEyMTAxMTM1MFoYDzIxMjYxMDI4MDExMzUw
WjAOMQwwCgYDVQQDDANkYzEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQzimZZ
gxYuPlC6yzTF7/S3vWPByARe59AbvjC657oWn5dVsvz9D4VpMsyaka7fJV9Rb/oP
frY75Z+L/kjaC1deo1MwUTAdBgNVHQ4EFgQUgmMeY/fyiDZ89VzoY5IqO2XSl18w
HwYDVR0jBBgwFoAUgmMeY/fyiDZ89VzoY5IqO2XSl18wDwYDVR0TAQH/BAUwAwEB
/zAKBggqhkjOPQQDAwNHADBEAiB5BJVQzLi7kuva3jTb2aDxB+jTphMN22HMkB8z
0jKm0wIgG0RDCGz3CspnTujqMOzKidO6/4uZyRWvgKbygTwAmpE=
-----END CERTIFICATE-----
`
	certEd25519 = `-----BEGIN CERTIFICATE-----
MIIBMjCB5aADAgECAhRyBu4anlaBVDy8Eq1gJamOZ7JYxjAFBgMrZXAwDjEMMAoG
A1UEAwwDZGMxMCAXDTI2MTEyMTAxMTM1MVoYDzIxMjYxMDI4MDExMzUxWjAOMQww
CgYDVQQDDANkYzEwKjAFBgMrZXADIQCyepDGUI46aL3wCgXkbc3/CDIpyq81Ml7y
v52WDnVjJ6NTMFEwHQYDVR0OBBYEFCCHXEktkIKih5OGROEYwpQALvC7MB8GA1Ud
IwQYMBaAFCCHXEktkIKih5OGROEYwpQALvC7MA8GA1UdEwEB/wQFMAMBAf8wBQYD
K2VwA0EAQTYJNp2WIPayTK2FtujPAGOZ2miOba2aXpaQLigcyZa2X2NcCQHSXKvi
piCc16MZQI7O7SOKfNfMo0KQS155Cg==
-----END CERTIFICATE-----
`
)

// showing is a TLS session in which the server showed a certificate.
func showing(t *testing.T, text string) *tls.ConnectionState {
	t.Helper()
	b, _ := pem.Decode([]byte(text))
	cert, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}}
}

// unknownSignature is a session with a certificate for which no hash is known.
func unknownSignature(t *testing.T) *tls.ConnectionState {
	cs := showing(t, certSHA384)
	cs.PeerCertificates[0].SignatureAlgorithm = x509.UnknownSignatureAlgorithm
	return cs
}

func TestEndPointBinding(t *testing.T) {
	for cert, digest := range map[string]string{
		certSHA384:  "3d467d6d75a0a695477f25a385c7888081da412526f8f8c709e802500d7ba20031f3b0ad7b86b6810e02a9e65e684645",
		certEd25519: "58e77034900f4afc7c8d5abc660298623e5b2679b74765c4be9e68064e0bd8f4cb99362787d90dbd8bdb1e00daf736e00c18b0f7b659cb4266107c1f99eff66a",
	} {
		got, err := endPoint(showing(t, cert))
		want, _ := hex.DecodeString(digest)
		if err != nil || !bytes.Equal(got, append([]byte("tls-server-end-point:"), want...)) {
			t.Errorf("%q, %v", got, err)
		}
	}
	raw := []byte("certificate")
	sum := sha256.Sum256(raw)
	for _, a := range []x509.SignatureAlgorithm{x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS} {
		cs := &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{{Raw: raw, SignatureAlgorithm: a}}}
		if got, err := endPoint(cs); err != nil || !bytes.HasSuffix(got, sum[:]) {
			t.Errorf("%s: %v", a, err)
		}
	}
	for name, cs := range map[string]*tls.ConnectionState{"none": nil, "unfinished": {PeerCertificates: showing(t, certSHA384).PeerCertificates},
		"no certificate": {HandshakeComplete: true}, "undefined": unknownSignature(t)} {
		if got, err := endPoint(cs); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// The vector is the one that implementations of Microsoft's extended protection test
// with.
func TestHashOfChannelBindings(t *testing.T) {
	cert, _ := hex.DecodeString("E3CA49271E5089CC48CE82109F1324F41DBEDDC29A777410C738F7868C4FF405")
	got := channelHash(append([]byte("tls-server-end-point:"), cert...))
	if hex.EncodeToString(got[:]) != "6ea19df066da4622051f9c4f92c6df74" {
		t.Errorf("%x", got)
	}
}

func TestSASLOverTLSIsBoundAndWithoutLayer(t *testing.T) {
	var ticket *Ticket
	src := func(context.Context, string) (*Ticket, error) { ticket = goodForge().ticket(t); return ticket, nil }
	cs := showing(t, certSHA384)
	token, _, err := NewSASLOverTLS(t.Context(), src, cs).InitSecContext(testSPN, nil)
	if err != nil {
		t.Fatal(err)
	}
	app, _ := endPoint(cs)
	hash := channelHash(app)
	if ck := checksumOf(t, token, ticket.key); !bytes.Equal(ck[4:20], hash[:]) || binary.LittleEndian.Uint32(ck[20:]) != gssMutual|gssReplay|gssSequence {
		t.Errorf("checksum %x", ck)
	}
	server, answer, err := saslServer(t, NewSASLOverTLS(t.Context(), src, cs), 1|2|4)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := server.unwrap(answer, false); err != nil || !slices.Equal(got, []byte{saslNone, 0, 0, 0}) {
		t.Errorf("answer %v, %v", got, err)
	}
	if _, _, err := saslServer(t, NewSASLOverTLS(t.Context(), src, cs), 2|4); err == nil {
		t.Error("a server that wants a layer over TLS is taken")
	}
	ticket = nil
	for name, cs := range map[string]*tls.ConnectionState{"no session": nil, "no binding": unknownSignature(t)} {
		if _, _, err := NewSASLOverTLS(t.Context(), src, cs).InitSecContext(testSPN, nil); err == nil || ticket != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checksumOf opens a first token with the session key.
func checksumOf(t *testing.T, token []byte, key types.EncryptionKey) []byte {
	t.Helper()
	_, body, err := gssUnframe(token)
	if err != nil {
		t.Fatal(err)
	}
	var req messages.APReq
	if err := req.Unmarshal(body); err != nil {
		t.Fatal(err)
	}
	plain, err := decrypt(key, req.EncryptedAuthenticator.Cipher, keyusage.AP_REQ_AUTHENTICATOR)
	if err != nil {
		t.Fatal(err)
	}
	var a types.Authenticator
	if err := a.Unmarshal(plain); err != nil {
		t.Fatal(err)
	}
	return a.Cksum.Checksum
}
