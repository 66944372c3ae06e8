package krb

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-krb5/krb5/iana/chksumtype"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
)

// Flags of the checksum 0x8003 (RFC 4121 4.1.1.1).
const (
	gssDeleg, gssMutual, gssReplay, gssSequence, gssConf, gssInteg = 1, 2, 4, 8, 16, 32
)

// Flags of MIC and Wrap tokens (RFC 4121 4.2.2).
const (
	flagSentByAcceptor, flagSealed, flagAcceptorSubkey = 1, 2, 4
)

var (
	errNotEstablished = errors.New("security context is not established")
	errMIC            = errors.New("message does not verify under the context's key")
)

// Context is one end of a security context. It is made by Initiate, which needs
// Complete before it can be used, or by Host.Accept. Its methods may be called
// from several goroutines.
type Context struct {
	acceptor bool
	peer     string // initiator: the service asked for; acceptor: the principal
	identity Identity
	evidence *Evidence

	mu          sync.Mutex
	session     types.EncryptionKey
	key         types.EncryptionKey // the subkey in force
	ackSubkey   bool                // key is the acceptor's
	established bool
	sendSeq     uint64
	recvSeq     uint64 // lowest sequence number that Unwrap still takes

	ctime time.Time // initiator: what the AP-REP must echo
	cusec int
}

// Initiate starts a context with mutual authentication. Its token is a raw
// Kerberos token; NegTokenInit wraps it for HTTP Negotiate. With a binding the
// acceptor refuses the token on any other TLS session; nil is for connections
// without TLS.
func Initiate(t *Ticket, binding Binding) (*Context, []byte, error) {
	if binding != nil && len(binding) != bindingSize {
		return nil, nil, fmt.Errorf("initiate: binding has %d bytes, want %d", len(binding), bindingSize)
	}
	return initiate(t, bindingHash(binding), gssMutual|gssReplay|gssSequence|gssConf|gssInteg)
}

func initiate(t *Ticket, hash [16]byte, gssFlags uint32) (*Context, []byte, error) {
	if t == nil {
		return nil, nil, errors.New("initiate: no ticket")
	}
	if _, err := cipherOf(t.key); err != nil {
		return nil, nil, fmt.Errorf("initiate: %w", err)
	}
	now := t.now().UTC()
	c := &Context{session: t.key, key: newKey(t.key), sendSeq: randomSeq(), peer: t.service,
		ctime: now.Truncate(time.Second), cusec: usec(now)}
	ck := binary.LittleEndian.AppendUint32(nil, 16)
	ck = append(ck, hash[:]...)
	ck = binary.LittleEndian.AppendUint32(ck, gssFlags)
	auth := types.Authenticator{AVNO: 5, CRealm: t.crealm, CName: t.cname, CTime: c.ctime, Cusec: c.cusec,
		SubKey: c.key, SeqNumber: int64(c.sendSeq), Cksum: types.Checksum{CksumType: chksumtype.GSSAPI, Checksum: ck}}
	b, err := marshalAPReq(t.ticket, t.key, auth, keyusage.AP_REQ_AUTHENTICATOR, true)
	if err != nil {
		return nil, nil, fmt.Errorf("initiate: %w", err)
	}
	return c, gssFrame(tokAPReq, b), nil
}

// marshalAPReq makes KRB_AP_REQ (RFC 4120 5.5.1).
func marshalAPReq(t messages.Ticket, key types.EncryptionKey, a types.Authenticator, usage uint32, mutual bool) ([]byte, error) {
	ab, err := a.Marshal()
	if err != nil {
		return nil, err
	}
	ed, err := encrypt(key, ab, usage)
	if err != nil {
		return nil, err
	}
	req := messages.APReq{PVNO: 5, MsgType: 14, APOptions: types.NewKrbFlags(), Ticket: wireTicket(t), EncryptedAuthenticator: ed}
	if mutual {
		types.SetFlag(&req.APOptions, flags.APOptionMutualRequired)
	}
	return req.Marshal()
}

// Complete checks the acceptor's reply, raw or in SPNEGO. A reply that does not
// echo our time stamp under the session key is refused: whoever sent it could not
// read the ticket.
func (c *Context) Complete(reply []byte) error {
	if err := guard("reply of "+c.peer, func() error { return c.complete(reply) }); err != nil {
		return fault.Wrap(err, fault.AuthRefused, c.peerHost(), "reason", "its answer does not prove that it holds the key of its account")
	}
	return nil
}

func (c *Context) complete(reply []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acceptor || c.established {
		return errors.New("context expects no reply")
	}
	mech, err := spnegoReply(reply)
	if err != nil {
		return err
	}
	id, body, err := gssUnframe(mech)
	if err != nil {
		return err
	}
	if id == tokError {
		var ke messages.KRBError
		if err := ke.Unmarshal(body); err != nil {
			return err
		}
		return &kdcError{Step: "AP-REQ", Code: ke.ErrorCode, Text: ke.EText}
	}
	if id != tokAPRep {
		return fmt.Errorf("token %04x instead of AP-REP: %w", id, errToken)
	}
	var rep messages.APRep
	if err := rep.Unmarshal(body); err != nil {
		return err
	}
	plain, err := decrypt(c.session, rep.EncPart.Cipher, keyusage.AP_REP_ENCPART)
	if err != nil {
		return err
	}
	var p encAPRepPart
	if err := derUnmarshalApp(plain, &p, appEncAPRep); err != nil {
		return err
	}
	if p.CTime.Unix() != c.ctime.Unix() || p.Cusec != c.cusec {
		return errors.New("AP-REP does not echo our time stamp")
	}
	if len(p.Subkey.KeyValue) > 0 {
		if _, err := cipherOf(p.Subkey); err != nil {
			return err
		}
		c.key, c.ackSubkey = p.Subkey, true
	}
	c.recvSeq, c.established = uint64(uint32(p.Seq)), true
	return nil
}

// apRep makes the acceptor's reply and switches to its subkey.
func (c *Context) apRep(ctime time.Time, cusec int) ([]byte, error) {
	c.key, c.ackSubkey, c.sendSeq = newKey(c.session), true, randomSeq()
	plain, err := derMarshalApp(encAPRepPart{ctime, cusec, c.key, int64(c.sendSeq)}, appEncAPRep)
	if err != nil {
		return nil, err
	}
	ed, err := encrypt(c.session, plain, keyusage.AP_REP_ENCPART)
	if err != nil {
		return nil, err
	}
	b, err := derMarshalApp(messages.APRep{PVNO: 5, MsgType: 15, EncPart: ed}, appAPRep)
	if err != nil {
		return nil, err
	}
	return gssFrame(tokAPRep, b), nil
}

// Identity is who the peer is; on the initiator's side it is empty.
func (c *Context) Identity() Identity { return c.identity }

// Evidence is the accepted ticket, for Host.Delegate. Only an acceptor has one.
func (c *Context) Evidence() (Evidence, error) {
	if c.evidence == nil {
		return Evidence{}, errors.New("only an accepted context has evidence")
	}
	return *c.evidence, nil
}

// peerHost names the host at the other end for faults.
func (c *Context) peerHost() string {
	if c.acceptor {
		return ""
	}
	return hostOfService(c.peer)
}

// header starts a token of RFC 4121 4.2.6 and takes the next sequence number.
func (c *Context) header(id0, id1, extra, filler byte) []byte {
	h := bytes.Repeat([]byte{filler}, 16)
	h[0], h[1], h[2], h[3] = id0, id1, extra, 0xff
	if c.acceptor {
		h[2] |= flagSentByAcceptor
	}
	if c.ackSubkey {
		h[2] |= flagAcceptorSubkey
	}
	binary.BigEndian.PutUint64(h[8:], c.sendSeq)
	c.sendSeq++
	return h
}

// usage picks the key usage of RFC 4121 2 by direction.
func (c *Context) usage(sending bool, initiator, acceptor uint32) uint32 {
	if c.acceptor == sending {
		return acceptor
	}
	return initiator
}

// MIC signs msg (RFC 4121 4.2.6.1).
func (c *Context) MIC(msg []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.established {
		return nil, errNotEstablished
	}
	et, err := cipherOf(c.key)
	if err != nil {
		return nil, err
	}
	h := c.header(4, 4, 0, 0xff)
	ck, err := et.GetChecksumHash(c.key.KeyValue, append(bytes.Clone(msg), h...),
		c.usage(true, keyusage.GSSAPI_INITIATOR_SIGN, keyusage.GSSAPI_ACCEPTOR_SIGN))
	return append(h, ck...), err
}

// VerifyMIC checks what the peer's MIC made. It does not keep count: a MIC is
// good for as often as it is shown, so what it covers must say what it is for.
func (c *Context) VerifyMIC(msg, mic []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.established {
		return errNotEstablished
	}
	if len(mic) < 16 || !bytes.Equal(mic[:2], []byte{4, 4}) || !bytes.Equal(mic[3:8], []byte{255, 255, 255, 255, 255}) {
		return fmt.Errorf("MIC: %w", errToken)
	}
	if err := c.checkFlags(mic[2]); err != nil {
		return err
	}
	et, err := cipherOf(c.key)
	if err != nil {
		return err
	}
	want, err := et.GetChecksumHash(c.key.KeyValue, append(bytes.Clone(msg), mic[:16]...),
		c.usage(false, keyusage.GSSAPI_INITIATOR_SIGN, keyusage.GSSAPI_ACCEPTOR_SIGN))
	if err != nil {
		return err
	}
	if !hmac.Equal(want, mic[16:]) {
		return errMIC
	}
	return nil
}

// checkFlags refuses our own tokens sent back to us, and other keys than ours.
func (c *Context) checkFlags(f byte) error {
	if (f&flagSentByAcceptor != 0) == c.acceptor {
		return fmt.Errorf("token is from the wrong end: %w", errToken)
	}
	if (f&flagAcceptorSubkey != 0) != c.ackSubkey {
		return fmt.Errorf("token is under another key: %w", errToken)
	}
	return nil
}
