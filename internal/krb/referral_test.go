package krb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/go-krb5/krb5/config"
	"github.com/go-krb5/krb5/iana/flags"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"

	"drover/internal/fault"
)

const farSPN = "ldap/dc1.far.test"

// forestOf starts a KDC per realm, the first of the own realm, each of which refers
// to the next one, and gives HV02 of the first. The KDCs after the second are found
// by DNS only.
func forestOf(t *testing.T, names ...string) ([]*fakeKDC, *Host) {
	t.Helper()
	kdcs := []*fakeKDC{startFakeKDC(t)}
	for i, name := range names {
		k, before := startFakeKDC(t), kdcs[i]
		k.realm, k.opens = name, before.issues
		k.issues = types.EncryptionKey{KeyType: 18, KeyValue: fmt.Appendf(nil, "session-key-of-the-fake-kdc-1%03d", i)}
		before.refers = name
		kdcs = append(kdcs, k)
	}
	h := kdcs[0].host(t)
	if len(names) > 0 {
		h.client.kdcs.conf.Realms = append(h.client.kdcs.conf.Realms, config.Realm{Realm: names[0], KDC: []string{kdcs[1].addr}})
	}
	h.client.kdcs.lookup = func(_ context.Context, realm string) ([]string, error) {
		for _, k := range kdcs {
			if strings.EqualFold(k.realm, realm) {
				return []string{k.addr}, nil
			}
		}
		return nil, &net.DNSError{Err: "no such host", Name: realm, IsNotFound: true}
	}
	return kdcs, h
}

// requests says how often each KDC was asked for a service ticket.
func requests(kdcs []*fakeKDC) string {
	var out []string
	for _, k := range kdcs {
		k.mu.Lock()
		out = append(out, fmt.Sprint(len(k.tgs)))
		k.mu.Unlock()
	}
	return strings.Join(out, " ")
}

func TestReferralsLeadToTheServicesRealm(t *testing.T) {
	kdcs, h := forestOf(t, "ROOT.TEST", "FAR.TEST")
	for range 2 { // the second time from memory
		tk, err := h.Self(testCtx(t), farSPN)
		if err != nil {
			t.Fatal(err)
		}
		if tk.Service() != farSPN || tk.Client() != "HV02$@"+testRealm || tk.kind != KindSelf || tk.ticket.Realm != "FAR.TEST" ||
			string(tk.key.KeyValue) != string(kdcs[2].issues.KeyValue) {
			t.Errorf("%s of realm %s", tk, tk.ticket.Realm)
		}
	}
	if got := requests(kdcs); got != "1 1 1" {
		t.Errorf("%s requests", got)
	}
	for _, k := range kdcs {
		r := k.tgs[0].ReqBody
		if r.Realm != k.realm || nameString(r.SName) != farSPN || !ticketFlag(r.KDCOptions, flags.Canonicalize) {
			t.Errorf("%s was asked for %s in %s", k.realm, nameString(r.SName), r.Realm)
		}
	}
	for _, i := range h.Tickets() {
		if i.Kind == KindTGT && i.Service != "krbtgt/"+testRealm {
			t.Errorf("cached: %+v", i)
		}
	}
}

func TestOperatorIsReferredToo(t *testing.T) {
	kdcs, h := forestOf(t, "FAR.TEST")
	for _, k := range kdcs {
		k.reply = func(r *messages.TGSRep, _ *messages.EncKDCRepPart) { r.CName.NameString = []string{"operator"} }
	}
	tgt := testTGT(t, testNow.Add(time.Hour))
	kdcs[0].opens = tgt.key
	o := &Operator{client: h.client, tgt: tgt, cache: newTicketCache()}
	tk, err := o.Ticket(testCtx(t), farSPN)
	if err != nil || tk.Client() != "operator@"+testRealm || tk.Service() != farSPN {
		t.Errorf("%v, %v", tk, err)
	}
}

func TestReferralsThatLeadNowhere(t *testing.T) {
	long := make([]string, maxReferrals+2)
	for i := range long {
		long[i] = fmt.Sprintf("R%d.TEST", i)
	}
	unreachable := func(kdcs []*fakeKDC) { kdcs[0].refers = "GONE.TEST" }
	trust := func(code int32) func([]*fakeKDC) {
		return func(kdcs []*fakeKDC) { kdcs[1].refuse = func(int, *tgsRequest) int32 { return code } }
	}
	lie := func(change func(*messages.TGSRep, *messages.EncKDCRepPart)) func([]*fakeKDC) {
		return func(kdcs []*fakeKDC) { kdcs[0].reply = change }
	}
	refer := func(realm string) func([]*fakeKDC) {
		return lie(func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.SName.NameString = []string{"krbtgt", realm} })
	}
	for name, c := range map[string]struct {
		realms []string
		change func([]*fakeKDC)
		code   fault.Code
		asked  string
		says   string
	}{
		"no trust":             {nil, func(k []*fakeKDC) { k[0].refuse = func(int, *tgsRequest) int32 { return 7 } }, fault.ServiceUnknown, "1", farSPN},
		"unknown there":        {[]string{"FAR.TEST"}, trust(7), fault.ServiceUnknown, "1 1", "by way of LAB.DROVER.TEST, FAR.TEST"},
		"trust of other keys":  {[]string{"FAR.TEST"}, trust(31), fault.KerberosFailed, "1 1", "by way of LAB.DROVER.TEST, FAR.TEST"},
		"selective trust":      {[]string{"FAR.TEST"}, trust(12), fault.KerberosFailed, "1 1", "by way of LAB.DROVER.TEST, FAR.TEST"},
		"path not accepted":    {[]string{"FAR.TEST"}, trust(28), fault.KerberosFailed, "1 1", "by way of LAB.DROVER.TEST, FAR.TEST"},
		"realm without KDC":    {nil, unreachable, fault.KDCUnreachable, "1", "by way of LAB.DROVER.TEST, GONE.TEST"},
		"loop":                 {[]string{"FAR.TEST"}, func(k []*fakeKDC) { k[1].refers = strings.ToLower(testRealm) }, fault.KerberosFailed, "1 1", "asked before"},
		"loop to itself":       {nil, func(k []*fakeKDC) { k[0].refers = testRealm }, fault.KerberosFailed, "1", "asked before"},
		"no end":               {long, func([]*fakeKDC) {}, fault.KerberosFailed, "1 1 1 1 1 1 1 1 1 1 1 0 0", "after 10 other referrals"},
		"other client":         {[]string{"FAR.TEST"}, lie(func(r *messages.TGSRep, _ *messages.EncKDCRepPart) { r.CName.NameString = []string{"operator"} }), "", "1 0", "reply is for operator@"},
		"other client's realm": {[]string{"FAR.TEST"}, lie(func(r *messages.TGSRep, _ *messages.EncKDCRepPart) { r.CRealm = "FAR.TEST" }), "", "1 0", "HV02$@FAR.TEST"},
		"other client, later": {[]string{"FAR.TEST"}, func(k []*fakeKDC) {
			k[1].reply = func(r *messages.TGSRep, _ *messages.EncKDCRepPart) { r.CName.NameString = []string{"x"} }
		}, "", "1 1", "by way of"},
		"other request":          {[]string{"FAR.TEST"}, lie(func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.Nonce++ }), "", "1 0", "nonce"},
		"issued elsewhere":       {[]string{"FAR.TEST"}, lie(func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.SRealm = "FAR.TEST" }), "", "1 0", "reply is for realm"},
		"RC4 session key":        {[]string{"FAR.TEST"}, lie(func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.Key.KeyType = 23 }), "", "1 0", "reply"},
		"referral that is over":  {[]string{"FAR.TEST"}, lie(func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.EndTime = testNow }), "", "1 0", "ended"},
		"other session key":      {[]string{"FAR.TEST"}, func(k []*fakeKDC) { k[1].opens = fakeSessionOf(9) }, "", "1 1", "by way of"},
		"no realm":               {[]string{"FAR.TEST"}, refer(""), "", "1 0", "is for service"},
		"name that is no realm":  {[]string{"FAR.TEST"}, refer("a\nb"), "", "1 0", "is for service"},
		"name that is too long":  {[]string{"FAR.TEST"}, refer(strings.Repeat("A", 300)), "", "1 0", "is for service"},
		"neither nor":            {[]string{"FAR.TEST"}, lie(func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.SName.NameString = []string{"cifs", "x"} }), "", "1 0", "is for service"},
		"service of three parts": {[]string{"FAR.TEST"}, lie(func(_ *messages.TGSRep, d *messages.EncKDCRepPart) { d.SName.NameString = []string{"krbtgt", "A", "B"} }), "", "1 0", "is for service"},
	} {
		t.Run(name, func(t *testing.T) {
			kdcs, h := forestOf(t, c.realms...)
			c.change(kdcs)
			_, err := h.Self(testCtx(t), farSPN)
			var f *fault.Error
			if errors.As(err, &f); err == nil || (f == nil) != (c.code == "") || f != nil && f.Code != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %s with %q", err, c.code, c.says)
			}
			if got := requests(kdcs); got != c.asked {
				t.Errorf("%s requests, want %s", got, c.asked)
			}
			for _, i := range h.Tickets() {
				if i.Kind != KindTGT || i.Service != "krbtgt/"+testRealm {
					t.Errorf("cached: %+v", i)
				}
			}
		})
	}
}

func fakeSessionOf(n byte) types.EncryptionKey {
	return types.EncryptionKey{KeyType: 18, KeyValue: []byte(strings.Repeat(string('a'+rune(n)), 32))}
}

// Evidence of one realm is not carried into another.
func TestDelegationIsNotReferred(t *testing.T) {
	kdcs, h := forestOf(t, "FAR.TEST")
	if _, err := h.Impersonate(testCtx(t), "operator"); err == nil || !strings.Contains(err.Error(), "FAR.TEST") {
		t.Errorf("S4U2Self: %v", err)
	}
	if _, err := h.Delegate(testCtx(t), testEvidence(t), "cifs/far"); err == nil || !strings.Contains(err.Error(), "FAR.TEST") {
		t.Errorf("S4U2Proxy: %v", err)
	}
	if got := requests(kdcs); got != "2 0" {
		t.Errorf("%s requests", got)
	}
}

func TestReferralEndsWithTheContext(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts in the kernel, answers nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	kdcs, h := forestOf(t, "FAR.TEST")
	h.client.kdcs.conf.Realms[1].KDC = []string{silent.Addr().String()}
	ctx, cancel := context.WithCancel(testCtx(t))
	kdcs[0].reply = func(*messages.TGSRep, *messages.EncKDCRepPart) { time.AfterFunc(10*time.Millisecond, cancel) }
	if _, err := h.Self(ctx, farSPN); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
