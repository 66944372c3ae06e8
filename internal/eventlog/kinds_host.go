package eventlog

// The numbers of events. A number is never used for something else; what is
// logged no more keeps its number.
const (
	AgentStarted  ID = 1000
	AgentStopping ID = 1001

	ConnectionRefused   ID = 3000
	MoveRefused         ID = 3001
	IncomingMoveRefused ID = 3002
	RoleMissing         ID = 3003
	SignInRefused       ID = 3004
	NotDelegated        ID = 3005
	RefusalsLeftOut     ID = 3006

	SettingsChanged ID = 4000
	SettingsRefused ID = 4001

	DelegationUsed     ID = 5000
	DelegationAccepted ID = 5001
	DelegationTried    ID = 5002
	TicketsPurged      ID = 5100

	LimitReached ID = 6000

	AddressBound ID = 7000
	AddressGone  ID = 7001
	AddressNone  ID = 7002

	JournalTrouble ID = 8000
	LogTrimmed     ID = 8001
)

var hostKinds = []Kind{
	{ID: AgentStarted, Name: "agent-started", Level: Information, Title: "The agent started",
		Message: "droverd {version} started[, with migration addresses {addresses}]",
		Says:    "The agent answers. What was under way when it stopped is taken up again: see 2012 and 2112.",
		Data: []Member{
			{"version", "version of droverd", None},
			{"addresses", "addresses and ports on which it takes migrations", None},
			{"revision", "revision of the host's settings", None},
			{"incoming_enabled", "whether it accepts VMs", None},
			{"outgoing_enabled", "whether VMs may leave", None},
		}},
	{ID: AgentStopping, Name: "agent-stopping", Level: Information, Title: "The agent stops",
		Message: "droverd stops; moves under way: {moves}",
		Says:    "The agent takes no more moves and lets those under way end. A start (1000) without this before it follows a crash or a power cut.",
		Data:    []Member{{"moves", "how many moves were under way", None}}},
}

// finding are the data of what was refused or failed.
var finding = []Member{
	{"reason", "what was found, in words; the code is in the entry", None},
	{"cause", "what lies beneath", None},
	{"hint", "what to do", None},
	{"found_by", "the host that found it", None},
}

var remote = Member{"remote", "address and port of the other end", None}

var refusalKinds = []Kind{
	{ID: ConnectionRefused, Name: "connection-refused", Level: Warning, Title: "A migration connection was refused",
		Message: "migration connection from {remote} refused: {reason}",
		Says:    "Something connected to port 6600 and did not prove that it may. The code says what was wrong.",
		Data:    with([]Member{remote}, finding)},
	{ID: MoveRefused, Name: "move-refused", Level: Warning, Title: "A move was refused before it began",
		Message: "{actor} may not move {vm} to {destination}: {reason}",
		Says:    "The source refused the request; nothing was started on either host.",
		Data:    with([]Member{{"destination", "name of the other host", None}}, finding)},
	{ID: IncomingMoveRefused, Name: "incoming-move-refused", Level: Warning, Title: "An incoming move was refused before it began",
		Message: "{actor} may not move a VM here[ from {source}]: {reason}",
		Says:    "The connection was authenticated, and the request on it was refused. A refusal of a move that had begun is 2104.",
		Data:    with([]Member{{"source", "name of the other host, as it gave it", None}, {"delegated_by", "host account that acted for the operator", None}}, finding)},
	{ID: RoleMissing, Name: "role-missing", Level: Warning, Title: "Somebody lacks a role on this host",
		Message: "{actor} lacks the role {role}[ for {request}]",
		Says:    "Somebody signed in and asked for what their roles on this host do not allow. Roles are lists in drover.yaml.",
		Data:    with([]Member{{"role", "the role that is needed", None}, {"request", "what was asked for", None}, remote}, finding)},
	{ID: SignInRefused, Name: "sign-in-refused", Level: Warning, Title: "A sign-in was refused",
		Message: "sign-in from {remote} refused: {reason}",
		Says:    "A token could not be verified at the management port. Many of them: clocks, keytab or service names are wrong.",
		Data:    with([]Member{remote}, finding)},
	{ID: NotDelegated, Name: "not-delegated", Level: Warning, Title: "A host came without delegation",
		Message: "migration connection[ from {remote}] refused: {reason}",
		Says:    "A host or a person came to port 6600 as itself, not on behalf of an operator.",
		Data:    with([]Member{remote}, finding)},
	{ID: RefusalsLeftOut, Name: "refusals-left-out", Level: Warning, Title: "Refusals were too many to be logged one by one",
		Message: "{count} refusals were not logged one by one",
		Says:    "Refusals are logged at most so often, so that nobody can fill the log with them. Those before and after are examples.",
		Data:    []Member{{"count", "how many were left out since the last entry of this kind", None}}},
}

var settingsKinds = []Kind{
	{ID: SettingsChanged, Name: "settings-changed", Level: Information, Title: "The host's settings were changed",
		Message: "{actor} changed {changes}",
		Says:    "One entry for each change that was made, with every setting that differs afterwards.",
		Data: []Member{
			{"changes", "list of setting, from, to", None},
			{"revision", "of the settings after the change", None},
		}},
	{ID: SettingsRefused, Name: "settings-refused", Level: Warning, Title: "A change of the settings was refused",
		Message: "{actor} could not change the settings: {reason}",
		Says:    "Nothing was changed.",
		Data:    finding},
}

var delegationKinds = []Kind{
	{ID: DelegationUsed, Name: "delegation-used", Level: Information, Title: "This host acted for an operator",
		Message: "{account} acted for {actor} at {service}[ and {storage_service}] ({method})",
		Says:    "At the source: a ticket in the operator's name was used to get to the destination. Method ticket: the operator's own was forwarded; protocol-transition: this host vouched for the operator.",
		Data: []Member{
			{"account", "this host's computer account", None},
			{"service", "service name of the delegated ticket", None},
			{"storage_service", "service name of the second ticket, when disks are copied", None},
			{"method", "ticket or protocol-transition", None},
			{"destination", "name of the other host", None},
		}},
	{ID: DelegationAccepted, Name: "delegation-accepted", Level: Information, Title: "Another host acted for an operator here",
		Message: "{delegated_by} acts here for {actor} ({sign_in})",
		Says:    "At the destination: what the tickets prove of who acts for whom. service-asserted means that the operator never signed in to that host.",
		Data: []Member{
			{"delegated_by", "host account that acts for the operator", None},
			{"sign_in", "own-credentials or service-asserted", None},
			{"source", "name of the other host, as it gave it", None},
			{"storage", "whether storage is delegated as well", None},
		}},
	{ID: DelegationTried, Name: "delegation-tried", Level: Information, Title: "Delegation was tried out",
		Message: "{actor} tried whether this host may act for {operator} at {services}; refused: {refused}",
		Says:    "By drover delegation verify. Tickets were obtained and dropped; nothing was moved.",
		Data: []Member{
			{"operator", "in whose name", None},
			{"method", "ticket or protocol-transition", None},
			{"services", "service names that were tried", None},
			{"refused", "how many of them the domain refused", None},
		}},
	{ID: TicketsPurged, Name: "tickets-purged", Level: Information, Title: "Cached tickets were purged",
		Message: "{actor} purged {purged} tickets[ for {service}]",
		Says:    "The next move asks the domain again.",
		Data:    []Member{{"purged", "how many tickets went", None}, {"service", "only tickets for this service name", None}}},
}

var limitKinds = []Kind{
	{ID: LimitReached, Name: "limit-reached", Level: Warning, Title: "A limit of simultaneous moves was reached",
		Message: "{vm} has no place: {reason}",
		Says:    "A move waits or was refused, because this host runs as many moves as it may. Raise the limit if that is often so: drover host set --maximum-migrations.",
		Data:    with([]Member{{"waits", "whether the move waits; otherwise it was refused", None}}, finding)},
}

var networkKinds = []Kind{
	{ID: AddressBound, Name: "migration-address-bound", Level: Information, Title: "A migration address came",
		Message: "migrations are taken at {address}",
		Says:    "An address of this host lies in a migration network, and port 6600 is open on it.",
		Data:    []Member{{"address", "address and port", None}}},
	{ID: AddressGone, Name: "migration-address-gone", Level: Warning, Title: "A migration address went",
		Message: "migrations are no longer taken at {address}",
		Says:    "The address went from the host, or out of the migration networks.",
		Data:    []Member{{"address", "address and port", None}}},
	{ID: AddressNone, Name: "no-migration-address", Level: Error, Title: "No migration address is left",
		Message: "live migration is enabled and no address is on the migration networks[ {networks}]",
		Says:    "No VM can come here until an interface has an address in one of the networks.",
		Data:    []Member{{"networks", "the migration networks", None}}},
}

var journalKinds = []Kind{
	{ID: JournalTrouble, Name: "journal-trouble", Level: Error, Title: "The journal cannot be written",
		Message: "the journal cannot be written[ ({what})]: {reason}",
		Says:    "New moves fail until it can. This entry may reach only the journal of systemd. Look first whether the disk of state_dir is full.",
		Data:    with([]Member{{"what", "what was to be written", None}}, finding)},
	{ID: LogTrimmed, Name: "log-trimmed", Level: Information, Title: "Old entries of this log were removed",
		Message: "{entries} old entries of the event log were removed",
		Says:    "By events.max_age and events.max_entries of drover.yaml, and the bound on the log's size.",
		Data:    []Member{{"entries", "how many", None}}},
}
