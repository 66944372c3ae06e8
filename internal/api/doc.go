// Package api is the agent's management interface: HTTP types, server and Go
// client.
//
//	client ── TLS 1.3, HTTP/1.1 ──▶ :6601          a connection signs in once, then carries requests
//	client ── unix socket ────────▶ droverd.sock   the kernel says who is there (SO_PEERCRED)
//
// Over TLS the certificate proves nothing (it is self-signed); the first request
// on a connection is POST /v1/session, in which both ends prove with Kerberos
// that they are who they say and that they see the same TLS session (RFC 9266).
// Until then a connection gets only what openPaths lists.
//
// Every failure is a fault, as RFC 9457 problem details.
package api
