package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/go-ldap/ldap/v3"
)

// Security is the client's side of a SASL GSSAPI bind and of the sealed layer after
// it. One value serves one bind.
type Security interface {
	ldap.GSSAPIClient
	// Wrap seals what goes to the controller. Over TLS it is not called.
	Wrap(plain []byte) ([]byte, error)
	// Unwrap opens what comes from it.
	Unwrap(frame []byte) ([]byte, error)
}

const (
	maxFrame  = 1 << 20
	maxChunk  = 60000 // leaves room for the wrapping in the 64 KiB that were negotiated
	readChunk = 64 << 10
	maxEarly  = 1 << 20 // what is read of a server that nobody knows yet
)

// sealedConn lies between the LDAP library and the socket or TLS. After a bind that
// asked for it, it puts the SASL layer on: frames of a 32 bit length and a wrapped
// token (RFC 4422 3.7). It also knows when the connection broke, which the library
// tells in several ways.
type sealedConn struct {
	net.Conn
	raw      net.Conn // the socket, below TLS
	security Security
	sealed   atomic.Bool
	known    atomic.Bool // the controller has signed in to us, too
	early    int         // bytes read before that
	broken   atomic.Pointer[error]
	frames   []byte // from the socket, not yet opened
	plain    []byte // opened, not yet read
	buf      []byte
	wmu      sync.Mutex
}

// failure is why the connection is of no use any more, nil while it is.
func (c *sealedConn) failure() error {
	if err := c.broken.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *sealedConn) fail(err error) error {
	c.broken.CompareAndSwap(nil, &err)
	return err
}

// cut ends the connection at once, without the farewell of TLS, which can block.
func (c *sealedConn) cut() {
	_ = c.fail(net.ErrClosed)
	_ = c.raw.Close()
}

// Read gives opened bytes. It has one caller, the library's reader.
func (c *sealedConn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err != nil {
		err = c.fail(err)
		_ = c.raw.Close() // a write that hangs must end, too
	}
	return n, err
}

func (c *sealedConn) read(p []byte) (int, error) {
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
		if !c.known.Load() {
			if c.early += n; c.early > maxEarly {
				return 0, errors.New("the server sends without end before the sign-in")
			}
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
	n, err := c.write(p)
	if err != nil {
		err = c.fail(err)
		_ = c.raw.Close() // half a message may be out, and the reader must end
	}
	return n, err
}

func (c *sealedConn) write(p []byte) (int, error) {
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
