package stream

import (
	"crypto/tls"
	"io"
)

// Data without encryption still comes from a TLS connection, on which both ends
// have proved the session. The opener's GO is the last record inside TLS, and
// the opener then says nothing until it has the listener's GO outside of TLS. So
// neither end's TLS can hold bytes that belong behind it.

// leaveTLS is the opener's part, after WELCOME.
func leaveTLS(conn *tls.Conn, raw io.Reader) error {
	if err := writeFrame(conn, frameGo, nil); err != nil {
		return err
	}
	_, err := expectFrame(raw, frameGo)
	return err
}

// followOutOfTLS is the listener's part, after WELCOME.
func followOutOfTLS(conn *tls.Conn, raw io.Writer) error {
	if _, err := expectFrame(conn, frameGo); err != nil {
		return err
	}
	return writeFrame(raw, frameGo, nil)
}
