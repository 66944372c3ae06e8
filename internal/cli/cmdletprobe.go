package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"drover/internal/cmdlet"
	"drover/internal/fault"
	"drover/internal/finding"
)

// portTime is how long one connect may take; maxProbed bounds the addresses.
const (
	portTime  = 5 * time.Second
	maxProbed = 16
)

// migrationPort is where agents take migrations, on their migration networks only.
const migrationPort = 6600

// testConnection connects to a port of each address of a host, and closes.
func (p *program) testConnection(ctx context.Context, call *cmdlet.Call, d *dressing) error {
	port := call.Number("Port")
	if port < 1 || port > 65535 {
		return misuseOf(call.Cmdlet, fmt.Errorf("-Port %d is not from 1 to 65535", port))
	}
	quiet := strings.EqualFold(call.Text("InformationLevel"), "quiet")
	if l := call.Text("InformationLevel"); !quiet && l != "" && !strings.EqualFold(l, "detailed") {
		return misuseOf(call.Cmdlet, fmt.Errorf("-InformationLevel %q is neither Quiet nor Detailed", l))
	}
	computer, addresses, err := p.probed(ctx, call, d, port)
	if err != nil {
		return err
	}
	var objects []cmdlet.Object
	if len(addresses) == 0 {
		objects = append(objects, cmdlet.Object{{Name: "ComputerName", Value: computer}, {Name: "RemotePort", Value: port},
			{Name: "TcpTestSucceeded", Value: false}, {Name: "Reason", Value: "the name has no address: DNS does not know it"}})
	}
	reached := false
	for _, a := range addresses[:min(len(addresses), maxProbed)] {
		source, err := p.tryPort(ctx, netip.AddrPortFrom(a, uint16(port)))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		reached = reached || err == nil
		objects = append(objects, cmdlet.Object{{Name: "ComputerName", Value: computer}, {Name: "RemoteAddress", Value: a.String()}, {Name: "RemotePort", Value: port},
			{Name: "SourceAddress", Value: source}, {Name: "TcpTestSucceeded", Value: err == nil}, {Name: "Reason", Value: connectReason(err)}})
	}
	if quiet && p.out == table {
		_, err = fmt.Fprintln(p.stdout, shownValue(reached))
	} else {
		err = p.show(call, objects, call.Cmdlet.Properties)
	}
	if err != nil || reached {
		return err
	}
	return severityStatus(finding.Error)
}

// probed are the addresses to connect to. Port 6600 is open on migration networks
// only, and a host's name seldom leads there: its agent knows the addresses.
func (p *program) probed(ctx context.Context, call *cmdlet.Call, d *dressing, port int) (string, []netip.Addr, error) {
	name := call.Text("ComputerName")
	here := name == "." || strings.EqualFold(name, "localhost")
	switch {
	case name == "", here && port == migrationPort:
		return p.migrationAddresses(ctx, d.target)
	case here:
		name = "localhost"
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return name, []netip.Addr{a}, nil
	}
	if err := checkHost("-ComputerName", name); err != nil {
		return name, nil, err
	}
	if port == migrationPort {
		_, addresses, err := p.migrationAddresses(ctx, target{host: name, socket: DefaultSocket})
		if err == nil {
			return name, addresses, nil
		}
		p.screen.line("note: the agent of %s does not tell its migration addresses (%s), so those of its name are tried", name, fault.From(err).Message())
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	var unknown *net.DNSError
	if errors.As(err, &unknown) {
		return name, nil, nil
	}
	if err != nil {
		return name, nil, err
	}
	for i, a := range found {
		found[i] = a.Unmap()
	}
	return name, found, nil
}

// connectOnce connects, and gives the address that this machine used.
func connectOnce(ctx context.Context, to netip.AddrPort) (source string, err error) {
	dialer := net.Dialer{Timeout: portTime}
	c, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return "", err
	}
	source, _, err = net.SplitHostPort(c.LocalAddr().String())
	return source, errors.Join(err, c.Close())
}

// connectReason tells apart what leads to different places: nobody listens, a
// firewall drops, there is no way.
func connectReason(err error) string {
	var timeout net.Error
	var errno syscall.Errno
	switch {
	case err == nil:
		return "connected"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused: the host answers, and nothing listens on the port"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timed out after " + strconv.Itoa(int(portTime.Seconds())) + " s: a firewall drops it, or the host is down"
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}
