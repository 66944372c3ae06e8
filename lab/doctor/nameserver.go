package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/miekg/dns"

	"drover/lab"
)

// nameServer runs a name server on a member that says what the domain's says, but for
// the address of one name: where lies is "", that there is no such name.
func (w *World) nameServer(ctx context.Context, member, address, name, lies string) error {
	pc, err := w.Member(member).ListenPacket(ctx, "udp", address+":53")
	if err != nil {
		return err
	}
	right := w.Member(lab.DC1).Address(lab.Management) + ":53"
	handler := dns.HandlerFunc(func(out dns.ResponseWriter, q *dns.Msg) {
		if lies == "" && q.Question[0].Name == dns.Fqdn(name) {
			_ = out.WriteMsg(new(dns.Msg).SetRcode(q, dns.RcodeNameError))
			return
		}
		if q.Question[0].Name == dns.Fqdn(name) && q.Question[0].Qtype == dns.TypeA {
			r := new(dns.Msg)
			r.SetReply(q)
			if rr, err := dns.NewRR(fmt.Sprintf("%s 300 IN A %s", dns.Fqdn(name), lies)); err == nil {
				r.Answer = append(r.Answer, rr)
			}
			_ = out.WriteMsg(r)
			return
		}
		conn, err := w.Member(member).Dial(ctx, "udp", right)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		c := dns.Client{Timeout: time.Second}
		if r, _, err := c.ExchangeWithConn(q, &dns.Conn{Conn: conn}); err == nil {
			_ = out.WriteMsg(r)
		}
	})
	s := &dns.Server{PacketConn: pc, Handler: handler}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.ActivateAndServe() }()
	w.stops = append(w.stops, func() { _ = pc.Close(); <-ended })
	return nil
}

// stop ends what a case has started.
func (w *World) stop() {
	for _, s := range w.stops {
		s()
	}
	w.stops = nil
}
