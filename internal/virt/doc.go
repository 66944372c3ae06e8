// Package virt talks to the local libvirt: facts about the host and its
// domains, the five calls of libvirt's migration protocol, job statistics,
// lifecycle events, and the admission of definitions that come from another
// host.
//
// Two properties of the client library shape the package. No call of it takes
// a context, and one slow consumer of events blocks every call on the same
// connection. So each blocking call has a connection of its own, and a call
// that does not return in time is abandoned by closing that connection. The
// exception is a migration: libvirt ties its job to the connection that began
// it, so Outgoing and Incoming hold one each, and statistics and aborts go
// over others. What libvirt does when such a connection dies is measured in
// docs/facts/libvirt.md.
package virt
