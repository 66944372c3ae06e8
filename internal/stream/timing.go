package stream

import "time"

// Timing holds the intervals of a connection. A zero field means its default.
type Timing struct {
	Ping      time.Duration // a life sign when nothing else was sent for so long: 4 s
	Silence   time.Duration // the peer is dead when nothing arrived for so long: 15 s
	Handshake time.Duration // TCP connect, TLS, preamble and HELLO, each end: 10 s
	Auth      time.Duration // from the preamble to the end of Authenticate: 10 s
	Grace     time.Duration // to get a RESET out before the connection is cut: 2 s
}

func (t Timing) withDefaults() Timing {
	for _, f := range []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&t.Ping, 4 * time.Second}, {&t.Silence, 15 * time.Second},
		{&t.Handshake, 10 * time.Second}, {&t.Auth, 10 * time.Second},
		{&t.Grace, 2 * time.Second},
	} {
		if *f.d <= 0 {
			*f.d = f.def
		}
	}
	return t
}

// names are for error texts: this host and the peer, as the caller calls them.
type names struct{ host, peer string }
