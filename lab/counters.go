package lab

import "fmt"

// Counters are the bytes that a member's interface has sent and received by the kernel's counters,
// with Ethernet headers; what the kernel hands over in one large piece has one header.
type Counters struct{ Sent, Received uint64 }

// Counters reads the counters of the member's interface in a network.
func (m *Member) Counters(n Network) (Counters, error) {
	h, err := openNetwork(m.process)
	if err != nil {
		return Counters{}, err
	}
	defer h.close()
	link, err := h.LinkByName(string(n))
	if err != nil {
		return Counters{}, fmt.Errorf("%s has no cable to network %s: %w", m.Name, n, err)
	}
	s := link.Attrs().Statistics
	if s == nil {
		return Counters{}, fmt.Errorf("%s: no counters of network %s", m.Name, n)
	}
	return Counters{Sent: s.TxBytes, Received: s.RxBytes}, nil
}
