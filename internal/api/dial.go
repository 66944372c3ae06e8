package api

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"

	"drover/internal/fault"
)

// Headers of the sign-in. The proof has its own header because
// WWW-Authenticate has room for one token.
const (
	headerProof = "Drover-Binding"
	negotiate   = "Negotiate"
)

// exporter is the channel binding of RFC 9266 (tls-exporter), 32 bytes.
func exporter(cs tls.ConnectionState) ([]byte, error) {
	return cs.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
}

// dial connects without TLS.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.DialTimeout, errTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, c.network, c.addr)
	if err == nil {
		return conn, nil
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && ctx.Err() == nil {
		return nil, fault.Wrap(err, fault.HostUnknown, c.o.Host, "name", c.target)
	}
	return nil, c.unreachable(ctx, err)
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return fmt.Errorf("connecting to %s: %w", c.addr, context.Canceled)
	}
	return fault.Wrap(err, fault.AgentUnreachable, c.target, "address", c.addr)
}

// dialTLS connects and makes the TLS handshake. The certificate is not looked
// at: dialSigned proves the server by Kerberos, and Hello needs no proof.
func (c *Client) dialTLS(ctx context.Context) (*tls.Conn, error) {
	raw, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.DialTimeout, errTimeout)
	defer cancel()
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"},
		SessionTicketsDisabled: true,
	}
	// A server name is no IP address (RFC 6066 3).
	if net.ParseIP(c.target) == nil {
		conf.ServerName = c.target
	}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, c.unreachable(ctx, err)
	}
	return conn, nil
}

// dialSigned returns a connection on which both ends are proved, or none.
func (c *Client) dialSigned(ctx context.Context) (net.Conn, error) {
	if c.o.Initiator == nil {
		return nil, fault.New(fault.AuthRequired, c.target)
	}
	conn, err := c.dialTLS(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.signIn(ctx, conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Client) signIn(ctx context.Context, conn *tls.Conn) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.SignInTimeout, errTimeout)
	defer cancel()
	binding, err := exporter(conn.ConnectionState())
	if err != nil {
		return fmt.Errorf("TLS exporter: %w", err)
	}
	token, verify, err := c.o.Initiator.Initiate(ctx, "HTTP/"+c.target, binding)
	if err != nil {
		return err
	}
	// The context ends the exchange by way of the connection's deadline.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	reply, proof, err := c.exchange(ctx, conn, token)
	if !stop() {
		return c.broken(ctx, fmt.Errorf("sign-in: %w", errors.Join(context.Cause(ctx), err)))
	}
	if err != nil {
		return err
	}
	return c.verify(verify, reply, proof)
}

func (c *Client) verify(verify func(reply, proof []byte) error, reply, proof []byte) error {
	err := verify(reply, proof)
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return fault.Wrap(err, fault.BindingMismatch, c.target)
}

// exchange is POST /v1/session written by hand, because http.Transport must not
// see the connection before it is proved.
func (c *Client) exchange(ctx context.Context, conn net.Conn, token []byte) (reply, proof []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/v1/session", nil)
	if err != nil {
		return nil, nil, fmt.Errorf("sign-in: %w", err)
	}
	req.Header.Set("Authorization", negotiate+" "+base64.StdEncoding.EncodeToString(token))
	if err := req.Write(conn); err != nil {
		return nil, nil, c.broken(ctx, fmt.Errorf("sign-in: %w", err))
	}
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, req)
	if err != nil {
		return nil, nil, c.broken(ctx, fmt.Errorf("sign-in: %w", err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, c.refusal(resp)
	}
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)); err != nil {
		return nil, nil, c.broken(ctx, fmt.Errorf("sign-in: %w", err))
	}
	if br.Buffered() > 0 {
		return nil, nil, c.garbled(errors.New("more bytes after the answer to the sign-in"))
	}
	if reply, err = negotiateToken(resp.Header.Get("WWW-Authenticate")); err != nil {
		return nil, nil, c.garbled(err)
	}
	if proof, err = base64.StdEncoding.DecodeString(resp.Header.Get(headerProof)); err != nil {
		return nil, nil, c.garbled(fmt.Errorf("%s: %w", headerProof, err))
	}
	return reply, proof, nil
}

// negotiateToken takes the token out of "Negotiate BASE64" (RFC 4559).
func negotiateToken(header string) ([]byte, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, negotiate) {
		return nil, errors.New("no Negotiate token")
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil || len(b) == 0 {
		return nil, errors.New("the Negotiate token is not base64")
	}
	return b, nil
}

// broken gives a failed exchange its meaning. Faults pass as they are.
func (c *Client) broken(ctx context.Context, err error) error {
	var known *fault.Error
	cause := context.Cause(ctx)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(cause, &known):
		return known
	case errors.Is(cause, errTimeout), errors.Is(cause, context.DeadlineExceeded):
		return fault.Wrap(err, fault.Deadline, c.target)
	case cause != nil:
		return fmt.Errorf("request to %s: %w", c.target, cause)
	}
	return fault.Wrap(err, fault.PeerGone, c.o.Host, "peer", c.target)
}

func (c *Client) garbled(err error) error {
	return fault.Wrap(err, fault.ProtocolError, c.o.Host, "peer", c.target, "problem", "an answer that cannot be read")
}

// refusal reads the fault of an answer that is not 2xx.
func (c *Client) refusal(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var p fault.Problem
	if err == nil && kind == problemType {
		if err = json.Unmarshal(bytes.TrimSpace(b), &p); err == nil && p.Code != "" {
			return p.Err()
		}
	}
	return c.garbled(fmt.Errorf("HTTP status %s without problem details", resp.Status))
}
