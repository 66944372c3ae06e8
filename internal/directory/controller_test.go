package directory

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// controllerStub is a controller that answers binds, and searches by their base.
type controllerStub struct {
	listener net.Listener
	tls      *tls.Config
	bind     uint16 // result of binds
	text     string // diagnostic message of it
	objects  map[string]map[string][]string
	// below are the objects that a search of more than its base finds, by the base.
	below map[string][]string
	// cutAt is the base of the search in which the controller goes away.
	cutAt string
	// say, when set, answers what it has an answer for.
	say func(asked) *answer

	mu    sync.Mutex
	binds []string // names, or "GSSAPI"
	conns []net.Conn
}

const stubSID = "\x01\x04\x00\x00\x00\x00\x00\x05\x15\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00"

// stub is a controller of a domain, in the forest example.test with the domains
// example.test, a.example.test and b.a.example.test.
func stub(t *testing.T, domain string) *controllerStub {
	t.Helper()
	base := "DC=" + strings.ReplaceAll(domain, ".", ",DC=")
	const forest = "DC=example,DC=test"
	const config = "CN=Configuration," + forest
	ds := "CN=NTDS Settings,CN=DC1,CN=Servers,CN=Default,CN=Sites," + config
	c := &controllerStub{
		objects: map[string]map[string][]string{
			"": {"defaultNamingContext": {base}, "configurationNamingContext": {config}, "rootDomainNamingContext": {forest},
				"dnsHostName": {"dc1." + domain}, "dsServiceName": {ds}, "isGlobalCatalogReady": {"TRUE"}},
			base: {"objectSid": {stubSID}},
			ds:   {"invocationId": {"\x33\x22\x11\x00\x55\x44\x77\x66\x88\x99\xaa\xbb\xcc\xdd\xee\xff"}},
		},
		below: map[string][]string{"CN=Sites," + config: {ds, "CN=NTDS Settings,CN=DC2," + config}},
	}
	for cn, dn := range map[string]string{"EXAMPLE": forest, "A": "DC=a," + forest, "B": "DC=b,DC=a," + forest} {
		ref := "CN=" + cn + ",CN=Partitions," + config
		c.objects[ref] = map[string][]string{"nCName": {dn}, "nETBIOSName": {cn}}
		c.below["CN=Partitions,"+config] = append(c.below["CN=Partitions,"+config], ref)
	}
	return c
}

// serve starts the controller; it ends with the test.
func (c *controllerStub) serve(t *testing.T) *controllerStub {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.listener = l
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if c.tls != nil {
				conn = tls.Server(conn, c.tls)
			}
			c.mu.Lock()
			c.conns = append(c.conns, conn)
			c.mu.Unlock()
			wg.Go(func() { c.talk(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); c.hangUp(); wg.Wait() })
	return c
}

// hangUp closes every connection.
func (c *controllerStub) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		conn.Close()
	}
}

func (c *controllerStub) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.binds...)
}

func (c *controllerStub) talk(conn net.Conn) {
	defer conn.Close()
	layer := &sealedConn{Conn: conn, raw: conn, security: mirror{}}
	for {
		p, err := ber.ReadPacket(layer)
		if err != nil || len(p.Children) < 2 {
			return
		}
		id, op := p.Children[0].Value.(int64), p.Children[1]
		if c.say != nil && op.Tag != ldap.ApplicationBindRequest && op.Tag != ldap.ApplicationUnbindRequest {
			q := parseAsked(p)
			if a := c.say(q); a != nil {
				reply(layer, id, q, *a)
				continue
			}
		}
		switch op.Tag {
		case ldap.ApplicationBindRequest:
			c.answerBind(layer, id, op)
		case ldap.ApplicationSearchRequest:
			c.answerSearch(layer, id, op)
		default:
			return
		}
	}
}

func (c *controllerStub) answerBind(layer *sealedConn, id int64, op *ber.Packet) {
	auth := op.Children[2]
	name := op.Children[1].Value.(string)
	sasl := auth.Tag == 3
	if sasl {
		name = "GSSAPI"
	}
	c.mu.Lock()
	c.binds = append(c.binds, name)
	turn := len(c.binds)
	c.mu.Unlock()
	r := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindResponse, nil, "")
	switch {
	case c.bind != 0 || !sasl:
		result(r, c.bind, c.text)
	case turn%2 == 1: // the token, then the layer
		result(r, 14, "")
		r.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 7, "token", ""))
	default:
		result(r, 0, "")
	}
	write(layer, id, r)
	if sasl && turn%2 == 0 && c.tls == nil && c.bind == 0 {
		layer.sealed.Store(true)
	}
}

func (c *controllerStub) answerSearch(layer *sealedConn, id int64, op *ber.Packet) {
	base, scope := op.Children[0].Value.(string), op.Children[1].Value.(int64)
	found := []string{base}
	if c.cutAt != "" && base == c.cutAt {
		layer.Close()
		return
	}
	if scope != ldap.ScopeBaseObject {
		found = c.below[base]
	}
	done := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultDone, nil, "")
	if c.objects[base] == nil && c.below[base] == nil {
		result(done, ldap.LDAPResultNoSuchObject, "")
		write(layer, id, done)
		return
	}
	for _, dn := range found {
		e := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationSearchResultEntry, nil, "")
		e.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, dn, ""))
		attributes := ber.NewSequence("")
		for name, values := range c.objects[dn] {
			a, set := ber.NewSequence(""), ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
			a.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, name, ""))
			for _, v := range values {
				set.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, v, ""))
			}
			a.AppendChild(set)
			attributes.AppendChild(a)
		}
		e.AppendChild(attributes)
		write(layer, id, e)
	}
	result(done, 0, "")
	write(layer, id, done)
}

// result fills in an LDAPResult (RFC 4511 4.1.9).
func result(r *ber.Packet, code uint16, text string) {
	r.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, int64(code), ""))
	r.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	r.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, text, ""))
}

func write(layer *sealedConn, id int64, op *ber.Packet) {
	m := ber.NewSequence("")
	m.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	m.AppendChild(op)
	layer.Write(m.Bytes())
}

// network is a Dial that knows controllers by "name:port", and remembers who was
// called.
type network struct {
	mu     sync.Mutex
	at     map[string]*controllerStub
	called []string
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.called = append(n.called, address)
	c := n.at[address]
	n.mu.Unlock()
	if c == nil {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	return (&net.Dialer{}).DialContext(ctx, "tcp", c.listener.Addr().String())
}

func (n *network) calls() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := strings.Join(n.called, " ")
	n.called = nil
	return s
}

// zone answers SRV queries, keyed by "_service._tcp.name".
type zone map[string][]*net.SRV

func (z zone) lookup(_ context.Context, service, proto, name string) (string, []*net.SRV, error) {
	key := "_" + service + "._" + proto + "." + name
	if z[key] == nil {
		return "", nil, errors.New("no such host: " + key)
	}
	return key, z[key], nil
}

// mirrored are options of somebody whose layer is mirror's.
func mirrored(n *network, servers ...string) Options {
	return Options{Domain: "example.test", Servers: servers, Principal: "alice@EXAMPLE.TEST", Dial: n.dial,
		LookupSRV: zone{}.lookup, Security: func(context.Context, *tls.ConnectionState) Security { return mirror{} }}
}

// authority makes a certificate for names, and the pool that trusts it.
func authority(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func mustDial(t *testing.T, o Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func srv(host string, port uint16) *net.SRV { return &net.SRV{Target: host + ".", Port: port} }
