package look

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// State is how one name server answered.
type State string

// How name servers answer.
const (
	Found   State = "found"
	NoName  State = "no-name" // it says that the name does not exist
	NoData  State = "no-data" // the name exists, and has no record of this kind
	Refused State = "refused" // it answers, and does not say
	Silent  State = "silent"  // no answer, about which nothing follows for the name
)

// Answer is what one name server says about one name.
type Answer struct {
	Server string // host:port, that was asked
	Name   string
	State  State
	// Values are addresses, or names without the dot at their end; of SRV records
	// host:port, the first to be tried first.
	Values []string
	Detail string // why there is no answer, or none that says something
	// Life is how long others keep the answer.
	Life time.Duration
	At   time.Time
}

// Addresses are the values that are addresses.
func (a Answer) Addresses() []netip.Addr {
	var out []netip.Addr
	for _, v := range a.Values {
		if ip, err := netip.ParseAddr(v); err == nil {
			out = append(out, ip)
		}
	}
	return out
}

// Definite says that the server has said something about the name.
func (a Answer) Definite() bool { return a.State == Found || a.State == NoName || a.State == NoData }

// Host asks one server for the addresses of a full name, of both kinds.
func (m Machine) Host(ctx context.Context, server, name string) Answer {
	four, six := m.ask(ctx, server, name, dns.TypeA), Answer{}
	if four.State != NoName && four.State != Silent {
		six = m.ask(ctx, server, name, dns.TypeAAAA)
	}
	if six.State == Found && four.State == Found {
		four.Values = append(four.Values, six.Values...)
	} else if six.State == Found {
		return six
	}
	return four
}

// Reverse asks one server for the names of an address.
func (m Machine) Reverse(ctx context.Context, server string, a netip.Addr) Answer {
	name, err := dns.ReverseAddr(a.Unmap().WithZone("").String())
	if err != nil {
		return Answer{Server: server, Name: a.String(), State: Refused, Detail: err.Error(), At: m.now()}
	}
	return m.ask(ctx, server, name, dns.TypePTR)
}

// Service asks one server for SRV records, such as _ldap._tcp.example.org.
func (m Machine) Service(ctx context.Context, server, name string) Answer {
	return m.ask(ctx, server, name, dns.TypeSRV)
}

// ask puts one question, over UDP and, for an answer that does not fit, over TCP. A
// datagram may get lost: it is sent twice before the server counts as silent.
func (m Machine) ask(ctx context.Context, server, name string, kind uint16) Answer {
	a := Answer{Server: server, Name: strings.TrimSuffix(name, "."), At: m.now()}
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), kind)
	q.SetEdns0(1232, false)
	r, err := m.exchange(ctx, "udp", server, q)
	if err != nil && timedOut(err) && ctx.Err() == nil {
		r, err = m.exchange(ctx, "udp", server, q)
	}
	if err == nil && r.Truncated {
		r, err = m.exchange(ctx, "tcp", server, q)
	}
	if err != nil {
		a.State, a.Detail = Silent, inWords(err)
		return a
	}
	switch {
	case r.Rcode == dns.RcodeNameError:
		a.State = NoName
	case r.Rcode != dns.RcodeSuccess:
		a.State, a.Detail = Refused, "the server answers "+dns.RcodeToString[r.Rcode]
	default:
		if a.Values = values(r.Answer, kind); len(a.Values) > 0 {
			a.State, a.Life = Found, time.Duration(r.Answer[0].Header().Ttl)*time.Second
		} else {
			a.State = NoData
		}
	}
	return a
}

func (m Machine) exchange(ctx context.Context, network, server string, q *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, m.patience()/2)
	defer cancel()
	raw, err := m.dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer func() { _ = raw.Close() }()
	c := dns.Client{Net: network, Timeout: m.patience() / 2, UDPSize: 1232}
	r, _, err := c.ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: raw})
	return r, err
}

// maxValues bounds what is taken of one answer.
const maxValues = 256

func values(records []dns.RR, kind uint16) []string {
	var out []string
	var services []*dns.SRV
	for _, rr := range records {
		if rr.Header().Rrtype != kind || len(out)+len(services) >= maxValues {
			continue
		}
		switch x := rr.(type) {
		case *dns.A:
			out = append(out, x.A.String())
		case *dns.AAAA:
			out = append(out, x.AAAA.String())
		case *dns.PTR:
			out = append(out, strings.ToLower(strings.TrimSuffix(x.Ptr, ".")))
		case *dns.SRV:
			services = append(services, x)
		}
	}
	// By priority, of one priority the heaviest first (RFC 2782 draws lots).
	slices.SortStableFunc(services, func(a, b *dns.SRV) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		return int(b.Weight) - int(a.Weight)
	})
	for _, s := range services {
		if target := strings.ToLower(strings.TrimSuffix(s.Target, ".")); target != "" {
			out = append(out, net.JoinHostPort(target, strconv.Itoa(int(s.Port))))
		}
	}
	return out
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout() || errors.Is(err, context.DeadlineExceeded)
}

// inWords is why nothing came, without the addresses, which who asked knows.
func inWords(err error) string {
	if state := classify(err); state != "" {
		return fmt.Sprintf("%s (%s)", map[PortState]string{Closed: "nothing listens there", Filtered: "no answer in time",
			Unreachable: "there is no way there", Blocked: "this machine may not send there"}[state], cause(err))
	}
	return cause(err)
}
