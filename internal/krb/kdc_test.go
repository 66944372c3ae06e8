package krb

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-krb5/krb5/iana/asn1apptag"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
)

// fakeKDC answers what the test tells it to. It issues tickets that nobody can
// use; what is tested is the client's side. The real one is in the lab tests.
type fakeKDC struct {
	t    *testing.T
	addr string

	mu         sync.Mutex
	asCount    int
	tgs        []*messages.TGSReq
	tgtFlags   []int
	refuse     func(n int, req *tgsRequest) int32 // error code for the nth TGS request, 0 = none
	asError    int32
	skew       time.Duration
	reply      func(*messages.TGSRep, *messages.EncKDCRepPart)
	passesSeen int
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
	k := &fakeKDC{t: t, addr: l.Addr().String(), tgtFlags: []int{flags.Forwardable}}
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
	if k.reply != nil {
		k.reply(&rep, d)
	}
	rep.EncPart = k.seal(d, fakeSession, keyusage.TGS_REP_ENCPART_SESSION_KEY)
	out, err := rep.Marshal()
	if err != nil {
		k.t.Error(err)
	}
	return out
}

func (k *fakeKDC) encPart(req *messages.KDCReqBody, fl []int) *messages.EncKDCRepPart {
	d := &messages.EncKDCRepPart{Key: fakeSession, LastReqs: []messages.LastReq{{LRValue: testNow}}, Nonce: req.Nonce,
		Flags: types.NewKrbFlags(), AuthTime: testNow, StartTime: testNow, EndTime: testNow.Add(10 * time.Hour), SRealm: testRealm, SName: req.SName}
	types.SetFlags(&d.Flags, fl)
	return d
}

func (k *fakeKDC) fields(msg int, cname, sname types.PrincipalName) messages.KDCRepFields {
	return messages.KDCRepFields{PVNO: 5, MsgType: msg, CRealm: testRealm, CName: cname, Ticket: messages.Ticket{TktVNO: 5, Realm: testRealm,
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

func testCtx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func testEvidence(t *testing.T) Evidence {
	t.Helper()
	c, _, err := testHost(t).Accept(goodForge().token(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := c.Evidence()
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

func TestTicketsAreCachedPerEvidenceUntilNearTheirEnd(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	now := testNow
	h.client.now = func() time.Time { return now }
	ctx, ev := testCtx(t), testEvidence(t)
	get := func(ev Evidence, service string) *Ticket {
		tk, err := h.Delegate(ctx, ev, service)
		if err != nil {
			t.Fatal(err)
		}
		return tk
	}
	first := get(ev, testSPN)
	if get(ev, strings.ToLower(testSPN)) != first {
		t.Error("the same ticket was asked for twice")
	}
	if get(ev, "cifs/HV02") == first || get(testEvidence(t), testSPN) == first {
		t.Error("a ticket is used for another service or another sign-in")
	}
	now = first.Expires().Add(-time.Minute)
	k.reply = func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.EndTime = now.Add(time.Hour) }
	if get(ev, testSPN) == first {
		t.Error("a ticket that ends in a minute is still handed out")
	}
	if n := len(h.Tickets()); n == 0 || h.Purge(func(i TicketInfo) bool { return i.Kind == KindDelegated }) == 0 || len(h.Tickets()) >= n {
		t.Errorf("purge left %v", h.Tickets())
	}
	if h.Purge(nil); len(h.Tickets()) != 0 {
		t.Errorf("purge left %v", h.Tickets())
	}
}

// Hole 6: asking for forwardable with a TGT that is not gets error 13.
func TestForwardableOnlyIfTheTGTIs(t *testing.T) {
	for _, forwardable := range []bool{true, false} {
		k := startFakeKDC(t)
		if !forwardable {
			k.tgtFlags = nil
		}
		if _, err := k.host(t).Self(testCtx(t), testSPN); err != nil {
			t.Fatal(err)
		}
		if got := ticketFlag(k.tgs[0].ReqBody.KDCOptions, flags.Forwardable); got != forwardable {
			t.Errorf("TGT forwardable %v, asked for forwardable: %v", forwardable, got)
		}
	}
}

func TestS4URequests(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	ev, err := h.Impersonate(testCtx(t), "operator@"+testRealm)
	if err != nil {
		t.Fatal(err)
	}
	if !ev.ViaTransition() || ev.Operator() != "operator@"+testRealm {
		t.Errorf("evidence %+v", ev)
	}
	self := k.tgs[0]
	if nameString(self.ReqBody.SName) != "HV02$" || len(self.ReqBody.CName.NameString) != 0 || !self.PAData.Contains(129) {
		t.Errorf("S4U2Self: %+v", self.ReqBody)
	}
	if _, err := h.Delegate(testCtx(t), ev, testSPN); err != nil {
		t.Fatal(err)
	}
	proxy := k.tgs[1]
	if len(proxy.ReqBody.SName.NameString) != 2 || len(proxy.ReqBody.AdditionalTickets) != 1 || !proxy.PAData.Contains(paPACOptions) ||
		!ticketFlag(proxy.ReqBody.KDCOptions, optCNameInAddlTicket) {
		t.Errorf("S4U2Proxy: %+v", proxy.ReqBody)
	}
	for _, r := range k.tgs {
		for _, et := range r.ReqBody.EType {
			if !isAES(et) {
				t.Errorf("encryption type %d was asked for", et)
			}
		}
	}
}

func TestRefusalIsRetriedOnceWithAFreshTGT(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	ctx := testCtx(t)
	if _, err := h.Self(ctx, "HOST/HV09"); err != nil { // fills the cache
		t.Fatal(err)
	}
	k.refuse = func(n int, _ *messages.TGSReq) int32 {
		if n == 2 {
			return 13
		}
		return 0
	}
	if _, err := h.Delegate(ctx, testEvidence(t), testSPN); err != nil {
		t.Errorf("delegation that was granted meanwhile: %v", err)
	}
	if k.passesSeen != 2 || len(k.tgs) != 3 {
		t.Errorf("%d sign-ins, %d requests; want 2 and 3", k.passesSeen, len(k.tgs))
	}
	k.refuse = func(int, *messages.TGSReq) int32 { return 13 }
	before := len(k.tgs)
	_, err := h.Delegate(ctx, testEvidence(t), "cifs/HV02")
	var de *DelegationError
	if !errors.As(err, &de) {
		t.Fatalf("%v is no DelegationError", err)
	}
	if len(k.tgs)-before != 2 {
		t.Errorf("%d requests, want one and one retry", len(k.tgs)-before)
	}
	if de.Account != "HV02$@"+testRealm || de.Operator != "operator@"+testRealm || de.Service != "cifs/HV02" || !de.EvidenceForwardable || de.ViaTransition {
		t.Errorf("%+v", de)
	}
	if !fault.Is(err, fault.DelegationRefused) {
		t.Errorf("no code in %v", err)
	}
}

func TestTryUsesFreshTicketsOnce(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	ctx, ev := testCtx(t), testEvidence(t)
	cached, err := h.Delegate(ctx, ev, testSPN)
	if err != nil {
		t.Fatal(err)
	}
	var used []*Ticket
	fail := fault.New(fault.RoleMissing, "HV02", "operator", "operator", "role", "operator")
	err = h.Try(ctx, ev, testSPN, func(_ context.Context, tk *Ticket) error {
		used = append(used, tk)
		return fail
	})
	if !errors.Is(err, fail) || len(used) != 2 || used[0] != cached || used[1] == cached {
		t.Errorf("%v after %d tries", err, len(used))
	}
	h.Purge(nil)
	used = nil
	if h.Try(ctx, ev, testSPN, func(_ context.Context, tk *Ticket) error { used = append(used, tk); return fail }); len(used) != 1 {
		t.Errorf("a fresh ticket was tried %d times", len(used))
	}
	used = nil
	if h.Try(ctx, ev, testSPN, func(_ context.Context, tk *Ticket) error { used = append(used, tk); return io.EOF }); len(used) != 1 {
		t.Errorf("an error that no ticket cures was tried %d times", len(used))
	}
}

func TestKDCErrorsGetTheirCodes(t *testing.T) {
	ctx := testCtx(t)
	self := func(h *Host) error { _, err := h.Self(ctx, testSPN); return err }
	impersonate := func(h *Host) error { _, err := h.Impersonate(ctx, "operator"); return err }
	for name, c := range map[string]struct {
		as, tgs int32
		do      func(*Host) error
		code    fault.Code
	}{
		"wrong machine key":    {24, 0, self, fault.KeytabStale},
		"machine unknown":      {6, 0, self, fault.KeytabStale},
		"machine disabled":     {18, 0, self, fault.KerberosFailed},
		"clock at sign-in":     {37, 0, self, fault.ClockSkew},
		"clock at the TGS":     {0, 37, self, fault.ClockSkew},
		"service unknown":      {0, 7, self, fault.ServiceUnknown},
		"operator unknown":     {0, 6, impersonate, fault.OperatorUnknown},
		"operator disabled":    {0, 12, impersonate, fault.OperatorUnknown},
		"operator locked":      {0, 18, impersonate, fault.OperatorUnknown},
		"no encryption type":   {0, 14, self, fault.KerberosFailed},
		"S4U2Proxy unknown":    {0, 7, func(h *Host) error { _, err := h.Delegate(ctx, testEvidence(t), testSPN); return err }, fault.ServiceUnknown},
		"foreign realm's user": {0, 0, func(h *Host) error { _, err := h.Impersonate(ctx, "x@EVIL.TEST"); return err }, fault.OperatorUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			k := startFakeKDC(t)
			k.asError, k.skew = c.as, 10*time.Minute
			k.refuse = func(int, *messages.TGSReq) int32 { return c.tgs }
			err := c.do(k.host(t))
			if !fault.Is(err, c.code) {
				t.Fatalf("%v, want %s", err, c.code)
			}
			var f *fault.Error
			if errors.As(err, &f); c.code == fault.ClockSkew && f.Args["skew"] != "10m0s" {
				t.Errorf("skew %q", f.Args["skew"])
			}
			if strings.Contains(f.Message(), "{") {
				t.Errorf("argument missing in %q", f.Message())
			}
		})
	}
}

func TestRepliesThatDoNotAnswerTheRequestAreRefused(t *testing.T) {
	for name, change := range map[string]func(*messages.TGSRep, *messages.EncKDCRepPart){
		"nonce":        func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.Nonce++ },
		"client":       func(r *messages.TGSRep, _ *messages.EncKDCRepPart) { r.CName.NameString = []string{"HV02$"} },
		"client realm": func(r *messages.TGSRep, _ *messages.EncKDCRepPart) { r.CRealm = "EVIL.TEST" },
		"service": func(_ *messages.TGSRep, d *messages.EncKDCRepPart) {
			d.SName.NameString = []string{"krbtgt", "EVIL.TEST"}
		},
		"realm":            func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.SRealm = "EVIL.TEST" },
		"ticket over":      func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.EndTime = testNow },
		"RC4 session key":  func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.Key.KeyType = 23 },
		"short key":        func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.Key.KeyValue = d.Key.KeyValue[:3] },
		"nameless service": func(r *messages.TGSRep, _ *messages.EncKDCRepPart) { r.Ticket.SName.NameString = nil },
	} {
		t.Run(name, func(t *testing.T) {
			k := startFakeKDC(t)
			k.reply = change
			h := k.host(t)
			if ev, err := h.Impersonate(testCtx(t), "operator"); err == nil {
				t.Errorf("accepted: %+v", ev)
			}
			for _, i := range h.Tickets() {
				if i.Kind != KindTGT {
					t.Errorf("cached: %+v", i)
				}
			}
		})
	}
}

func TestEveryKDCIsTried(t *testing.T) {
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := dead.Addr().String()
	dead.Close()
	k := startFakeKDC(t)
	if _, err := k.host(t, addr, addr).Self(testCtx(t), testSPN); err != nil {
		t.Errorf("with two dead KDCs in front: %v", err)
	}
	h := k.host(t)
	h.client.kdcs.conf.Realms[0].KDC = []string{addr}
	if _, err := h.Self(testCtx(t), testSPN); !fault.Is(err, fault.KDCUnreachable) {
		t.Errorf("with dead KDCs only: %v", err)
	}
	h.client.kdcs.conf.Realms = nil
	h.client.kdcs.lookup = func(_ context.Context, realm string) ([]string, error) {
		if realm != testRealm {
			t.Errorf("looked up %q", realm)
		}
		return []string{k.addr}, nil
	}
	if _, err := h.Self(testCtx(t), testSPN); err != nil {
		t.Errorf("with KDCs from DNS: %v", err)
	}
}

func TestSilentKDCEndsWithTheContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	k := startFakeKDC(t)
	h := k.host(t)
	h.client.kdcs.conf.Realms[0].KDC = []string{l.Addr().String()}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := h.Self(ctx, testSPN); !fault.Is(err, fault.KDCUnreachable) {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Errorf("took %s", d)
	}
	ctx, cancel2 := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel2)
	if _, err := h.Self(ctx, testSPN); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func derUnmarshal(b []byte, v any) error { return derUnmarshalParams(b, v, "") }
