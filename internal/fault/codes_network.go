package fault

// Codes of what the agents of two hosts see of each other.
const (
	PathMTU         Code = "path-mtu-black-hole"
	RouteAsymmetric Code = "route-asymmetric"
	LinkSlower      Code = "link-slower"
	IPv6Half        Code = "ipv6-half-configured"
	IPv6Unanswered  Code = "ipv6-address-unanswered"
)

var networkCodes = []Entry{
	{PathMTU, ClassUnavailable, 0, "Large packets get lost",
		"on the migration network {network} large packets between {hosts} get lost: of {lost} bytes none arrive, {passes}",
		"Something on the way carries smaller packets only than the hosts' interfaces are set to, and what would say so to the sender is dropped. Connections come about, and a move stands still with the first block of data.",
		"set the MTU of the interface to what the network carries: `ip link set dev {interface} mtu {mtu}`, or have the switches carry {lost} bytes"},
	{RouteAsymmetric, ClassRefused, 0, "Migration network is reached by another one",
		"{host} has an address on the migration network {network} and reaches {address} by {interface} all the same, with the address {source}",
		"There and back take different ways. Firewalls that see one half of a connection drop it, hosts that check where packets come from do too, and traffic of migrations runs where nobody expects it.",
		"see which route it is: `ip route get {address}` on {host}; take it away, or correct what sets it"},
	{LinkSlower, ClassRefused, 0, "Link is slower than its siblings",
		"{interface} of {host} on the migration network {network} runs at {have} Mbit/s, and those of {others} at {want}",
		"A move is as fast as the slower end. A port, cable or transceiver that negotiated less than it could is the usual reason.",
		"see what it negotiated and why: `ethtool {interface}` on {host}"},
	{IPv6Half, ClassRefused, 0, "IPv6 on some of the hosts only",
		"on the migration network {network} {with} IPv6, and {without} not",
		"Where one end has IPv6 and the other has not, programs try an address that leads nowhere first, and wait. A network that is added to the hosts' settings as IPv6 reaches some of them only.",
		"see what each has: `ip -6 address show dev {interface}`; give all of them an address, or none"},
	{IPv6Unanswered, ClassRefused, 0, "IPv6 address that is not answered",
		"DNS leads {name} to {address}, where the agent does not answer: {reason}",
		"Whoever has IPv6 tries this address first, and waits or is refused, while the others never notice.",
		"take the record away, `samba-tool dns delete {controller} {zone} {label} AAAA {address}`, or have the agent listen there"},
}
