package nbd

import (
	"encoding/binary"
	"errors"
)

// Greeting follows what a server says until the negotiation is over. QEMU opens a
// connection to a server in its main loop, where the guest's devices wait as well; so a
// server that is another host's must come to an end.
type Greeting struct {
	s    server
	said int
}

// maxGreeting is far more than the answers to QEMU's client are.
const maxGreeting = 64 << 10

var (
	errGreetingLong    = errors.New("an NBD server that says more than a negotiation is")
	errGreetingStrange = errors.New("an NBD server that does not speak as QEMU's does")
)

// Saw takes what the server has sent. over says that requests may follow; after that, or
// an error, it must not be called again.
func (g *Greeting) Saw(b []byte) (over bool, err error) {
	g.s.saw(b)
	g.said += len(b)
	switch {
	case g.s.done && g.acknowledged():
		return true, nil
	case g.s.done:
		return false, errGreetingStrange
	case g.said > maxGreeting:
		return false, errGreetingLong
	}
	return false, nil
}

// acknowledged tells whether the last header was the server's consent to NBD_OPT_GO.
func (g *Greeting) acknowledged() bool {
	h := g.s.head[:]
	return g.s.greeted && g.s.have == replyLen && binary.BigEndian.Uint64(h) == replyMagic &&
		binary.BigEndian.Uint32(h[8:]) == optGo && binary.BigEndian.Uint32(h[12:]) == repAck
}
