package krb

import (
	"bytes"
	"crypto/tls"
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
