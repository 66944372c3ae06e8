//go:build !faultinject

package agent

import (
	"net"

	"drover/internal/stream"
)

// tee: the product keeps no account of what it carries. Tests build with -tags
// faultinject.
func (r *relays) tee(_ *stream.Stream, local net.Conn) net.Conn { return local }
