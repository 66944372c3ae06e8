// Package storage handles a host's disk image files: which paths may be used,
// what an image holds, making and removing one, space reserved for incoming
// moves, whether two hosts see the same file, and copying the image of a VM
// that is shut off. It knows files and qemu-img, not libvirt.
//
// Paths from another host pass Roots.Resolve before anything else here sees
// them. The format of an image is always given and never probed: a guest can
// write a qcow2 header to its raw disk, naming any file as its backing file.
package storage
