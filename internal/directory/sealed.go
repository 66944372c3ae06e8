package directory

import (
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/go-ldap/ldap/v3"
)

// Security is the client's side of a SASL GSSAPI bind with a sealed layer, and
// the layer itself. One value serves one bind.
type Security interface {
	ldap.GSSAPIClient
	// Wrap seals what goes to the controller.
	Wrap(plain []byte) ([]byte, error)
	// Unwrap opens what comes from it.
	Unwrap(frame []byte) ([]byte, error)
}

const (
	maxFrame  = 1 << 20
	maxChunk  = 60000 // leaves room for the wrapping in the 64 KiB that were negotiated
	readChunk = 64 << 10
)

// sealedConn lies between the LDAP library and the socket. After the bind it
// puts the SASL layer on: frames of a 32 bit length and a wrapped token (RFC 4422
// 3.7).
type sealedConn struct {
	net.Conn
	security Security
	sealed   atomic.Bool
	frames   []byte // from the socket, not yet opened
	plain    []byte // opened, not yet read
	buf      []byte
	wmu      sync.Mutex
}

// Read gives opened bytes. It has one caller, the library's reader.
func (c *sealedConn) Read(p []byte) (int, error) {
	for len(c.plain) == 0 {
		if c.buf == nil {
			c.buf = make([]byte, readChunk)
		}
		n, err := c.Conn.Read(c.buf)
		if n == 0 {
			if err == nil {
				continue
			}
			return 0, err
		}
		if !c.sealed.Load() {
			c.plain = append(c.plain, c.buf[:n]...)
			break
		}
		c.frames = append(c.frames, c.buf[:n]...)
		if err := c.open(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}

// open unwraps every complete frame.
func (c *sealedConn) open() error {
	for len(c.frames) >= 4 {
		n := int(binary.BigEndian.Uint32(c.frames))
		if n > maxFrame {
			return fmt.Errorf("SASL frame of %d bytes", n)
		}
		if len(c.frames) < 4+n {
			return nil
		}
		p, err := c.security.Unwrap(c.frames[4 : 4+n])
		if err != nil {
			return fmt.Errorf("sealed LDAP connection: %w", err)
		}
		c.plain = append(c.plain, p...)
		c.frames = c.frames[4+n:]
	}
	return nil
}

// Write seals p in one or more frames.
func (c *sealedConn) Write(p []byte) (int, error) {
	if !c.sealed.Load() {
		return c.Conn.Write(p)
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	for rest := p; len(rest) > 0; {
		chunk := rest[:min(len(rest), maxChunk)]
		rest = rest[len(chunk):]
		t, err := c.security.Wrap(chunk)
		if err != nil {
			return 0, err
		}
		if _, err := c.Conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(t))), t...)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
