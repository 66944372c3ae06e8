package fault

// Codes of the transfer itself.
const (
	PeerSilent      Code = "peer-silent"
	PeerGone        Code = "peer-gone"
	SocketLost      Code = "qemu-connection-lost"
	ProtocolError   Code = "protocol-error"
	SessionUnknown  Code = "session-unknown"
	PrepareFailed   Code = "prepare-failed"
	TransferFailed  Code = "transfer-failed"
	FinishFailed    Code = "finish-failed"
	ConfirmFailed   Code = "confirm-failed"
	TakeBackFailed  Code = "take-back-failed"
	LeftoversRemain Code = "leftovers-remain"
	MoveInterrupted Code = "move-interrupted"
)

var transfer = []Entry{
	{PeerSilent, ClassUnavailable, 0, "Peer is silent",
		"{peer} sent nothing to {host} for {seconds} s",
		"An idle stream carries a sign of life every few seconds. None came, so the peer or the network is gone.",
		"look at the migration network between the hosts: `ping`, `ethtool`, `journalctl -k`"},
	{PeerGone, ClassUnavailable, 0, "Connection lost",
		"{host} lost the connection to {peer}",
		"The connection ended before the work on it did.",
		"see `journalctl -u droverd` on {peer}, and whether the network lost its link"},
	{SocketLost, ClassUnavailable, 0, "QEMU ended its connection",
		"on {host}, QEMU (or the server of a disk) ended the migration connection {socket} too early",
		"The program at the local end of a migration stream closed it before all was transferred. It usually says why in its own log.",
		"on {host}: `tail /var/log/libvirt/qemu/*.log` says why"},
	{ProtocolError, ClassInternal, 0, "Protocol broken",
		"{peer} sent {host} something the protocol does not allow: {problem}",
		"A bug, a version that does not fit, or something that is not an agent.",
		"compare `droverd --version` on both hosts"},
	{SessionUnknown, ClassAuth, 0, "No such session",
		"{host} knows no move session for this connection",
		"A data connection must belong to a move that was opened and authorised on a control connection.",
		"start the move again"},
	{PrepareFailed, ClassRefused, 0, "Destination could not prepare",
		"libvirt on {host} could not prepare VM {vm}",
		"QEMU on the destination could not be started for the incoming VM.",
		"the cause says why; on {host}: `journalctl -u libvirtd`, /var/log/libvirt/qemu/{vm}.log"},
	{TransferFailed, ClassUnavailable, 0, "Transfer failed",
		"moving VM {vm} from {host} failed while its state was transferred",
		"QEMU or the connection failed; the VM runs on at the source.",
		"the cause says why; try again when it is cured"},
	{FinishFailed, ClassRefused, 0, "Destination could not finish",
		"{host} could not start VM {vm} after the transfer; it runs on at the source",
		"libvirt on the destination refused the last step, and the source took the VM back.",
		"the cause says why; on {host}: /var/log/libvirt/qemu/{vm}.log"},
	{ConfirmFailed, ClassUnavailable, 0, "Source could not clean up",
		"VM {vm} runs on {destination}; {host} could not remove its own copy",
		"The move is done, but the paused copy or the old files are still on the source.",
		"remove what the cause names (see `journalctl -u droverd` on {host}); droverd goes on trying, and after a restart too"},
	{TakeBackFailed, ClassUnavailable, 0, "Source could not take the VM back yet",
		"{host} could not let VM {vm} run on yet after its move failed",
		"libvirt on the source did not do what undoes its part of the move. The VM may stand still until it does.",
		"see that libvirt answers: `virsh domstate --reason {vm}` on {host}; droverd goes on trying, and after a restart too"},
	{LeftoversRemain, ClassUnavailable, 0, "Destination could not clean up yet",
		"{host} could not remove yet what is left of VM {vm}, whose move to it failed",
		"libvirt on the destination did not tell what it has of the VM, or its files could not be removed. The VM is at the source.",
		"see that libvirt answers: `virsh list --all` on {host}; droverd goes on trying, and after a restart too"},
	{MoveInterrupted, ClassUnavailable, 0, "Move was interrupted",
		"move {move} of VM {vm} was interrupted in phase {phase}: {reason}",
		"An agent stopped in the middle. After its restart it settled the move; the VM runs at the source.",
		"start the move again"},
}
