package krb

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"drover/internal/fault"
)

// Binding identifies a TLS session: the 32 bytes of its exporter
// "EXPORTER-Channel-Binding" (RFC 9266). nil means that there is none.
type Binding []byte

const bindingSize = 32

// Labels of the proofs, so that one end's proof is never good for the other's.
const (
	labelServer = "drover server binding"
	labelClient = "drover client binding"
)

// BindingOf reads the binding of a finished TLS 1.3 session.
func BindingOf(cs *tls.ConnectionState) (Binding, error) {
	if cs == nil || !cs.HandshakeComplete || cs.Version < tls.VersionTLS13 {
		return nil, errors.New("channel binding needs a finished TLS 1.3 handshake")
	}
	b, err := cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, bindingSize)
	if err != nil {
		return nil, fmt.Errorf("TLS exporter: %w", err)
	}
	return Binding(b), nil
}

// ProveBinding shows the peer which TLS session this end sees: a MIC under the
// context's key over a label of this end's role and the binding. The server must
// send it; the client's proof is in its first token already, and this is for
// protocols that want it symmetric.
func (c *Context) ProveBinding(b Binding) ([]byte, error) {
	if len(b) != bindingSize {
		return nil, fmt.Errorf("binding has %d bytes, want %d", len(b), bindingSize)
	}
	return c.MIC(bindingProof(c.acceptor, b))
}

// CheckBinding verifies what the peer's ProveBinding made. Its error is the
// fault tls-binding-mismatch.
func (c *Context) CheckBinding(b Binding, proof []byte) error {
	if len(b) != bindingSize {
		return fmt.Errorf("binding has %d bytes, want %d", len(b), bindingSize)
	}
	if err := c.VerifyMIC(bindingProof(!c.acceptor, b), proof); err != nil {
		return fault.Wrap(err, fault.BindingMismatch, c.peerHost())
	}
	return nil
}

func bindingProof(server bool, b Binding) []byte {
	if server {
		return append([]byte(labelServer), b...)
	}
	return append([]byte(labelClient), b...)
}

// sameBinding compares the hash in an authenticator with the session's.
func sameBinding(got []byte, b Binding) bool {
	want := bindingHash(b)
	return bytes.Equal(got, want[:])
}

// endPoint is the channel binding "tls-server-end-point" of a TLS session (RFC 5929
// 4.1): a hash of the certificate that the server showed, by the hash function of
// that certificate's signature, and SHA-256 where that is MD5 or SHA-1. The
// handshake must be over.
func endPoint(cs *tls.ConnectionState) ([]byte, error) {
	if cs == nil || !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 {
		return nil, errors.New("channel binding needs a finished TLS handshake with a server's certificate")
	}
	cert := cs.PeerCertificates[0]
	h, err := endPointHash(cert.SignatureAlgorithm)
	if err != nil {
		return nil, err
	}
	w := h.New()
	w.Write(cert.Raw)
	return w.Sum([]byte("tls-server-end-point:")), nil
}

// endPointHash picks the hash. RFC 5929 leaves Ed25519 undefined; GnuTLS, and so
// Samba, takes the hash function within that signature.
func endPointHash(a x509.SignatureAlgorithm) (crypto.Hash, error) {
	switch a {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1,
		x509.SHA256WithRSA, x509.DSAWithSHA256, x509.ECDSAWithSHA256, x509.SHA256WithRSAPSS:
		return crypto.SHA256, nil
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		return crypto.SHA384, nil
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS, x509.PureEd25519:
		return crypto.SHA512, nil
	}
	return 0, fmt.Errorf("the server's certificate is signed with %s, for which no channel binding is defined", a)
}
