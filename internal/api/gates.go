package api

import (
	"crypto/tls"
	"net"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"drover/internal/gate"
)

// maxStrangers bounds the connections over TLS on which nobody has signed in, and
// strangerTime how long they may be that, whatever they do. Each can make the agent
// keep a header of 128 KiB, a body of maxOpenBody, and what TLS needs.
const (
	maxStrangers = 256
	strangerTime = 30 * time.Second
)

// gates bound the connections of strangers by their address, those that have
// signed in by their principal, and those to the unix socket by their user, each by
// themselves: nobody without an account keeps out anybody who has one.
type gates struct{ strangers, known, local *gate.Gate }

func (s *Server) newGates() gates {
	one := func(name string, total int, stay time.Duration) *gate.Gate {
		g := gate.New(gate.Options{Total: total, Each: total / 4, Stay: stay, Crowded: func(key string, soFar uint64) {
			s.o.Log.Warn("too many connections to the API: the oldest of whoever has the most are closed", "connections", name, "most_from", key, "so_far", soFar)
		}})
		s.o.Registry.MustRegister(TurnedOut(name, g))
		return g
	}
	return gates{strangers: one("strangers", s.o.strangers, s.o.strangerTime), known: one("signed-in", s.o.MaxConnections, 0), local: one("local", s.o.MaxConnections, 0)}
}

// TurnedOut is the metric of a gate's connections that were closed for lack of room.
func TurnedOut(name string, g *gate.Gate) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "drover_connections_turned_out_total",
		Help:        "Connections closed because there were too many, by what they were: strangers to the API, signed-in, local, migration (strangers to the migration port).",
		ConstLabels: prometheus.Labels{"connections": name}}, func() float64 { return float64(g.TurnedOut()) })
}

// signedIn moves a connection from the strangers to the known; false when it was
// turned out before.
func (g gates) signedIn(conn *tls.Conn, c Caller) bool {
	p, ok := conn.NetConn().(*gate.Conn)
	return ok && p.Pass(g.known, c.Name())
}

// byUser is the user at the other end of the unix socket.
func byUser(c net.Conn) string {
	u, ok := unixConn(c)
	if !ok {
		return ""
	}
	cred, err := credentials(u)
	if err != nil {
		return ""
	}
	return strconv.FormatUint(uint64(cred.Uid), 10)
}
