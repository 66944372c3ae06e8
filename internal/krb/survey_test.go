package krb

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/go-krb5/krb5/types"
)

func TestAskKDCSeesTheClock(t *testing.T) {
	k := startFakeKDC(t)
	now := func() time.Time { return testNow }
	k.asError, k.skew = 24, 10*time.Minute
	a, err := AskKDC(t.Context(), "tcp", k.addr, testRealm, "operator", now)
	if err != nil || a.Code != 24 || !a.Clock.Equal(testNow.Add(10*time.Minute)) || !a.At.Equal(testNow) || a.RC4Only {
		t.Errorf("%+v, %v", a, err)
	}
	k.asError = 52
	if a, err = AskKDC(t.Context(), "tcp", k.addr, testRealm, "operator", now); err != nil || a.Code != 52 {
		t.Errorf("%+v, %v", a, err)
	}
	k.asError = 14
	if a, err = AskKDC(t.Context(), "tcp", k.addr, testRealm, "operator", now); err != nil || !a.RC4Only {
		t.Errorf("%+v, %v", a, err)
	}
	k.asError = 0
	if a, err = AskKDC(t.Context(), "tcp", k.addr, testRealm, "operator", now); err != nil || a.Code != 25 || a.RC4Only || k.passesSeen != 0 {
		t.Errorf("%+v, %v, %d proofs", a, err, k.passesSeen)
	}
}

func TestOfferWithoutAES(t *testing.T) {
	offer := func(kinds ...int32) []byte {
		var info types.ETypeInfo2
		for _, k := range kinds {
			info = append(info, types.ETypeInfo2Entry{EType: k})
		}
		b, err := derMarshal(info)
		if err == nil {
			b, err = derMarshal(types.PADataSequence{{PADataType: 19, PADataValue: b}})
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !offersNoAES(offer(23)) || offersNoAES(offer(23, 18)) || offersNoAES(nil) || offersNoAES([]byte("nonsense")) {
		t.Error("an offer of RC4 alone is one, and nothing else is")
	}
}

// A datagram that got lost is sent again.
func TestAskKDCOverUDP(t *testing.T) {
	k := &fakeKDC{t: t, asError: 6}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for n := 0; ; n++ {
			length, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if n > 0 {
				_, _ = pc.WriteTo(k.as(slices.Clone(buf[:length])), from)
			}
		}
	}()
	defer func() { pc.Close(); <-ended }()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	a, err := AskKDC(ctx, "udp", pc.LocalAddr().String(), testRealm, "operator", nil)
	if err != nil || a.Code != 6 {
		t.Errorf("%+v, %v", a, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := AskKDC(short, "udp", silent.LocalAddr().String(), testRealm, "operator", nil); err == nil {
		t.Error("no answer, and no error")
	}
}

func TestConf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "krb5.conf")
	text := "[libdefaults]\n default_realm = EXAMPLE.ORG\n udp_preference_limit = 1\n[realms]\n EXAMPLE.ORG = {\n  kdc = dc1.example.org\n  kdc = dc2.example.org:8888\n }\n" +
		"[domain_realm]\n .example.org = EXAMPLE.ORG\n hv09.example.org = OTHER.TEST\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := ReadConf(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.DefaultRealm() != "EXAMPLE.ORG" || !slices.Equal(c.KDCs("example.org"), []string{"dc1.example.org:88", "dc2.example.org:8888"}) || c.KDCs("OTHER.TEST") != nil {
		t.Errorf("%s %q", c.DefaultRealm(), c.KDCs("EXAMPLE.ORG"))
	}
	for host, want := range map[string]string{"HV01.example.org": "EXAMPLE.ORG", "hv09.example.org": "OTHER.TEST", "hv01.elsewhere": ""} {
		if _, got := c.Mapping(host); got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	if _, err := ReadConf("/nonexistent/krb5.conf"); err == nil {
		t.Error("a file that was named and is not there is an error")
	}
}

func TestNewestKey(t *testing.T) {
	keys := []KeytabKey{{"HV01$@R", 2, true}, {"HV01$@R", 3, false}, {"HV02$@R", 9, true}, {"hv01$@R", 3, true}}
	if k, found := NewestKey(keys, "HV01$"); !found || k.Version != 3 || !k.AES {
		t.Errorf("%+v %v", k, found)
	}
	if k, found := NewestKey(keys[:2], "HV01$"); !found || k.Version != 3 || k.AES {
		t.Errorf("%+v %v", k, found)
	}
	if _, found := NewestKey(keys, "HV03$"); found {
		t.Error("a key of nobody")
	}
}

// What answers on port 88 is a KDC only if it speaks Kerberos.
func TestAskKDCOfSomethingElse(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			_, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), from)
		}
	}()
	defer func() { pc.Close(); <-ended }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if a, err := AskKDC(ctx, "udp", pc.LocalAddr().String(), testRealm, "operator", nil); err == nil {
		t.Errorf("taken for a KDC: %+v", a)
	}
}
