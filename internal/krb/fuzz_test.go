package krb

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/go-krb5/krb5/iana/keyusage"
	"github.com/go-krb5/krb5/messages"
	"github.com/go-krb5/krb5/types"
)

// FuzzKDCReply is what a domain controller answers, or who pretends to be one: errors,
// what they carry, replies, and what stands in them once they are decrypted.
func FuzzKDCReply(f *testing.F) {
	c := realmClient{realm: testRealm, now: func() time.Time { return testNow }, kdcs: &realmKDCs{}}
	var req messages.ASReq
	req.PVNO, req.MsgType = 5, 10
	req.ReqBody = c.body(nil, types.PrincipalName{NameType: 2, NameString: []string{"krbtgt", testRealm}})
	req.ReqBody.CName = types.PrincipalName{NameType: 1, NameString: []string{"HV02$"}}
	ask := func() []byte {
		b, err := req.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	k := &fakeKDC{t: f, realm: testRealm, issues: fakeSession, opens: fakeSession}
	wantsProof := k.as(ask())
	f.Add(wantsProof)
	f.Add(k.fail(13))
	secret := func(types.ETypeInfo2Entry) (types.EncryptionKey, error) { return hostKey(18), nil }
	var ke *kdcError
	if err := replyError("AS", wantsProof); !errors.As(err, &ke) {
		f.Fatal(err)
	}
	f.Add(ke.edata)
	var err error
	if req.PAData, _, err = c.preauth(ke.edata, secret); err != nil {
		f.Fatal(err)
	}
	good := k.as(ask())
	f.Add(good)
	var rep messages.ASRep
	if err := rep.Unmarshal(good); err != nil {
		f.Fatal(err)
	}
	plain, err := decrypt(hostKey(18), rep.EncPart.Cipher, keyusage.AS_REP_ENCPART)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(plain)
	wrong := hostKey(18)
	wrong.KeyValue = bytes.Repeat([]byte{9}, len(wrong.KeyValue))
	want := tgsWant{step: "AS", kind: KindTGT, cname: req.ReqBody.CName, crealm: testRealm}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 {
			if err := replyError("AS", b); errors.As(err, &ke) {
				_, _, _ = c.preauth(ke.edata, secret)
			}
		}
		_, _, _ = c.preauth(b, secret)
		if tk, err := c.openAS(b, &req, wrong, secret); err == nil && wrong.KeyType == tk.key.KeyType && !bytes.Equal(b, good) {
			t.Error("a reply under another key, or another reply, was taken")
		}
		// Behind the encryption, as if the controller were hostile.
		fields := rep.KDCRepFields
		if tk, err := c.checkReply(want, &fields, b, &req.ReqBody); err == nil && len(tk.key.KeyValue) == 0 {
			t.Error("a ticket without a session key")
		}
	})
}

// FuzzReplyOfAnAgent is what an agent, or who pretends to be one, answers to a
// ticket. Without the key nothing is right.
func FuzzReplyOfAnAgent(f *testing.F) {
	g := goodForge()
	g.binding = testBinding
	_, reply, err := testHost(f).Accept(NegTokenInit(g.token(f)), testBinding)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reply)
	raw, err := spnegoReply(reply)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(gssFrame(tokError, (&fakeKDC{t: f}).fail(41)))
	f.Add(reply[:len(reply)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, err := Initiate(goodForge().ticket(t), testBinding)
		if err != nil {
			t.Fatal(err)
		}
		c.ctime = c.ctime.Add(time.Hour) // none of the seeds is its answer
		if c.Complete(b) == nil || c.established {
			t.Error("an answer to another ticket was taken")
		}
	})
}

// FuzzUnwrap is what comes on a sealed connection.
func FuzzUnwrap(f *testing.F) {
	ends := func() (from, to *Context) {
		key := hostKey(18)
		return &Context{acceptor: true, session: key, key: key, established: true}, &Context{session: key, key: key, established: true}
	}
	from, _ := ends()
	for _, text := range []string{"hello", ""} {
		for _, seal := range []bool{true, false} {
			b, err := from.wrap([]byte(text), seal)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	mic, err := from.MIC([]byte("hello"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(mic)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, sealed := range []bool{true, false} {
			_, to := ends()
			if p, err := to.unwrap(bytes.Clone(b), sealed); err == nil && string(p) != "hello" && len(p) > 0 {
				t.Errorf("%q was opened", p)
			}
		}
		_, to := ends()
		if err := to.VerifyMIC([]byte("another"), b); err == nil {
			t.Error("a code of another message was taken")
		}
	})
}
