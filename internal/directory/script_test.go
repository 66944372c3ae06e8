package directory

import (
	"net"
	"slices"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// asked is a request as a scripted controller sees it.
type asked struct {
	op         uint64 // ldap.Application...
	dn         string
	scope      int64
	filter     string
	attributes []string
	cookie     string
	controls   []string
}

// answer is what it says. A bind is not needed.
type answer struct {
	entries []*ldap.Entry
	refer   string // a reference to elsewhere, in front of the entries
	cookie  string // of the next page
	code    uint16
	text    string
}

// scripted connects to a controller of lab.test that answers by a function, and
// notes what it was asked.
func scripted(t *testing.T, kind Controller, say func(asked) answer) (*Conn, *[]asked) {
	t.Helper()
	near, far := net.Pipe()
	wire := &sealedConn{Conn: near, raw: near}
	wire.known.Store(true)
	c := &Conn{ldap: ldap.NewConn(wire, false), wire: wire, kind: kind, base: "DC=lab,DC=test", host: "dc1.lab.test",
		says: Root{Domain: "lab.test", ConfigDN: "CN=Configuration,DC=lab,DC=test"}}
	c.ldap.Start()
	var all []asked
	done := make(chan struct{})
	go func() {
		defer close(done)
		layer := &sealedConn{Conn: far, raw: far}
		for {
			p, err := ber.ReadPacket(layer)
			if err != nil || p.Children[1].Tag == ldap.ApplicationUnbindRequest {
				return
			}
			q := parseAsked(p)
			all = append(all, q)
			reply(layer, p.Children[0].Value.(int64), q, say(q))
		}
	}()
	t.Cleanup(func() { c.Close(); far.Close(); <-done })
	return c, &all
}

func parseAsked(p *ber.Packet) asked {
	op := p.Children[1]
	q := asked{op: uint64(op.Tag)}
	switch op.Tag {
	case ldap.ApplicationDelRequest:
		q.dn = op.Data.String()
	case ldap.ApplicationSearchRequest:
		q.dn, q.scope = op.Children[0].Value.(string), op.Children[1].Value.(int64)
		q.filter, _ = ldap.DecompileFilter(op.Children[6])
		for _, a := range op.Children[7].Children {
			q.attributes = append(q.attributes, a.Value.(string))
		}
	default:
		q.dn = op.Children[0].Value.(string)
	}
	if len(p.Children) > 2 {
		for _, child := range p.Children[2].Children {
			q.controls = append(q.controls, child.Children[0].Value.(string))
			if c, err := ldap.DecodeControl(child); err == nil {
				if page, ok := c.(*ldap.ControlPaging); ok {
					q.cookie = string(page.Cookie)
				}
			}
		}
	}
	return q
}

func reply(layer *sealedConn, id int64, q asked, a answer) {
	tag := map[uint64]ber.Tag{ldap.ApplicationSearchRequest: ldap.ApplicationSearchResultDone, ldap.ApplicationModifyRequest: ldap.ApplicationModifyResponse,
		ldap.ApplicationAddRequest: ldap.ApplicationAddResponse, ldap.ApplicationDelRequest: ldap.ApplicationDelResponse}[q.op]
	text := func(s string) *ber.Packet {
		return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
	}
	if a.refer != "" {
		r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultReference, nil, "")
		r.AppendChild(text(a.refer))
		write(layer, id, r)
	}
	for _, e := range a.entries {
		p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
		attributes := ber.NewSequence("")
		for _, x := range e.Attributes {
			one, set := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			for _, v := range x.Values {
				set.AppendChild(text(v))
			}
			one.AppendChild(text(x.Name))
			one.AppendChild(set)
			attributes.AppendChild(one)
		}
		p.AppendChild(text(e.DN))
		p.AppendChild(attributes)
		write(layer, id, p)
	}
	done := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	result(done, a.code, a.text)
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	m.AppendChild(done)
	if slices.Contains(q.controls, ldap.ControlTypePaging) {
		page := ldap.NewControlPaging(0)
		page.SetCookie([]byte(a.cookie))
		controls := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		controls.AppendChild(page.Encode())
		m.AppendChild(controls)
	}
	layer.Write(m.Bytes())
}
