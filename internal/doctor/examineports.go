package doctor

import (
	"fmt"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

// portMigration is the check of a host's migration port.
const portMigration = "port 6600"

// port tells what is wrong with a port, nothing when it is open. h is nil for what is
// no host of the question.
func (x *examination) port(s finding.Severity, h *seenHost, name string, p look.Port, service, command string) {
	f := portFault(name, p, service, command)
	if f == nil {
		return
	}
	x.tell(s, name, f, fmt.Sprintf("%s is %s: %s", p.Address, p.State, p.Detail), here(x.Here), firewall, aboutPort(h, p))
}

// portFault is what is wrong with a port, nil when it is open. Whoever drops packets is
// looked for in another place than whoever refuses.
func portFault(name string, p look.Port, service, command string) *fault.Error {
	number, address := fmt.Sprintf("TCP port %d", p.Address.Port()), p.Address.Addr().String()
	switch p.State {
	case look.Open:
		return nil
	case look.Closed:
		return fault.New(fault.PortClosed, "", "port", number, "name", name, "address", address, "service", service, "command", command)
	}
	return fault.New(fault.PortFiltered, "", "port", number, "name", name, "address", address, "service", service, "reason", p.Detail,
		"command", "nft list ruleset")
}

// aboutPort says which port of which host a finding is about.
func aboutPort(h *seenHost, p look.Port) func(*finding.Finding) {
	return func(n *finding.Finding) {
		n.Values = []string{fmt.Sprint(p.Address.Port())}
		if h == nil {
			return
		}
		n.Host = h.Name
		if p.State == look.Closed && p.Address.Port() == portAPI { // of another port the agent may run very well
			n.Fix = []finding.Command{shell("systemctl start droverd")}
		}
	}
}

func here(name string) string {
	if name == "" {
		return "this machine"
	}
	return name
}
