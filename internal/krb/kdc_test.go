package krb

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/messages"

	"drover/internal/fault"
)

func testCtx(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func testEvidence(t *testing.T) Evidence {
	t.Helper()
	c, _, err := testHost(t).AcceptUnbound(goodForge().token(t))
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

// A check must not be answered by what was got before the directory changed, and a
// refusal of it needs no second try.
func TestUncachedHostAsksAnewAndOnce(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	ctx, ev := testCtx(t), testEvidence(t)
	if _, err := h.Delegate(ctx, ev, testSPN); err != nil {
		t.Fatal(err)
	}
	before := len(h.Tickets())
	k.refuse = func(int, *messages.TGSReq) int32 { return 13 }
	for range 2 {
		u, asked := h.Uncached(), len(k.tgs)
		if _, err := u.Delegate(ctx, ev, testSPN); !fault.Is(err, fault.DelegationRefused) {
			t.Errorf("%v", err)
		}
		if _, err := u.Delegate(ctx, ev, "cifs/HV03"); !fault.Is(err, fault.DelegationRefused) {
			t.Errorf("%v", err)
		}
		if n := len(k.tgs) - asked; n != 2 {
			t.Errorf("%d requests for two services", n)
		}
	}
	if k.passesSeen != 3 || len(h.Tickets()) != before {
		t.Errorf("%d sign-ins; the host has %v", k.passesSeen, h.Tickets())
	}
	if _, err := h.Delegate(ctx, ev, testSPN); err != nil {
		t.Errorf("the cache was emptied: %v", err)
	}
}

// Evidence from S4U2Self keeps the flag it was issued with: when the right was
// granted meanwhile it takes new evidence, not only a new TGT.
func TestRefusedAssertedEvidenceIsRenewedOnce(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	ctx := testCtx(t)
	ev, err := h.Impersonate(ctx, "operator")
	if err != nil {
		t.Fatal(err)
	}
	old, selves := ev.ticket.EncPart.Cipher, 0
	k.refuse = func(_ int, req *tgsRequest) int32 {
		if len(req.ReqBody.AdditionalTickets) == 0 {
			selves++
		} else if bytes.Equal(req.ReqBody.AdditionalTickets[0].EncPart.Cipher, old) {
			return 13
		}
		return 0
	}
	if _, err := h.Delegate(ctx, ev, testSPN); err != nil {
		t.Errorf("with evidence from before the change: %v", err)
	}
	if selves != 1 {
		t.Errorf("evidence was asked for %d times", selves)
	}
}

func TestEvidenceThatIsOver(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	ctx, own := testCtx(t), testEvidence(t)
	asserted, err := h.Impersonate(ctx, "operator")
	if err != nil {
		t.Fatal(err)
	}
	late := testNow.Add(30 * time.Hour)
	k.tgtEnd = late.Add(time.Hour)
	h.client.now = func() time.Time { return late }
	k.reply = func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.EndTime = late.Add(time.Hour) }
	if _, err := h.Delegate(ctx, own, testSPN); !fault.Is(err, fault.TicketExpired) {
		t.Errorf("the operator's ticket: %v", err)
	}
	if _, err := h.Delegate(ctx, asserted, testSPN); err != nil {
		t.Errorf("evidence that the host can renew: %v", err)
	}
}

// Run with -race: an agent accepts and delegates from many connections at once.
func TestHostIsSafeForConcurrentUse(t *testing.T) {
	k := startFakeKDC(t)
	h := k.host(t)
	ctx := testCtx(t)
	var tokens [][]byte
	for range 8 {
		tokens = append(tokens, goodForge().token(t))
	}
	var wg sync.WaitGroup
	for i, tok := range tokens {
		wg.Go(func() {
			c, _, err := h.AcceptUnbound(tok)
			if err != nil {
				t.Error(err)
				return
			}
			ev, err := c.Evidence()
			if err != nil {
				t.Error(err)
			}
			if _, err := h.Delegate(ctx, ev, testSPN); err != nil {
				t.Error(err)
			}
			h.Tickets()
			if i%3 == 0 {
				h.Purge(nil)
			}
		})
	}
	wg.Wait()
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
		"machine disabled":     {18, 0, self, fault.HostAccountDisabled},
		"disabled and acting":  {18, 0, impersonate, fault.HostAccountDisabled},
		"unknown and acting":   {6, 0, impersonate, fault.KeytabStale},
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

func TestKrb5ConfWithIncludes(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	write("d/lab_realm", "[realms]\n "+testRealm+" = {\n  kdc = kdc1.lab\n  kdc = kdc2.lab:1088\n }\n")
	write("d/backup~", "[libdefaults]\n default_realm = WRONG.TEST\n")
	conf := write("krb5.conf", "includedir "+dir+"/d\nincludedir /nonexistent\n# comment\n[libdefaults]\n\tdefault_realm = "+testRealm+
		"\n\tkdc_timesync = 1\n\tccache_type = 4\n\tforwardable = true\n\tfcc-mit-ticketflags = true\n")
	k, err := loadConf(conf)
	if err != nil {
		t.Fatal(err)
	}
	if k.defaultRealm() != testRealm || k.skew() != 5*time.Minute {
		t.Errorf("realm %q, skew %s", k.defaultRealm(), k.skew())
	}
	got, err := k.addresses(testCtx(t), strings.ToLower(testRealm))
	if err != nil || len(got) != 2 || got[0] != "kdc1.lab:88" || got[1] != "kdc2.lab:1088" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := loadConf(filepath.Join(dir, "absent")); err == nil {
		t.Error("a configuration that was named and is absent")
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
