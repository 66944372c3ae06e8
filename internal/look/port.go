package look

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// PortState is what becomes of a connection to a port.
type PortState string

// What becomes of it.
const (
	Open        PortState = "open"
	Closed      PortState = "closed"      // refused: the machine is there, and nothing listens, or a firewall says so in its place
	Filtered    PortState = "filtered"    // no answer at all: something on the way drops it
	Unreachable PortState = "unreachable" // a machine on the way, or this one, says that there is no way
	Blocked     PortState = "blocked"     // this machine's own rules do not let it out
	Unclear     PortState = "unclear"     // none of these; Detail says what
)

// Port is one port as it was seen.
type Port struct {
	Address netip.AddrPort
	State   PortState
	Detail  string
	At      time.Time
}

// Answers says that there is a machine at the address.
func (p Port) Answers() bool { return p.State == Open || p.State == Closed }

// Port tries to connect over TCP, and closes the connection at once.
func (m Machine) Port(ctx context.Context, a netip.Addr, port uint16) Port {
	p := Port{Address: netip.AddrPortFrom(a, port), At: m.now()}
	ctx, cancel := context.WithTimeout(ctx, m.patience())
	defer cancel()
	c, err := m.dial(ctx, "tcp", net.JoinHostPort(a.String(), strconv.Itoa(int(port))))
	if err == nil {
		_ = c.Close()
		p.State = Open
		return p
	}
	p.State, p.Detail = Refusal(err)
	return p
}

// Refusal tells what the error of a connection says about the port, whoever tried it.
func Refusal(err error) (PortState, string) {
	state := classify(err)
	if state == "" {
		state = Unclear
	}
	return state, cause(err)
}

// classify tells by the error of a connection or of a datagram.
func classify(err error) PortState {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return Closed
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EADDRNOTAVAIL):
		return Unreachable
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return Blocked
	case errors.Is(err, syscall.ETIMEDOUT), timedOut(err):
		return Filtered
	}
	return ""
}

// cause is the innermost text of an error, such as "connection refused".
func cause(err error) string {
	var number syscall.Errno
	switch {
	case errors.As(err, &number):
		return number.Error()
	case timedOut(err):
		return "no answer in time"
	}
	return err.Error()
}
