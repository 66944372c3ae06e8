// Package agent is droverd's composition root: it builds the journal, libvirt,
// Kerberos, the migration port and the API, wires the state machine of moves to
// them, and owns their goroutines.
package agent
