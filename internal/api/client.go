package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/record"
)

// ClientOptions say which agent to talk to, and how.
type ClientOptions struct {
	// Address is HV01, HV01:6601 or unix:/path. The name as given is the host of
	// the service name HTTP/HV01.
	Address string
	// Initiator signs in; unused for a unix socket and for Hello.
	Initiator Initiator
	// Host is where this program runs, for errors; default the machine's name.
	Host string
	// DialTimeout bounds resolving, connecting and the TLS handshake; default 10 s.
	DialTimeout time.Duration
	// SignInTimeout bounds the sign-in on a new connection, the exchange with the
	// domain controller included; default 30 s.
	SignInTimeout time.Duration
	// RequestTimeout bounds each request other than Watch; default 60 s.
	RequestTimeout time.Duration
	// WatchPatience is how long Watch goes on without a connection before it
	// gives up; default 2 minutes.
	WatchPatience time.Duration
	// Retrying, if set, is told when Watch lost its connection and will try again.
	Retrying func(err error, in time.Duration)

	silence time.Duration // after which an event stream is taken for dead
}

// Client talks to one agent. Its methods return faults, and are safe for
// concurrent use.
type Client struct {
	o       ClientOptions
	target  string // the agent's host, for errors
	network string // tcp or unix
	addr    string // what is dialled
	base    string // URL without path
	signed  *http.Transport
	plain   *http.Transport // for Hello: TLS without sign-in
}

// NewClient prepares a client; it does not connect.
func NewClient(o ClientOptions) (*Client, error) {
	def(&o.DialTimeout, 10*time.Second)
	def(&o.SignInTimeout, 30*time.Second)
	def(&o.RequestTimeout, 60*time.Second)
	def(&o.WatchPatience, 2*time.Minute)
	def(&o.silence, silence)
	if o.Host == "" {
		h, _ := os.Hostname()
		short, _, _ := strings.Cut(h, ".")
		o.Host = strings.ToUpper(short)
	}
	c := &Client{o: o}
	if path, ok := strings.CutPrefix(o.Address, "unix:"); ok {
		if path == "" {
			return nil, fault.New(fault.Usage, "", "problem", "unix: needs the path of a socket")
		}
		c.network, c.addr, c.target, c.base = "unix", path, o.Host, "http://localhost"
		c.signed = transport()
		c.signed.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) }
		c.plain = c.signed
		return c, nil
	}
	host, port, err := splitAddress(o.Address)
	if err != nil {
		return nil, err
	}
	c.network, c.target = "tcp", host
	c.addr = net.JoinHostPort(host, port)
	c.base = "https://" + c.addr
	c.signed, c.plain = transport(), transport()
	c.signed.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialSigned(ctx) }
	c.plain.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dialTLS(ctx) }
	return c, nil
}

func def(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// transport is HTTP/1.1 without proxy: a connection is one conversation with
// the agent itself.
func transport() *http.Transport {
	return &http.Transport{
		TLSNextProto:        map[string]func(string, *tls.Conn) http.RoundTripper{},
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}
}

func splitAddress(s string) (host, port string, err error) {
	host, port = s, strconv.Itoa(config.APIPort)
	if h, p, err := net.SplitHostPort(s); err == nil {
		host, port = h, p
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" || strings.ContainsAny(host, "/@ ?#") {
		return "", "", fault.New(fault.Usage, "", "problem", fmt.Sprintf("%q is not a host such as HV01 or HV01:%d", s, config.APIPort))
	}
	return host, port, nil
}

// Close drops idle connections. It is safe to call twice.
func (c *Client) Close() error {
	c.signed.CloseIdleConnections()
	c.plain.CloseIdleConnections()
	return nil
}

// Hello asks for versions and clock without signing in.
func (c *Client) Hello(ctx context.Context) (Hello, error) {
	return call[Hello](ctx, c, c.plain, http.MethodGet, "/v1/hello", nil)
}

// Host tells what the agent's host is, and who the caller is to it.
func (c *Client) Host(ctx context.Context) (HostInfo, error) {
	return call[HostInfo](ctx, c, c.signed, http.MethodGet, "/v1/host", nil)
}

// VMs lists the host's VMs.
func (c *Client) VMs(ctx context.Context) ([]VM, error) {
	return call[[]VM](ctx, c, c.signed, http.MethodGet, "/v1/vms", nil)
}

// VM finds one by name or UUID.
func (c *Client) VM(ctx context.Context, name string) (VM, error) {
	return call[VM](ctx, c, c.signed, http.MethodGet, "/v1/vms/"+url.PathEscape(name), nil)
}

// StartMove queues a move on its source; Watch tells how it goes on.
func (c *Client) StartMove(ctx context.Context, r record.Request) (record.Record, error) {
	return call[record.Record](ctx, c, c.signed, http.MethodPost, "/v1/moves", r)
}

// Moves lists moves, newest first.
func (c *Client) Moves(ctx context.Context, f MoveFilter) ([]record.Record, error) {
	q := url.Values{}
	if f.VM != "" {
		q.Set("vm", f.VM)
	}
	if f.Role != "" {
		q.Set("role", string(f.Role))
	}
	if f.Active {
		q.Set("active", "true")
	}
	if f.Limit != 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	path := "/v1/moves"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return call[[]record.Record](ctx, c, c.signed, http.MethodGet, path, nil)
}

// Move finds one by id.
func (c *Client) Move(ctx context.Context, id string) (record.Record, error) {
	return call[record.Record](ctx, c, c.signed, http.MethodGet, movePath(id, ""), nil)
}

// CancelMove asks for the move to end; it returns when that is recorded.
func (c *Client) CancelMove(ctx context.Context, id string) (record.Record, error) {
	return call[record.Record](ctx, c, c.signed, http.MethodPost, movePath(id, "/cancel"), nil)
}

// ResolveMove decides a move whose outcome is unknown.
func (c *Client) ResolveMove(ctx context.Context, id string, keep Keep) (record.Record, error) {
	return call[record.Record](ctx, c, c.signed, http.MethodPost, movePath(id, "/resolve"), resolution{Keep: keep})
}

// Tickets lists the agent's ticket cache.
func (c *Client) Tickets(ctx context.Context) ([]Ticket, error) {
	return call[[]Ticket](ctx, c, c.signed, http.MethodGet, "/v1/tickets", nil)
}

// PurgeTickets empties the cache, for one service name or ("") altogether, and
// returns how many tickets went.
func (c *Client) PurgeTickets(ctx context.Context, service string) (int, error) {
	path := "/v1/tickets"
	if service != "" {
		path += "?" + url.Values{"service": {service}}.Encode()
	}
	p, err := call[purged](ctx, c, c.signed, http.MethodDelete, path, nil)
	return p.Purged, err
}

func movePath(id, rest string) string { return "/v1/moves/" + url.PathEscape(id) + rest }

// resolution is the body of POST /v1/moves/{id}/resolve.
type resolution struct {
	Keep Keep `json:"keep" enum:"source,destination" doc:"which side keeps the VM"`
}

// Seeds lists what the host keeps of disks.
func (c *Client) Seeds(ctx context.Context) ([]Seed, error) {
	return call[[]Seed](ctx, c, c.signed, http.MethodGet, "/v1/storage/seeds", nil)
}

// PurgeSeeds removes what the host keeps of the disks of a VM (name or UUID), or
// ("") of all, and returns how many files that were.
func (c *Client) PurgeSeeds(ctx context.Context, vm string) (int, error) {
	path := "/v1/storage/seeds"
	if vm != "" {
		path += "?vm=" + url.QueryEscape(vm)
	}
	p, err := call[purgedSeeds](ctx, c, c.signed, http.MethodDelete, path, nil)
	return p.Purged, err
}

// purgedSeeds is the answer of DELETE /v1/storage/seeds.
type purgedSeeds struct {
	Purged int `json:"purged" doc:"how many seeds were removed, or will be when the moves that take from them are over"`
}

// purged is the answer of DELETE /v1/tickets.
type purged struct {
	Purged int `json:"purged" doc:"how many tickets were forgotten"`
}

// The most that a client reads of one answer.
const maxAnswer = 64 << 20

var errTimeout = errors.New("no answer in time")

// call makes one request. A sign-in that has ended meanwhile (the server
// refuses before doing anything) is renewed once, on a new connection.
func call[T any](ctx context.Context, c *Client, via *http.Transport, method, path string, body any) (T, error) {
	var out T
	ctx, cancel := context.WithTimeoutCause(ctx, c.o.RequestTimeout, errTimeout)
	defer cancel()
	err := c.try(ctx, via, method, path, body, &out)
	if fault.Is(err, fault.AuthRequired) && via == c.signed && c.network == "tcp" {
		err = c.try(ctx, via, method, path, body, &out)
	}
	return out, err
}

func (c *Client) try(ctx context.Context, via *http.Transport, method, path string, body, into any) error {
	resp, err := c.roundTrip(ctx, via, method, path, body, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.broken(ctx, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return c.garbled(fmt.Errorf("%s %s: %w", method, path, err))
	}
	return nil
}

// roundTrip returns an answer of the 2xx kind, anything else as a fault.
func (c *Client) roundTrip(ctx context.Context, via *http.Transport, method, path string, body any, header http.Header) (*http.Response, error) {
	var rd io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", method, path, err)
		}
		rd = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, rd)
	if err != nil {
		return nil, fault.Wrap(err, fault.Usage, "", "problem", "the request cannot be written as HTTP")
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := via.RoundTrip(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, c.refusal(resp)
	}
	return resp, nil
}
