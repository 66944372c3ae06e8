package look

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// The zone of a name is what the server has authority of, wherever the name is cut.
func TestZoneOfAName(t *testing.T) {
	const zone = "77.10.in-addr.arpa."
	soa := func(of string) []dns.RR {
		rr, err := dns.NewRR(of + " 3600 IN SOA dc1.example.org. hostmaster.example.org. 1 900 600 86400 3600")
		if err != nil {
			t.Fatal(err)
		}
		return []dns.RR{rr}
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	started, ended := make(chan struct{}), make(chan struct{})
	s := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		switch q.Question[0].Name {
		case zone:
			r.Answer = soa(zone)
		case "12.0.77.10.in-addr.arpa.":
			r.Ns = soa(zone)
		case "13.0.77.10.in-addr.arpa.":
			r.Ns, r.Rcode = soa(zone), dns.RcodeNameError
		case "1.0.0.10.in-addr.arpa.":
			r.Ns = soa(zone) // of which the name is not
		}
		_ = w.WriteMsg(r)
	})}
	go func() {
		defer close(ended)
		_ = s.ActivateAndServe()
	}()
	<-started
	t.Cleanup(func() {
		_ = s.ShutdownContext(context.Background())
		<-ended
	})
	m := Machine{Patience: 10 * time.Second}
	for name, want := range map[string]string{"12.0.77.10.in-addr.arpa": "77.10.in-addr.arpa", "13.0.77.10.in-addr.arpa": "77.10.in-addr.arpa",
		"77.10.in-addr.arpa": "77.10.in-addr.arpa", "1.0.0.10.in-addr.arpa": "", "2.0.0.10.in-addr.arpa": ""} {
		if got := m.Zone(t.Context(), pc.LocalAddr().String(), name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := m.Zone(t.Context(), "127.0.0.1:1", zone); got != "" {
		t.Errorf("%q", got)
	}
}
