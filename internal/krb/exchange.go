package krb

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	krbasn1 "github.com/go-krb5/x/encoding/asn1"

	"github.com/go-krb5/krb5/crypto"
	"github.com/go-krb5/krb5/crypto/rfc4757"
	"github.com/go-krb5/krb5/iana/errorcode"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/iana/nametype"
	"github.com/go-krb5/krb5/iana/patype"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

const (
	flagForwardable      = flags.Forwardable
	optCNameInAddlTicket = 14   // MS-SFU 2.2.3
	paPACOptions         = 167  // MS-KILE 2.2.10
	pacOptResourceBased  = 3    // its bit for resource-based constrained delegation
	checksumHMACMD5      = -138 // of PA-FOR-USER, whatever the session key's type
	ticketLifetime       = 10 * time.Hour
	maxIterations        = 1 << 20 // of string-to-key; AD uses 4096
)

// secret makes the reply key of an AS exchange: from a password or a keytab.
type secret func(info types.ETypeInfo2Entry) (types.EncryptionKey, error)

// realmClient makes requests to the KDCs of one realm for one account.
type realmClient struct {
	kdcs  *realmKDCs
	realm string
	now   func() time.Time
}

func (c *realmClient) body(opts []int, sname types.PrincipalName) messages.KDCReqBody {
	b := messages.KDCReqBody{KDCOptions: types.NewKrbFlags(), Realm: c.realm, SName: sname,
		Till: c.now().UTC().Add(ticketLifetime), Nonce: int(binary.BigEndian.Uint32(random(4)) >> 1), EType: requestEtypes}
	types.SetFlags(&b.KDCOptions, opts)
	return b
}

// asExchange gets a forwardable ticket-granting ticket (RFC 4120 3.1). The first
// request carries no proof; the KDC answers it with the salt.
func (c *realmClient) asExchange(ctx context.Context, cname types.PrincipalName, sec secret) (*Ticket, error) {
	sname := types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: []string{"krbtgt", c.realm}}
	var req messages.ASReq
	req.PVNO, req.MsgType = 5, 10
	req.ReqBody = c.body([]int{flags.Forwardable}, sname)
	req.ReqBody.CName = cname
	var key types.EncryptionKey // the reply key, once the KDC has told the salt
	rb, err := c.sendAS(ctx, &req)
	if kdcCode(err) == errorcode.KDC_ERR_PREAUTH_REQUIRED {
		var ke *kdcError
		errors.As(err, &ke)
		if req.PAData, key, err = c.preauth(ke.edata, sec); err != nil {
			return nil, fmt.Errorf("AS: %w", err)
		}
		rb, err = c.sendAS(ctx, &req)
	}
	if err != nil {
		return nil, err
	}
	return c.openAS(rb, &req, key, sec)
}

func (c *realmClient) sendAS(ctx context.Context, req *messages.ASReq) ([]byte, error) {
	b, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("AS: %w", err)
	}
	return c.kdcs.exchange(ctx, "AS", c.realm, b)
}

// preauth makes PA-ENC-TIMESTAMP (RFC 4120 5.2.7.2) under the first encryption
// type of the KDC's offer that is AES.
func (c *realmClient) preauth(edata []byte, sec secret) (types.PADataSequence, types.EncryptionKey, error) {
	var offer types.PADataSequence
	var key types.EncryptionKey
	if err := guard("preauthentication data", func() error { return offer.Unmarshal(edata) }); err != nil {
		return nil, key, err
	}
	info, err := offeredEtype(offer, 0)
	if err != nil {
		return nil, key, err
	}
	if key, err = sec(info); err != nil {
		return nil, key, err
	}
	now := c.now().UTC()
	ts, err := derMarshal(types.PAEncTSEnc{PATimestamp: now, PAUSec: usec(now)})
	if err != nil {
		return nil, key, err
	}
	ed, err := encrypt(key, ts, keyusage.AS_REQ_PA_ENC_TIMESTAMP)
	if err != nil {
		return nil, key, err
	}
	v, err := ed.Marshal()
	return types.PADataSequence{{PADataType: patype.PA_ENC_TIMESTAMP, PADataValue: v}}, key, err
}

// offeredEtype finds the ETYPE-INFO2 entry of type want, or the first that is AES
// when want is 0.
func offeredEtype(offer types.PADataSequence, want int32) (types.ETypeInfo2Entry, error) {
	for _, pa := range offer {
		if pa.PADataType != patype.PA_ETYPE_INFO2 {
			continue
		}
		var info types.ETypeInfo2
		if err := guard("ETYPE-INFO2", func() error { return info.Unmarshal(pa.PADataValue) }); err != nil {
			return types.ETypeInfo2Entry{}, err
		}
		for _, e := range info {
			if e.EType == want || (want == 0 && isAES(e.EType)) {
				return e, nil
			}
		}
	}
	return types.ETypeInfo2Entry{}, errors.New("the KDC offers no AES key for the account (msDS-SupportedEncryptionTypes)")
}

// openAS decrypts and checks KRB_AS_REP (RFC 4120 3.1.5).
func (c *realmClient) openAS(rb []byte, req *messages.ASReq, key types.EncryptionKey, sec secret) (*Ticket, error) {
	var rep messages.ASRep
	if err := guard("AS-REP", func() error { return rep.Unmarshal(rb) }); err != nil {
		return nil, err
	}
	if key.KeyType != rep.EncPart.EType { // no preauthentication was asked for
		info, err := offeredEtype(rep.PAData, rep.EncPart.EType)
		if err != nil {
			return nil, err
		}
		if key, err = sec(info); err != nil {
			return nil, fmt.Errorf("AS: %w", err)
		}
	}
	plain, err := decrypt(key, rep.EncPart.Cipher, keyusage.AS_REP_ENCPART)
	if err != nil {
		return nil, fmt.Errorf("AS-REP: %w", err)
	}
	return c.checkReply(tgsWant{step: "AS", kind: KindTGT, cname: req.ReqBody.CName, crealm: c.realm}, &rep.KDCRepFields, plain, &req.ReqBody)
}

// checkReply does what both exchanges have in common: the reply must answer this
// request, for the client we meant and the service we named; where w.follow allows
// it, it may be a referral instead. A KDC that does not know S4U answers with the
// caller's own name (MS-SFU 3.1.5.1.1.2).
func (c *realmClient) checkReply(w tgsWant, rep *messages.KDCRepFields, plain []byte, req *messages.KDCReqBody) (*Ticket, error) {
	var d messages.EncKDCRepPart
	if err := guard(w.step+" reply", func() error { return d.Unmarshal(plain) }); err != nil {
		return nil, err
	}
	if _, err := cipherOf(d.Key); err != nil {
		return nil, fmt.Errorf("%s reply: %w", w.step, err)
	}
	t := &Ticket{kind: w.kind, ticket: rep.Ticket, key: d.Key, cname: rep.CName, crealm: rep.CRealm,
		service: nameString(req.SName), flags: d.Flags, end: d.EndTime, obtained: c.now(), now: c.now}
	if !sameName(d.SName, req.SName) && w.follow {
		t.referral = referralTo(d.SName)
	}
	switch {
	case d.Nonce != req.Nonce:
		return nil, fmt.Errorf("%s reply does not answer this request (nonce)", w.step)
	case !sameName(rep.CName, w.cname) || !equalRealm(rep.CRealm, w.crealm):
		return nil, fmt.Errorf("%s reply is for %s, asked for %s (a KDC without S4U?)", w.step,
			fullName(rep.CName, rep.CRealm), fullName(w.cname, w.crealm))
	case !sameName(d.SName, req.SName) && t.referral == "":
		return nil, fmt.Errorf("%s reply is for service %q, asked for %q%s", w.step, nameString(d.SName), nameString(req.SName), elsewhere(d.SName))
	case !equalRealm(d.SRealm, req.Realm):
		return nil, fmt.Errorf("%s reply is for realm %s, asked for %s", w.step, d.SRealm, req.Realm)
	case !c.now().Before(d.EndTime):
		return nil, fmt.Errorf("%s reply: the ticket ended at %s", w.step, d.EndTime.Format(time.RFC3339))
	case len(rep.Ticket.SName.NameString) == 0:
		return nil, fmt.Errorf("%s reply: ticket without a service name", w.step)
	}
	if t.referral != "" {
		t.kind, t.service = KindTGT, nameString(d.SName)
	}
	return t, nil
}

// elsewhere explains a referral where none is followed.
func elsewhere(sname types.PrincipalName) string {
	if realm := referralTo(sname); realm != "" {
		return " (the service is in the realm " + realm + "; in an operator's name this stays within one realm)"
	}
	return ""
}

// tgsWant is one TGS request.
type tgsWant struct {
	step, kind string
	sname      types.PrincipalName
	options    []int
	pa         types.PADataSequence
	additional []messages.Ticket
	cname      types.PrincipalName // the client the reply must be for
	crealm     string
	follow     bool // the reply may be a referral to another realm
}

// tgsExchange does RFC 4120 3.3 with tgt. Forwardable is asked for only when the
// TGT is: asking for more than the TGT allows gets BADOPTION for any ticket.
func (c *realmClient) tgsExchange(ctx context.Context, tgt *Ticket, w tgsWant) (*Ticket, error) {
	opts := w.options
	if tgt.Forwardable() {
		opts = append(opts[:len(opts):len(opts)], flags.Forwardable)
	}
	var req messages.TGSReq
	req.PVNO, req.MsgType = 5, 12
	req.ReqBody = c.body(opts, w.sname)
	req.ReqBody.AdditionalTickets = w.additional // before the checksum is taken
	ap, err := c.tgsAuth(tgt, &req.ReqBody)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.step, err)
	}
	req.PAData = append(types.PADataSequence{{PADataType: patype.PA_TGS_REQ, PADataValue: ap}}, w.pa...)
	b, err := req.Marshal()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.step, err)
	}
	rb, err := c.kdcs.exchange(ctx, w.step, c.realm, b)
	if err != nil {
		return nil, err
	}
	var rep messages.TGSRep
	if err := guard(w.step+" reply", func() error { return rep.Unmarshal(rb) }); err != nil {
		return nil, err
	}
	plain, err := decrypt(tgt.key, rep.EncPart.Cipher, keyusage.TGS_REP_ENCPART_SESSION_KEY)
	if err != nil {
		return nil, fmt.Errorf("%s reply: %w", w.step, err)
	}
	return c.checkReply(w, &rep.KDCRepFields, plain, &req.ReqBody)
}

// tgsAuth makes the AP-REQ of a TGS request, its authenticator covering the body.
func (c *realmClient) tgsAuth(tgt *Ticket, body *messages.KDCReqBody) ([]byte, error) {
	bb, err := body.Marshal()
	if err != nil {
		return nil, err
	}
	et, err := cipherOf(tgt.key)
	if err != nil {
		return nil, err
	}
	ck, err := et.GetChecksumHash(tgt.key.KeyValue, bb, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR_CHKSUM)
	if err != nil {
		return nil, err
	}
	now := c.now().UTC()
	a := types.Authenticator{AVNO: 5, CRealm: tgt.crealm, CName: tgt.cname, CTime: now.Truncate(time.Second), Cusec: usec(now),
		SeqNumber: int64(randomSeq()), Cksum: types.Checksum{CksumType: et.GetHashID(), Checksum: ck}}
	return marshalAPReq(tgt.ticket, tgt.key, a, keyusage.TGS_REQ_PA_TGS_REQ_AP_REQ_AUTHENTICATOR, false)
}

// paForUser is PA-FOR-USER (MS-SFU 2.2.1).
type paForUser struct {
	UserName    types.PrincipalName `asn1:"explicit,tag:0"`
	UserRealm   string              `asn1:"general,explicit,tag:1"`
	Cksum       types.Checksum      `asn1:"explicit,tag:2"`
	AuthPackage string              `asn1:"general,explicit,tag:3"`
}

// newPAForUser signs the user's name with the TGT's session key: HMAC-MD5 with
// key usage 17 over LE32(name type), name parts, realm, package.
func newPAForUser(user types.PrincipalName, realm string, key types.EncryptionKey) (types.PAData, error) {
	const pkg = "Kerberos"
	b := binary.LittleEndian.AppendUint32(nil, uint32(user.NameType))
	for _, n := range user.NameString {
		b = append(b, n...)
	}
	b = append(append(b, realm...), pkg...)
	sum, err := rfc4757.Checksum(key.KeyValue, keyusage.KERB_NON_KERB_CKSUM_SALT, b)
	if err != nil {
		return types.PAData{}, err
	}
	v, err := derMarshal(paForUser{user, realm, types.Checksum{CksumType: checksumHMACMD5, Checksum: sum}, pkg})
	return types.PAData{PADataType: patype.PA_FOR_USER, PADataValue: v}, err
}

// newPAPACOptions asks for resource-based delegation too where the target's
// account allows it; harmless otherwise.
func newPAPACOptions() (types.PAData, error) {
	o := struct {
		Flags krbasn1.BitString `asn1:"explicit,tag:0"`
	}{types.NewKrbFlags()}
	types.SetFlag(&o.Flags, pacOptResourceBased)
	v, err := derMarshal(o)
	return types.PAData{PADataType: paPACOptions, PADataValue: v}, err
}

// fromPassword derives the key with the salt that the KDC sent. The library's own
// function takes the algorithm of the first entry, whichever was chosen.
func fromPassword(password string) secret {
	return func(info types.ETypeInfo2Entry) (types.EncryptionKey, error) {
		key := types.EncryptionKey{KeyType: info.EType}
		et, err := crypto.GetEtype(info.EType)
		if err != nil {
			return key, err
		}
		params := et.GetDefaultStringToKeyParams()
		if len(info.S2KParams) == 4 {
			if n := binary.BigEndian.Uint32(info.S2KParams); n == 0 || n > maxIterations {
				return key, fmt.Errorf("the KDC asks for %d iterations", n)
			}
			params = hex.EncodeToString(info.S2KParams)
		}
		key.KeyValue, err = et.StringToKey(password, info.Salt, params)
		return key, err
	}
}
