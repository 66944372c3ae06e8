package fault

// Codes of what the doctor sees besides the directory: names, the network, clocks,
// settings of hosts that do not fit.
const (
	DNSServerSilent     Code = "dns-server-silent"
	DNSNameMissing      Code = "dns-name-missing"
	DNSAddressStale     Code = "dns-address-stale"
	DNSAddressExtra     Code = "dns-address-extra"
	DNSAddressShared    Code = "dns-address-shared"
	DNSReverseStale     Code = "dns-reverse-stale"
	DNSServersDiffer    Code = "dns-servers-differ"
	DNSServiceMissing   Code = "dns-service-record-missing"
	DNSServiceStale     Code = "dns-service-record-stale"
	ShortNameElsewhere  Code = "short-name-elsewhere"
	ShortNameUnresolved Code = "short-name-unresolved"
	HostsFileOverrides  Code = "hosts-file-overrides"

	HostSilent    Code = "host-silent"
	PortClosed    Code = "port-closed"
	PortFiltered  Code = "port-filtered"
	AgentHangs    Code = "agent-hangs"
	KDCWithoutTCP Code = "kdc-without-tcp"

	RealmMapping       Code = "realm-mapping-wrong"
	TicketBeforeChange Code = "ticket-before-change"
	OperatorPassword   Code = "operator-password-expired"
	OperatorLocked     Code = "operator-locked-out"
	OperatorExpired    Code = "operator-account-expired"
	OperatorWithoutAES Code = "operator-without-aes"
	ReplicationPending Code = "replication-pending"

	AuthenticationDiffers Code = "authentication-differs"
	PerformanceDiffers    Code = "performance-differs"
	LimitZero             Code = "migration-limit-zero"
	VersionsDiffer        Code = "agent-versions-differ"

	EventUnknown Code = "event-unknown"
)

var doctorCodes = []Entry{
	{DNSServerSilent, ClassUnavailable, 0, "Name server does not answer",
		"the name server {server}, which {path} names, does not answer: {reason}",
		"Programs wait for it before they ask the next one, so that everything becomes slow and some of it fails. What it would have said is not known.",
		"test it: `dig @{server} {name}`; take it out of {path} if it is gone"},
	{DNSNameMissing, ClassNotFound, 0, "Name is not in DNS",
		"{server} knows no address of {name}",
		"Whoever has no line for the host in a hosts file does not find it, other hosts among them.",
		"add the record: `samba-tool dns add {controller} {zone} {label} A ADDRESS`, or `Add-DnsServerResourceRecordA -ZoneName '{zone}' -Name '{label}' -IPv4Address ADDRESS`"},
	{DNSAddressStale, ClassRefused, 0, "DNS has an old address",
		"DNS leads {name} to {addresses}, which is not {destination}: {reason}",
		"Moves and sign-ins go to the wrong machine, or to none. A ticket for one host is of no use at another, which then refuses the sign-in.",
		"correct the record: `samba-tool dns delete {controller} {zone} {label} A {addresses}` and add the right one, or `Remove-DnsServerResourceRecord -ZoneName '{zone}' -Name '{label}' -RRType A -RecordData '{addresses}'`"},
	{DNSAddressExtra, ClassRefused, 0, "DNS has one address too many",
		"DNS has {addresses} for {name} besides the right one: {reason}",
		"Programs take one of the addresses, now this and now that one, so that it works sometimes.",
		"take the wrong one away: `samba-tool dns delete {controller} {zone} {label} A {addresses}`, or `Remove-DnsServerResourceRecord -ZoneName '{zone}' -Name '{label}' -RRType A -RecordData '{addresses}'`"},
	{DNSAddressShared, ClassRefused, 0, "Two hosts with one address",
		"DNS leads {name} and {other} to the same address {addresses}",
		"An address is of one machine. The record of the other is left over from before it was given away.",
		"see which of them it is, `drover host show --host {name}`, and correct the other's record"},
	{DNSReverseStale, ClassRefused, 0, "Reverse DNS names another host",
		"{address} is {name}, and reverse DNS calls it {other}",
		"Programs that look addresses up, among them Kerberos clients with rdns = true, ask for tickets of the wrong host.",
		"correct the record: `dig -x {address}` shows it, and `samba-tool dns delete {controller} ZONE RECORD PTR {other}` takes it away"},
	{DNSServersDiffer, ClassRefused, 0, "Name servers do not agree",
		"the name servers give different addresses for {name}: {answers}",
		"Which one is asked is chance, so that it works sometimes. A zone was not transferred, or one of the servers is not of the domain.",
		"see what each says: `dig @SERVER {name}`; name only the domain's servers in {path}"},
	{DNSServiceMissing, ClassNotFound, 0, "Service record of the controllers is missing",
		"{server} has no record {name}",
		"Hosts and programs find the domain controllers by these records. Controllers register them when they start.",
		"let a controller register them again: `samba_dnsupdate --verbose` on it, or `nltest /dsregdns`"},
	{DNSServiceStale, ClassRefused, 0, "Service record names no controller",
		"the record {name} names {controller}, which has no address in DNS",
		"A controller that was removed has left its records behind. Programs try it and wait.",
		"take the record away: `dig {name} SRV` shows it, and `samba-tool dns delete SERVER ZONE RECORD SRV '{controller} PORT PRIORITY WEIGHT'` deletes it"},
	{ShortNameElsewhere, ClassRefused, 0, "Short name leads to another machine",
		"on this machine the short name {short} means {found} ({addresses}), not {name}",
		"Domains are tried in the order of the search list. One that comes first has a host of the same name.",
		"correct the list in {path}, or use the full name: `drover host show --host {name}`"},
	{ShortNameUnresolved, ClassNotFound, 0, "Short name is not found",
		"on this machine DNS does not find the short name {short}: the search list of {path} lacks {domain}",
		"Whoever names the host in short, as the delegation lists do, is told that there is no such host.",
		"add the domain to the search list of this machine, or use the full name: `drover host show --host {name}`"},
	{HostsFileOverrides, ClassRefused, 0, "Hosts file overrides DNS",
		"{path} of this machine leads {name} to {listed}, and DNS to {addresses}",
		"The file comes first, on this machine only, so that it does not work from here and works from elsewhere.",
		"take the line out: `grep -in {short} {path}`"},

	{HostSilent, ClassUnavailable, 0, "Nothing answers at the host's address",
		"nothing answers at {addresses}, where {name} should be: {reason}",
		"The host is down, a firewall drops everything, or the record of its address is an old one.",
		"look whether it runs, and compare `ip -brief address` there with `dig {name}`"},
	{PortClosed, ClassUnavailable, 0, "Nothing listens on the port",
		"nothing listens on {port} of {name} ({address}), {service}",
		"The machine answers and refuses the connection: the service does not run, listens on another address, or a firewall refuses in its place.",
		"see what runs there: `{command}`"},
	{PortFiltered, ClassUnavailable, 0, "Port is filtered",
		"{name} answers, but not on {port} ({address}), {service}: {reason}",
		"The machine is there and packets to this port get lost, so a firewall on the way or on the machine drops them. A service that does not run would refuse.",
		"open the port there: `{command}`"},
	{AgentHangs, ClassUnavailable, 0, "The agent hangs",
		"the agent of {name} takes connections on {port} ({address}) and does not answer",
		"The system accepts the connection, and droverd behind it says nothing: it is stopped, or waits for something that does not come, such as storage that is gone. A port that is closed would refuse, and one that is filtered would not connect.",
		"on {host} look at what it said last, then start it anew: `journalctl -u droverd -n 100`, `systemctl restart droverd`"},
	{KDCWithoutTCP, ClassUnavailable, 0, "Kerberos over UDP only",
		"{name} answers Kerberos over UDP and not over TCP ({reason})",
		"Tickets carry the groups of their owner and do not fit a datagram: the controller answers that they are too big, and the program has to ask over TCP. Small requests work, sign-ins of users in many groups fail.",
		"open TCP 88 there: `nc -vz {name} 88`"},

	{RealmMapping, ClassRefused, 0, "Host is assigned to another realm",
		"{path} assigns {name} to the realm {have}, and its account is in {want}",
		"Programs ask the wrong controllers for tickets of the host and are told that it does not exist.",
		"correct the section {section} of {path}; `kvno 'HOST/{name}'` tries it"},
	{TicketBeforeChange, ClassRefused, 0, "Ticket is older than the account",
		"the ticket of {operator} was issued at {issued}, before {object} was changed at {changed}",
		"Groups and flags are written into a ticket when it is issued. What was changed since shows with the next ticket.",
		"get a new one: `kinit {operator}`"},
	{OperatorPassword, ClassAuth, 0, "Operator's password has expired",
		"the password of the operator {object} has expired or must be changed",
		"Until it is changed the account gets no ticket, and no host one in its name.",
		"change it: `kpasswd {object}`"},
	{OperatorLocked, ClassAuth, 0, "Operator's account is locked",
		"the operator account {object} is locked out since {since}",
		"After too many wrong passwords the domain's policy locks an account for a while.",
		"unlock it: `samba-tool user unlock '{object}'` or `Unlock-ADAccount -Identity '{object}'`"},
	{OperatorExpired, ClassAuth, 0, "Operator's account has expired",
		"the operator account {object} has expired on {since}",
		"An account can be given a last day. After it there are no tickets.",
		"extend it: `samba-tool user setexpiry '{object}' --noexpiry` or `Clear-ADAccountExpiration -Identity '{object}'`"},
	{OperatorWithoutAES, ClassAuth, 0, "Operator has no AES key",
		"for the operator {object} the controller {server} offers no AES key",
		"The account allows no AES, or its password is from before the domain knew AES. Drover takes no RC4 tickets, and newer controllers issue none.",
		"allow AES for the account, `Set-ADUser -Identity '{object}' -KerberosEncryptionType AES128,AES256`, and change the password once"},
	{ReplicationPending, ClassRefused, 0, "Controllers do not agree",
		"{attribute} of {object} is not the same on {server} and {other}",
		"A change has not reached every controller yet, so that the outcome depends on which one is asked. It does within minutes, or replication is broken.",
		"see whether it is on its way: `samba-tool drs showrepl`, `repadmin /showrepl`"},

	{AuthenticationDiffers, ClassRefused, 0, "Hosts authenticate differently",
		"the authentication type is {have} on {host} and {want} on {peer}",
		"Both hosts of a move have to use the same.",
		"set it on one of them: `drover host set --host {host} --authentication {want}`"},
	{PerformanceDiffers, ClassRefused, 0, "Hosts have different performance options",
		"the performance option is {have} on {host} and {want} on {peer}",
		"A move is carried as both hosts can. Which way depends on the direction, which nobody expects.",
		"set it on one of them: `drover host set --host {host} --performance {want}`"},
	{LimitZero, ClassRefused, 0, "Host takes no moves",
		"{setting} of {host} is 0",
		"A limit of simultaneous moves that is 0 lets none begin. They wait for ever.",
		"raise it: `drover host set --host {host} --{flag} 2`"},
	{VersionsDiffer, ClassRefused, 0, "Agents of different versions",
		"droverd is {have} on {host} and {want} on {peer}",
		"Versions that are apart can move VMs to each other as long as they share a protocol; what is new in one of them is not used.",
		"update the older one; `drover host show --host {host}` shows its version"},
	{EventUnknown, ClassNotFound, 0, "No such entry of the event log",
		"the event log of {host} has no entry {event}",
		"The number is that of one entry on that host, not that of a kind of event. Old entries are removed after a time, and every host counts by itself.",
		"see the entries with their numbers (SEQ): `drover events --host {host}`"},
}
