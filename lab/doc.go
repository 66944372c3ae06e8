// Package lab builds a small data centre out of namespaces on one Linux machine: a real Samba
// Active Directory domain controller, hosts with a real libvirtd each, and a workstation, on a
// management, a migration and a guest network of their own. The tests use it, `make demo` uses
// it, and it is how a newcomer tries Drover without owning three servers.
//
// Nothing of a lab touches the machine's own network or mount namespace. Every member (see
// Member) is a process tree below a PID 1 of its own, so that ending that one process ends
// everything in it and the kernel removes its mounts, interfaces and namespaces. That is what
// makes Down certain, also after a crash half way.
//
// A program or test that imports this package may be started again as a member's PID 1: see
// initArgv0.
package lab
