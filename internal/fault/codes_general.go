package fault

import "net/http"

// Codes that belong to no subsystem.
const (
	Internal       Code = "internal"
	Usage          Code = "usage"
	ConfigInvalid  Code = "config-invalid"
	Cancelled      Code = "cancelled"
	Deadline       Code = "deadline"
	ShuttingDown   Code = "agent-shutting-down"
	StoreFailed    Code = "store-failed"
	MoveNotFound   Code = "move-not-found"
	MoveOver       Code = "move-over"
	CancelTooLate  Code = "cancel-too-late"
	OutcomeUnknown Code = "outcome-unknown"
	NeedConfirm    Code = "confirmation-needed"
)

var general = []Entry{
	{Internal, ClassInternal, 0, "Internal error",
		"an error without a code of its own",
		"A condition that Drover does not know by name. The cause that follows the message says what was seen.",
		"look at `journalctl -u droverd` on the hosts of the move, and report the message with `drover version`"},
	{Usage, ClassUsage, 0, "Wrong use",
		"{problem}",
		"The command line or request does not have the form that the command takes.",
		"`drover help COMMAND` shows the form, such as `drover help move`"},
	{ConfigInvalid, ClassUsage, 0, "Configuration is not valid",
		"{file}: {problem}",
		"drover.yaml has an unknown key, a wrong type or a value out of range. Nothing is started with half a configuration.",
		"correct the file, then run `droverd check-config --config {file}`"},
	{Cancelled, ClassCancelled, 0, "Cancelled",
		"cancelled",
		"Somebody asked for the operation to end: Ctrl-C, `drover move cancel`, or a client that went away.",
		"run the command again when you want it done"},
	{Deadline, ClassUnavailable, 0, "No answer in time",
		"{host} did not finish in time",
		"A call has a deadline, so that a component that hangs cannot hang everything above it.",
		"see whether the host is overloaded or a service hangs: `systemctl status droverd libvirtd`"},
	{ShuttingDown, ClassUnavailable, 0, "Agent is stopping",
		"droverd on {host} is stopping and takes no new moves",
		"droverd got SIGTERM: running moves may end, new ones are refused.",
		"start it again with `systemctl start droverd` on {host}"},
	{StoreFailed, ClassUnavailable, 0, "Journal cannot be written",
		"droverd on {host} cannot write its journal",
		"Every phase of a move is made durable before it takes effect. When that fails, the move does not go on.",
		"see whether the file system of the state directory is full or read-only: `df /var/lib/drover`"},
	{MoveNotFound, ClassNotFound, 0, "No such move",
		"{host} knows no move {move}",
		"The id was never used on this host, or its record is older than the journal keeps.",
		"list the moves with `drover move list --host {host}`"},
	{MoveOver, ClassRefused, 0, "Move is over",
		"move {move} is over: {phase}",
		"Only a move that still runs can be cancelled or resolved.",
		"see it with `drover move show {move} --host {host}`"},
	{CancelTooLate, ClassRefused, 0, "Too late to cancel",
		"move {move} is past handover and can no longer be cancelled",
		"After handover the destination decides; taking the decision back could leave two running copies.",
		"let it end (`drover move watch {move} --host {host}`), then move the VM back"},
	{OutcomeUnknown, ClassUnknown, 0, "Outcome cannot be read",
		"the outcome of move {move} is in the journal of {destination}, which does not answer; VM {vm} is held paused on {host}",
		"The guest was handed over and the answer got lost. Neither side starts the VM by itself until the destination's journal can be read, because that could make two running copies.",
		"bring droverd on {destination} back and the move settles by itself; if {destination} is lost for good and certainly does not run {vm}: `drover move resolve {move} --host {host} --keep source`"},
	{NeedConfirm, ClassUsage, http.StatusUnprocessableEntity, "Confirmation needed",
		"{problem}",
		"The command asks a question on a terminal; here is none, and no flag answered it.",
		"answer with the flag: `--yes`"},
}
