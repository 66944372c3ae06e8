// Package census counts what the hosts of a lab have: domains, files, sockets,
// processes and what these have open. Two censuses of a host at rest with the same
// VMs are the same, whatever happened in between; and what is there that belongs to
// no VM is what a move has left behind.
package census
