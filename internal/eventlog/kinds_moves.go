package eventlog

// The numbers of moves: 20xx at the source, 21xx for the same at the destination.
const (
	MoveQueued      ID = 2000
	MoveWaiting     ID = 2001
	MoveStarted     ID = 2002
	MoveDone        ID = 2003
	MoveFailed      ID = 2004
	MoveCancelled   ID = 2005
	MoveUnknown     ID = 2006
	MoveResolved    ID = 2007
	MoveCancelAsked ID = 2008
	MoveChecked     ID = 2009
	MoveAdjusted    ID = 2010
	MoveNotice      ID = 2011
	MoveTakenUp     ID = 2012

	IncomingStarted   ID = 2102
	IncomingDone      ID = 2103
	IncomingFailed    ID = 2104
	IncomingCancelled ID = 2105
	IncomingChecked   ID = 2109
	IncomingTakenUp   ID = 2112
)

var (
	toHost   = Member{"destination", "name of the other host", None}
	fromHost = Member{"source", "name of the other host", None}
	kind     = Member{"kind", "live, paused or offline", None}
	phase    = Member{"phase", "how far it had come", None}
	totalMS  = Member{"total_ms", "how long it took; of a move that is done without what it waited in the queue", Milliseconds}
)

// figures are those of a finished move, on both sides.
var figures = []Member{
	kind, totalMS,
	{"blackout_ms", "for how long the guest did not run; at the destination as far as it can tell", Milliseconds},
	{"memory_bytes", "memory as QEMU sent it", Bytes},
	{"disk_bytes", "disks as QEMU sent them", Bytes},
	{"wire_bytes", "on the network, all streams, both directions", Bytes},
	{"streams", "connections, the control stream included", None},
	{"network", "subnets that carried the streams, by the sockets' addresses", None},
	{"encrypted", "whether every stream was", None},
	{"cipher", "of the streams", None},
	{"delegated_by", "host account that acted for the operator", None},
	{"sign_in", "own-credentials or service-asserted", None},
}

// request is what was asked for.
var request = []Member{
	toHost, kind,
	{"include_storage", "whether disks are copied", None},
	{"priority", "among the moves that wait", None},
}

var sourceKinds = []Kind{
	{ID: MoveQueued, Name: "move-queued", Level: Information, Title: "A move was asked for",
		Message: "{actor} moves {vm} to {destination}", Says: "The source has the move in its journal.", Data: request},
	{ID: MoveWaiting, Name: "move-waiting", Level: Information, Title: "A move waits for its turn",
		Message: "{vm} waits for {for}[, position {position} of {of}]",
		Says:    "A limit of simultaneous moves is reached on one of the hosts; see 6000 there.",
		Data: []Member{toHost, {"for", "what it waits for", None}, {"limit_of", "the host whose limit is reached", None},
			{"position", "1: next", None}, {"of", "how many moves wait here", None}}},
	{ID: MoveStarted, Name: "move-started", Level: Information, Title: "A move began",
		Message: "{vm} is on its way to {destination} on {networks}",
		Says:    "Both hosts agree on the plan. From here on the VM's definition is guarded until the move is over.",
		Data: with(request, []Member{
			{"vm_memory_bytes", "size of the VM's memory", Bytes},
			{"copied_disks", "disks that are copied", None},
			{"networks", "subnets of the plan", None},
			{"passed_over", "networks that were not used, and why", None},
			{"performance_option", "as agreed between the hosts", None},
			{"codec", "how memory is coded on the wire", None},
			{"encryption", "cipher of the streams", None},
			{"connections", "memory connections", None},
			{"notes", "what was decided otherwise than asked for", None},
			{"predicted_total_ms", "upper end of the prediction", Milliseconds},
		})},
	{ID: MoveDone, Name: "move-done", Level: Information, Title: "A move succeeded",
		Message: "{vm} is on {destination} now: {total_ms} in all[, blackout {blackout_ms}][, {wire_bytes} on {network}]",
		Says:    "The VM is gone from here; at the destination it runs, is paused or shut off as it was here. All figures of the move are in the data.",
		Data: with([]Member{toHost}, figures, []Member{
			{"account", "computer account that acted for the operator", None},
			{"service", "service name of the delegated ticket", None},
			{"storage_service", "service name of the second ticket", None},
			{"method", "ticket or protocol-transition", None},
			{"performance_option", "as agreed between the hosts", None},
			{"predicted_total_ms", "what was predicted, middle of the range", Milliseconds},
			{"prediction_ratio", "actual by predicted time", None},
			{"removed", "files and definitions removed here", None},
			{"retained", "files kept here", None},
		})},
	{ID: MoveFailed, Name: "move-failed", Level: Error, Title: "A move failed", Windows: 21024,
		Message: "{vm} was not moved to {destination}: {reason}",
		Says:    "The VM stays here as it was before the move, unless the reason says otherwise. found_by names the host to look at.",
		Data:    with([]Member{toHost, kind, phase, totalMS, {"wire_bytes", "on the network until then", Bytes}}, finding)},
	{ID: MoveCancelled, Name: "move-cancelled", Level: Warning, Title: "A move was cancelled",
		Message: "the move of {vm} to {destination} was cancelled",
		Says:    "The VM runs on here. Who asked for it is in 2008.",
		Data:    with([]Member{toHost, kind, phase, totalMS}, finding)},
	{ID: MoveUnknown, Name: "move-outcome-unknown", Level: Error, Title: "The outcome of a move is unknown",
		Message: "whether {vm} runs on {destination} is not known: {reason}",
		Says:    "The VM was handed over and the destination's journal cannot be read. Neither host starts the VM by itself. The agent goes on asking.",
		Data:    with([]Member{toHost, kind}, finding)},
	{ID: MoveResolved, Name: "move-resolved", Level: Warning, Title: "An administrator decided a move",
		Message: "{actor} decided that the {keep} keeps the VM of move {move}",
		Says:    "By drover move resolve, for a move whose outcome was unknown.",
		Data:    []Member{{"keep", "source or destination", None}}},
	{ID: MoveCancelAsked, Name: "move-cancel-asked", Level: Information, Title: "Somebody asked to cancel a move",
		Message: "{actor} asked to cancel the move[ of {vm}]", Says: "How it ended is in the move's last entry.",
		Data: []Member{toHost}},
	{ID: MoveChecked, Name: "move-checked", Level: Information, Title: "A move was tried without moving",
		Message: "{vm} could move to {destination}", Says: "A dry run: both hosts agreed on a plan, and nothing was changed.",
		Data: request},
	{ID: MoveAdjusted, Name: "move-adjusted", Level: Information, Title: "A move under way was changed",
		Message: "{actor} changed the move[ of {vm}][: longest blackout {max_blackout_ms}]", Says: "By drover move set.",
		Data: []Member{{"max_blackout_ms", "longest blackout that QEMU may plan for", Milliseconds}}},
	{ID: MoveNotice, Name: "move-notice", Level: Warning, Title: "A move needs attention",
		Message: "move of {vm}: {text}", Says: "The move goes on; something about it has to be looked at.",
		Data: []Member{{"text", "in words", None}, toHost, phase}},
	{ID: MoveTakenUp, Name: "move-taken-up", Level: Warning, Title: "An unfinished move was taken up again",
		Message: "the move of {vm} to {destination} was unfinished ({phase}) when the agent stopped; it is settled now",
		Says:    "The agent stopped in the middle of a move. The journal, and if need be the destination, decide who has the VM.",
		Data:    []Member{toHost, kind, phase}},
}

var destinationKinds = []Kind{
	{ID: IncomingStarted, Name: "incoming-move-started", Level: Information, Title: "A VM comes",
		Message: "{actor} moves {vm} here from {source}", Says: "The source may bring the VM; nothing is created yet.",
		Data: []Member{fromHost, {"include_storage", "whether disks are copied", None}}},
	{ID: IncomingDone, Name: "incoming-move-done", Level: Information, Title: "A VM came",
		Message: "{vm} came from {source}: {total_ms} in all[, blackout {blackout_ms}][, {wire_bytes} on {network}]",
		Says:    "The VM is this host's. Figures are as this host measured them; the source's are in its 2003.",
		Data:    with([]Member{fromHost}, figures)},
	{ID: IncomingFailed, Name: "incoming-move-failed", Level: Error, Title: "An incoming move failed",
		Message: "{vm} did not come from {source}: {reason}",
		Says:    "What had been created here was removed; the VM stays at the source.",
		Data:    with([]Member{fromHost, kind, phase, totalMS}, finding)},
	{ID: IncomingCancelled, Name: "incoming-move-cancelled", Level: Warning, Title: "An incoming move was cancelled",
		Message: "the move of {vm} from {source} was cancelled",
		Says:    "At the source, whose log says by whom. The VM stays there.",
		Data:    with([]Member{fromHost, kind, phase, totalMS}, finding)},
	{ID: IncomingChecked, Name: "incoming-move-checked", Level: Information, Title: "An incoming move was tried without moving",
		Message: "{vm} could come from {source}", Says: "A dry run; nothing was created.", Data: []Member{fromHost}},
	{ID: IncomingTakenUp, Name: "incoming-move-taken-up", Level: Warning, Title: "An unfinished incoming move was taken up again",
		Message: "the move of {vm} from {source} was unfinished ({phase}) when the agent stopped; it is settled now",
		Says:    "The agent stopped in the middle of an incoming move. libvirt and the journal decide who has the VM.",
		Data:    []Member{fromHost, kind, phase}},
}
