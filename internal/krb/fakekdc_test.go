package krb

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-krb5/krb5/iana/asn1apptag"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

// fakeKDC answers what the test tells it to. It issues tickets that nobody can
// use; what is tested is the client's side. The real one is in the lab tests.
type fakeKDC struct {
	t    testing.TB
	addr string

	mu         sync.Mutex
	asCount    int
	tgs        []*messages.TGSReq
	tgtFlags   []int
	refuse     func(n int, req *tgsRequest) int32 // error code for the nth TGS request, 0 = none
	asError    int32
	skew       time.Duration
	tgtEnd     time.Time // zero = ten hours from testNow
	reply      func(*messages.TGSRep, *messages.EncKDCRepPart)
	passesSeen int

	realm  string              // of which it is the KDC
	issues types.EncryptionKey // session key of the tickets that it gives
	opens  types.EncryptionKey // session key of the tickets that it gets
	refers string              // the realm to which it refers for every service
}

// tgsRequest is what the fake shows to a test.
type tgsRequest = messages.TGSReq

var fakeSession = types.EncryptionKey{KeyType: 18, KeyValue: []byte("session-key-of-the-fake-kdc-0001")}

func startFakeKDC(t *testing.T) *fakeKDC {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &fakeKDC{t: t, addr: l.Addr().String(), tgtFlags: []int{flags.Forwardable},
		realm: testRealm, issues: fakeSession, opens: fakeSession}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			k.serve(c)
		}
	}()
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return k
}

func (k *fakeKDC) serve(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	var l [4]byte
	if _, err := io.ReadFull(c, l[:]); err != nil {
		return
	}
	b := make([]byte, binary.BigEndian.Uint32(l[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var rep []byte
	if b[0] == 0x6a {
		rep = k.as(b)
	} else {
		rep = k.ticket(b)
	}
	c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(rep))), rep...))
}

func (k *fakeKDC) fail(code int32) []byte {
	e := messages.NewKRBError(types.PrincipalName{NameString: []string{"krbtgt", testRealm}}, testRealm, code, "")
	e.STime = testNow.Add(k.skew)
	b, err := e.Marshal()
	if err != nil {
		k.t.Error(err)
	}
	return b
}

func (k *fakeKDC) as(b []byte) []byte {
	k.asCount++
	var req messages.ASReq
	if err := req.Unmarshal(b); err != nil {
		k.t.Error(err)
		return k.fail(60)
	}
	if k.asError != 0 {
		return k.fail(k.asError)
	}
	info, err := derMarshal(types.ETypeInfo2{{EType: 23}, {EType: 18, Salt: "salt"}})
	if err != nil {
		k.t.Error(err)
	}
	pa := types.PAData{PADataType: 19, PADataValue: info}
	if len(req.PAData) == 0 {
		e := messages.NewKRBError(req.ReqBody.SName, testRealm, 25, "")
		if e.EData, err = derMarshal(types.PADataSequence{pa}); err != nil {
			k.t.Error(err)
		}
		out, _ := e.Marshal()
		return out
	}
	k.passesSeen++
	d := k.encPart(&req.ReqBody, k.tgtFlags)
	if !k.tgtEnd.IsZero() {
		d.EndTime = k.tgtEnd
	}
	rep := messages.ASRep{KDCRepFields: k.fields(11, req.ReqBody.CName, req.ReqBody.SName)}
	rep.EncPart = k.seal(d, hostKey(18), keyusage.AS_REP_ENCPART)
	out, err := rep.Marshal()
	if err != nil {
		k.t.Error(err)
	}
	return out
}

func (k *fakeKDC) ticket(b []byte) []byte {
	var req messages.TGSReq
	if err := req.Unmarshal(b); err != nil {
		k.t.Error(err)
		return k.fail(60)
	}
	k.tgs = append(k.tgs, &req)
	if k.refuse != nil {
		if code := k.refuse(len(k.tgs), &req); code != 0 {
			return k.fail(code)
		}
	}
	cname := types.PrincipalName{NameType: 1, NameString: []string{"HV02$"}}
	for _, pa := range req.PAData {
		if pa.PADataType == 129 {
			var p paForUser
			if err := derUnmarshal(pa.PADataValue, &p); err != nil {
				k.t.Error(err)
			}
			cname = p.UserName
		}
	}
	if len(req.ReqBody.AdditionalTickets) > 0 {
		cname = types.PrincipalName{NameType: 1, NameString: []string{"operator"}}
	}
	d := k.encPart(&req.ReqBody, k.tgtFlags)
	rep := messages.TGSRep{KDCRepFields: k.fields(13, cname, req.ReqBody.SName)}
	if k.refers != "" {
		d.SName = types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", k.refers}}
		rep.Ticket.SName = d.SName
	}
	if k.reply != nil {
		k.reply(&rep, d)
	}
	rep.EncPart = k.seal(d, k.opens, keyusage.TGS_REP_ENCPART_SESSION_KEY)
	out, err := rep.Marshal()
	if err != nil {
		k.t.Error(err)
	}
	return out
}

func (k *fakeKDC) encPart(req *messages.KDCReqBody, fl []int) *messages.EncKDCRepPart {
	d := &messages.EncKDCRepPart{Key: k.issues, LastReqs: []messages.LastReq{{LRValue: testNow}}, Nonce: req.Nonce,
		Flags: types.NewKrbFlags(), AuthTime: testNow, StartTime: testNow, EndTime: testNow.Add(10 * time.Hour), SRealm: k.realm, SName: req.SName}
	types.SetFlags(&d.Flags, fl)
	return d
}

func (k *fakeKDC) fields(msg int, cname, sname types.PrincipalName) messages.KDCRepFields {
	return messages.KDCRepFields{PVNO: 5, MsgType: msg, CRealm: testRealm, CName: cname, Ticket: messages.Ticket{TktVNO: 5, Realm: k.realm,
		SName: sname, EncPart: types.EncryptedData{EType: 18, KVNO: 1, Cipher: random(100)}}}
}

func (k *fakeKDC) seal(d *messages.EncKDCRepPart, key types.EncryptionKey, usage uint32) types.EncryptedData {
	b, err := derMarshalApp(*d, asn1apptag.EncTGSRepPart)
	if err != nil {
		k.t.Error(err)
	}
	return mustEncrypt(k.t, key, b, usage)
}

// host is HV02 asking this KDC; dead KDCs come first in its list.
func (k *fakeKDC) host(t *testing.T, more ...string) *Host {
	t.Helper()
	h := testHost(t)
	conf := filepath.Join(t.TempDir(), "krb5.conf")
	text := "[libdefaults]\n default_realm = " + testRealm + "\n[realms]\n " + testRealm + " = {\n"
	for _, a := range append(more, k.addr) {
		text += "  kdc = " + a + "\n"
	}
	if err := os.WriteFile(conf, []byte(text+" }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	kdcs, err := loadConf(conf)
	if err != nil {
		t.Fatal(err)
	}
	h.client.kdcs = kdcs
	return h
}
