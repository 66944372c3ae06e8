package krb

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-krb5/krb5/crypto"
	"github.com/go-krb5/krb5/iana/asn1apptag"
	"github.com/go-krb5/krb5/iana/chksumtype"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/keytab"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

// The forge plays the KDC: it has the host's key, so it can make any ticket.
const (
	testRealm  = "LAB.DROVER.TEST"
	testDomain = "S-1-5-21-1-2-3"
	testSPN    = "Microsoft Virtual System Migration Service/HV02"
	testKVNO   = 7
)

var testNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// forged describes a ticket and the request made with it. Change what the case is
// about and leave the rest.
type forged struct {
	client, realm   string
	authCName       string // the authenticator's, "" = client
	authRealm       string // "" = realm
	sname           []string
	etype           int32
	kvno            int
	flags           []int
	auth, end       time.Time
	ctime           time.Time
	binding         Binding
	checksumType    int32
	noPAC           bool
	pac             forgedPAC
	pacBytes        []byte // instead of pac
	key             types.EncryptionKey
	session         types.EncryptionKey
	mutual          bool
	authenticatorPT func(*types.Authenticator)
	mutate          func(*messages.APReq)
}

// forgedPAC is the content of a PAC.
type forgedPAC struct {
	name             string
	authTime         time.Time
	user, primary    uint32
	groups, resource []uint32
	extra            [][]uint32 // authority, sub-authorities
	target           string
	transited        []string
	damage           func([]byte) // after signing
}

func hostKey(et int32) types.EncryptionKey {
	e, err := crypto.GetEtype(et)
	if err != nil {
		panic(err)
	}
	k := make([]byte, e.GetKeyByteSize())
	for i := range k {
		k[i] = byte(i) + byte(et)
	}
	return types.EncryptionKey{KeyType: et, KeyValue: k}
}

func goodForge() forged {
	f := forged{client: "operator", realm: testRealm, sname: []string{"Microsoft Virtual System Migration Service", "HV02"},
		etype: 18, kvno: testKVNO, flags: []int{flags.Forwardable}, auth: testNow.Add(-time.Hour), end: testNow.Add(24 * time.Hour),
		ctime: testNow, checksumType: chksumtype.GSSAPI, key: hostKey(18), mutual: true}
	f.session = types.EncryptionKey{KeyType: 18, KeyValue: []byte("0123456789abcdef0123456789ABCDEF")}
	f.pac = forgedPAC{name: f.client, authTime: f.auth, user: 1104, primary: 513, groups: []uint32{513, 1103}, extra: [][]uint32{{18, 1}}}
	return f
}

// token makes the raw GSS token.
func (f forged) token(t testing.TB) []byte {
	t.Helper()
	req := f.apReq(t)
	b, err := req.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return gssFrame(tokAPReq, b)
}

func (f forged) apReq(t testing.TB) *messages.APReq {
	t.Helper()
	pn := func(s ...string) types.PrincipalName { return types.PrincipalName{NameType: 1, NameString: s} }
	enc := messages.EncTicketPart{Flags: types.NewKrbFlags(), Key: f.session, CRealm: f.realm, CName: pn(f.client),
		Transited: messages.TransitedEncoding{}, AuthTime: f.auth, StartTime: f.auth, EndTime: f.end}
	types.SetFlags(&enc.Flags, f.flags)
	if !f.noPAC {
		b := f.pacBytes
		if b == nil {
			b = f.pac.marshal(t, f.key)
		}
		inner, err := derMarshal(types.AuthorizationData{{ADType: 128, ADData: b}})
		if err != nil {
			t.Fatal(err)
		}
		enc.AuthorizationData = types.AuthorizationData{{ADType: 1, ADData: inner}}
	}
	plain, err := derMarshalApp(enc, asn1apptag.EncTicketPart)
	if err != nil {
		t.Fatal(err)
	}
	ed := mustEncrypt(t, f.key, plain, keyusage.KDC_REP_TICKET)
	ed.EType, ed.KVNO = f.etype, f.kvno
	hash := bindingHash(f.binding)
	ck := binary.LittleEndian.AppendUint32(nil, 16)
	ck = append(append(ck, hash[:]...), gssMutual, 0, 0, 0)
	a := types.Authenticator{AVNO: 5, CRealm: f.realm, CName: pn(f.client), CTime: f.ctime, SeqNumber: 42,
		SubKey: newKey(f.session), Cksum: types.Checksum{CksumType: f.checksumType, Checksum: ck}}
	if f.authCName != "" {
		a.CName = pn(f.authCName)
	}
	if f.authRealm != "" {
		a.CRealm = f.authRealm
	}
	if f.authenticatorPT != nil {
		f.authenticatorPT(&a)
	}
	ab, err := a.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	req := &messages.APReq{PVNO: 5, MsgType: 14, APOptions: types.NewKrbFlags(),
		Ticket:                 messages.Ticket{TktVNO: 5, Realm: testRealm, SName: types.PrincipalName{NameType: 2, NameString: f.sname}, EncPart: ed},
		EncryptedAuthenticator: mustEncrypt(t, f.session, ab, keyusage.AP_REQ_AUTHENTICATOR)}
	if f.mutual {
		types.SetFlag(&req.APOptions, flags.APOptionMutualRequired)
	}
	if f.mutate != nil {
		f.mutate(req)
	}
	return req
}

// ticket gives the same as a client would hold it.
func (f forged) ticket(t testing.TB) *Ticket {
	req := f.apReq(t)
	return &Ticket{kind: KindSelf, ticket: req.Ticket, key: f.session, cname: types.PrincipalName{NameType: 1, NameString: []string{f.client}},
		crealm: f.realm, service: testSPN, flags: types.NewKrbFlags(), end: f.end, now: func() time.Time { return f.ctime }}
}

func mustEncrypt(t testing.TB, k types.EncryptionKey, plain []byte, usage uint32) types.EncryptedData {
	t.Helper()
	et, err := crypto.GetEtype(k.KeyType)
	if err != nil {
		t.Fatal(err)
	}
	_, b, err := et.EncryptMessage(k.KeyValue, plain, usage)
	if err != nil {
		t.Fatal(err)
	}
	return types.EncryptedData{EType: k.KeyType, Cipher: b}
}

// testHost is HV02 with a keytab of its AES keys, and a clock that stands still.
func testHost(t testing.TB) *Host {
	t.Helper()
	path := filepath.Join(t.TempDir(), "krb5.keytab")
	writeKeytab(t, path, "HV02$", testKVNO, 18, 17)
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	if err := os.WriteFile(conf, []byte("[libdefaults]\n default_realm = "+testRealm+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHost(Config{Krb5Conf: conf, Keytab: path, Now: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// writeKeytab writes hostKey for each encryption type.
func writeKeytab(t testing.TB, path, account string, kvno uint8, etypes ...int32) {
	t.Helper()
	kt := keytab.New()
	for i, et := range etypes {
		if err := kt.AddEntry(account, testRealm, "x", testNow, kvno, et); err != nil {
			t.Fatal(err)
		}
		kt.Entries[i].Key = hostKey(et)
	}
	b, err := kt.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ndrWriter is the other direction of ndr, written from MS-PAC and not from ndr.go.
type ndrWriter struct{ b []byte }

func (w *ndrWriter) align(n int) {
	for len(w.b)%n != 0 {
		w.b = append(w.b, 0)
	}
}
func (w *ndrWriter) u16(v uint16) { w.align(2); w.b = binary.LittleEndian.AppendUint16(w.b, v) }
func (w *ndrWriter) u32(v uint32) { w.align(4); w.b = binary.LittleEndian.AppendUint32(w.b, v) }
func (w *ndrWriter) zero(n int)   { w.b = append(w.b, make([]byte, n)...) }

func (w *ndrWriter) header(s string) {
	n := uint16(2 * len(utf16.Encode([]rune(s))))
	w.u16(n)
	w.u16(n)
	w.u32(0x20000)
}

func (w *ndrWriter) text(s string) {
	u := utf16.Encode([]rune(s))
	w.u32(uint32(len(u)))
	w.u32(0)
	w.u32(uint32(len(u)))
	for _, c := range u {
		w.u16(c)
	}
}

func (w *ndrWriter) rids(r []uint32) {
	w.u32(uint32(len(r)))
	for _, x := range r {
		w.u32(x)
		w.u32(7)
	}
}

func (w *ndrWriter) sid(auth byte, subs ...uint32) {
	w.u32(uint32(len(subs)))
	w.b = append(w.b, 1, byte(len(subs)), 0, 0, 0, 0, 0, auth)
	for _, s := range subs {
		w.u32(s)
	}
}

func (w *ndrWriter) start() {
	w.b = append(w.b, 1, 0x10, 8, 0, 0xcc, 0xcc, 0xcc, 0xcc)
	w.zero(8)
	w.u32(0x20000)
}

func (p forgedPAC) logonInfo() []byte {
	w := &ndrWriter{}
	w.start()
	w.zero(48)
	strs := []string{p.name, "Full Name", "", "", "", ""}
	for _, s := range strs {
		w.header(s)
	}
	w.u16(1)
	w.u16(0)
	w.u32(p.user)
	w.u32(p.primary)
	w.u32(uint32(len(p.groups)))
	w.u32(0x20004)
	w.u32(0)
	w.zero(16)
	w.header("DC1")
	w.header("LAB")
	w.u32(0x20008)
	w.zero(40)
	w.u32(uint32(len(p.extra)))
	w.u32(0x2000c)
	w.u32(0x20010)
	w.u32(uint32(len(p.resource)))
	w.u32(0x20014)
	for _, s := range strs {
		w.text(s)
	}
	w.rids(p.groups)
	w.text("DC1")
	w.text("LAB")
	w.sid(5, 21, 1, 2, 3)
	w.u32(uint32(len(p.extra)))
	for range p.extra {
		w.u32(0x20020)
		w.u32(7)
	}
	for _, s := range p.extra {
		w.sid(byte(s[0]), s[1:]...)
	}
	w.sid(5, 21, 9, 9, 9)
	w.rids(p.resource)
	return w.b
}

func (p forgedPAC) delegationInfo() []byte {
	w := &ndrWriter{}
	w.start()
	w.header(p.target)
	w.u32(uint32(len(p.transited)))
	w.u32(0x20004)
	w.text(p.target)
	w.u32(uint32(len(p.transited)))
	for _, s := range p.transited {
		w.header(s)
	}
	for _, s := range p.transited {
		w.text(s)
	}
	return w.b
}

func (p forgedPAC) clientInfo() []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(p.authTime.Unix())*1e7+116444736000000000)
	u := utf16.Encode([]rune(p.name))
	b = binary.LittleEndian.AppendUint16(b, uint16(2*len(u)))
	for _, c := range u {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	return b
}

// marshal makes PACTYPE and signs it with the host's key; the KDC's signature is
// there but cannot be verified by a host.
func (p forgedPAC) marshal(t testing.TB, key types.EncryptionKey) []byte {
	t.Helper()
	et, err := crypto.GetEtype(key.KeyType)
	if err != nil {
		t.Fatal(err)
	}
	sig := binary.LittleEndian.AppendUint32(nil, uint32(et.GetHashID()))
	sig = append(sig, make([]byte, et.GetHMACBitLength()/8)...)
	kdc := binary.LittleEndian.AppendUint32(nil, uint32(et.GetHashID()))
	kdc = append(kdc, make([]byte, et.GetHMACBitLength()/8)...)
	bufs := []struct {
		id uint32
		b  []byte
	}{{pacLogonInfo, p.logonInfo()}, {pacClientInfo, p.clientInfo()}, {pacServerSignature, sig}, {pacKDCSignature, kdc}}
	if p.transited != nil {
		bufs = append(bufs, struct {
			id uint32
			b  []byte
		}{pacDelegationInfo, p.delegationInfo()})
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(bufs)))
	out = binary.LittleEndian.AppendUint32(out, 0)
	off, sigOff := 8+16*len(bufs), 0
	for _, b := range bufs {
		out = binary.LittleEndian.AppendUint32(out, b.id)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(b.b)))
		out = binary.LittleEndian.AppendUint64(out, uint64(off))
		if b.id == pacServerSignature {
			sigOff = off + 4
		}
		off += (len(b.b) + 7) / 8 * 8
	}
	for _, b := range bufs {
		out = append(out, b.b...)
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
	}
	ck, err := et.GetChecksumHash(key.KeyValue, out, keyusage.KERB_NON_KERB_CKSUM_SALT)
	if err != nil {
		t.Fatal(err)
	}
	copy(out[sigOff:], ck)
	if p.damage != nil {
		p.damage(out)
	}
	return out
}
