package krb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/go-krb5/krb5/iana/errorcode"
	"github.com/go-krb5/krb5/iana/etypeID"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/nametype"
	"github.com/go-krb5/krb5/iana/patype"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

// Conf is krb5.conf as a check looks at it.
type Conf struct {
	Path string
	kdcs *realmKDCs
}

// ReadConf reads krb5.conf; "" is as for Config. A missing file is an empty one, as
// long as nobody named it.
func ReadConf(path string) (*Conf, error) {
	kdcs, err := loadConf(path)
	if err != nil {
		return nil, err
	}
	path, _ = confPath(path)
	return &Conf{Path: path, kdcs: kdcs}, nil
}

// DefaultRealm is the realm of names that say none.
func (c *Conf) DefaultRealm() string { return c.kdcs.defaultRealm() }

// KDCs are those that the file names for a realm, host:port; none means that DNS is
// asked for them.
func (c *Conf) KDCs(realm string) []string {
	for _, r := range c.kdcs.conf.Realms {
		if strings.EqualFold(r.Realm, realm) {
			return append([]string(nil), r.KDC...)
		}
	}
	return nil
}

// Mapping is the name by which [domain_realm] has a realm for a host, itself or a domain
// with its dot, and the realm.
func (c *Conf) Mapping(host string) (name, realm string) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for name = host; name != ""; {
		if realm, there := c.kdcs.conf.DomainRealm[name]; there {
			return name, realm
		}
		_, rest, more := strings.Cut(strings.TrimPrefix(name, "."), ".")
		if !more {
			break
		}
		name = "." + rest
	}
	return "", ""
}

// maxDatagram is how much of a reply is read; one that is larger is asked for by TCP.
const maxDatagram = 64 << 10

// KDCAnswer is what a KDC says to a request for a ticket that carries no proof.
type KDCAnswer struct {
	// Code is of the KRB_ERROR, 0 when the KDC gave a ticket without a proof.
	Code int32
	// Text is the code in words.
	Text string
	// Clock is the KDC's, the zero time when the answer does not have it.
	Clock time.Time
	// At is this machine's clock in the middle of the exchange, to hold against Clock.
	At time.Time
	// RC4Only says that of the account's keys the KDC offers none that is AES.
	RC4Only bool
}

// AskKDC asks one KDC over "tcp" or "udp" for a ticket-granting ticket of an account,
// without a proof of who asks, which is how every sign-in begins: the KDC counts no
// failed attempt for it. Any answer shows that it is there, and nearly every one has
// its clock.
func AskKDC(ctx context.Context, network, address, realm, account string, now func() time.Time) (KDCAnswer, error) {
	if now == nil {
		now = time.Now
	}
	c := realmClient{realm: realm, now: now}
	var req messages.ASReq
	req.PVNO, req.MsgType = 5, 10
	req.ReqBody = c.body([]int{flags.Forwardable}, types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", realm}})
	req.ReqBody.CName = types.PrincipalName{NameType: nametype.KRB_NT_PRINCIPAL, NameString: []string{account}}
	// A KDC names keys of the types that are asked for. Samba 4.17, asked for AES only,
	// names none for an account that has RC4 alone.
	req.ReqBody.EType = append(slices.Clone(requestEtypes), etypeID.RC4_HMAC)
	b, err := req.Marshal()
	if err != nil {
		return KDCAnswer{}, fmt.Errorf("AS: %w", err)
	}
	began := now()
	var rep []byte
	if network == "udp" {
		rep, err = askDatagram(ctx, address, b)
	} else {
		rep, err = exchangeWith(ctx, address, b)
	}
	if err != nil {
		return KDCAnswer{}, err
	}
	a := KDCAnswer{At: began.Add(now().Sub(began) / 2)}
	const asReply = 0x6b // tag of an AS-REP, [APPLICATION 11]
	if err = replyError("AS", rep); err == nil && (len(rep) == 0 || rep[0] != asReply) {
		return KDCAnswer{}, errors.New("what answers there does not speak Kerberos")
	}
	var ke *kdcError
	if err != nil && !errors.As(err, &ke) {
		return KDCAnswer{}, err
	}
	if ke != nil {
		a.Code, a.Text, a.Clock = ke.Code, errorcode.Lookup(ke.Code), ke.Time
		a.RC4Only = ke.Code == errorcode.KDC_ERR_ETYPE_NOSUPP || ke.Code == errorcode.KDC_ERR_PREAUTH_REQUIRED && offersNoAES(ke.edata)
	}
	return a, nil
}

// offersNoAES says that a KDC named encryption types, and none that is AES.
func offersNoAES(edata []byte) bool {
	var offer types.PADataSequence
	if guard("preauthentication data", func() error { return offer.Unmarshal(edata) }) != nil {
		return false
	}
	named := false
	for _, pa := range offer {
		named = named || pa.PADataType == patype.PA_ETYPE_INFO2
	}
	_, err := offeredEtype(offer, 0)
	return named && err != nil
}

// askDatagram does one request over UDP (RFC 4120 7.2.1). What gets lost is sent
// again, since a loss is no answer.
func askDatagram(ctx context.Context, address string, req []byte) ([]byte, error) {
	const tries = 2
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	wait := exchangeTimeout
	if t, ok := ctx.Deadline(); ok {
		wait = time.Until(t)
	}
	buf := make([]byte, maxDatagram)
	for try := 1; ; try++ {
		if err := c.SetDeadline(time.Now().Add(wait / tries)); err != nil {
			return nil, err
		}
		if _, err = c.Write(req); err == nil {
			var n int
			if n, err = c.Read(buf); err == nil && n > 0 {
				return buf[:n], nil
			}
		}
		if try == tries || ctx.Err() != nil {
			if err == nil {
				err = errors.New("an empty datagram")
			}
			return nil, err
		}
	}
}

// Authenticated is when the operator's ticket-granting ticket was issued.
func (o *Operator) Authenticated() time.Time { return o.tgt.obtained }

// AccountKey describes the newest key of an account in a keytab.
type AccountKey struct {
	Version int
	AES     bool // one of that version is AES
}

// NewestKey is the newest key that a list has for an account, by sAMAccountName; it
// says whether there is any.
func NewestKey(keys []KeytabKey, account string) (k AccountKey, found bool) {
	for _, e := range keys {
		user, _, _ := strings.Cut(e.Principal, "@")
		if !strings.EqualFold(user, account) || found && e.Version < k.Version {
			continue
		}
		if !found || e.Version > k.Version {
			k = AccountKey{Version: e.Version}
		}
		found, k.AES = true, k.AES || e.AES
	}
	return k, found
}
