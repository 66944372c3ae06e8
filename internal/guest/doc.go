// Package guest is everything about the virtual machine that Drover's lab and
// tests move: what runs inside it, how it is built and booted, and how it is
// watched from outside.
//
// The guest is Debian's cloud kernel and an initramfs whose /init is
// cmd/drover-guest. It fills memory with pages that prove their own identity
// (page.go), appends records to its disks that prove theirs (record.go), and
// answers a UDP heartbeat (protocol.go). Observer asks for that heartbeat and
// so sees from outside how long the guest did not run, whether two copies of
// it run at once, and whether its state ever went backwards.
//
// The building half (FetchKernel, BuildInitramfs, DomainXML, ProbeKVM) runs on
// the machine that starts the guest, never in it. The package knows nothing of
// libvirt: a domain is text here.
package guest
