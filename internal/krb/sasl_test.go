package krb

import (
	"context"
	"errors"
	"testing"
)

// saslServer accepts a client and offers layers (RFC 4752 3.2).
func saslServer(t *testing.T, s *SASL, layers byte) (server *Context, answer []byte, err error) {
	t.Helper()
	tok, more, err := s.InitSecContextWithOptions(testSPN, nil, nil)
	if err != nil || !more {
		t.Fatalf("first token: more %v, %v", more, err)
	}
	server, reply, err := testHost(t).AcceptUnbound(tok)
	if err != nil {
		t.Fatal(err)
	}
	if out, more, err := s.InitSecContext(testSPN, reply); err != nil || more || out == nil {
		t.Fatalf("after the reply: %v more %v, %v", out, more, err)
	}
	offer, err := server.wrap([]byte{layers, 0, 0xff, 0xff}, false)
	if err != nil {
		t.Fatal(err)
	}
	answer, err = s.NegotiateSaslAuth(offer, "")
	return server, answer, err
}

func TestSASLTakesTheSealedLayer(t *testing.T) {
	src := func(_ context.Context, service string) (*Ticket, error) {
		if service != testSPN {
			t.Errorf("ticket for %q", service)
		}
		return goodForge().ticket(t), nil
	}
	s := NewSASL(t.Context(), src)
	server, answer, err := saslServer(t, s, 1|2|4)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := server.unwrap(answer, false); err != nil || len(got) != 4 || got[0] != saslSeal {
		t.Errorf("answer %v, %v", got, err)
	}
	if err := s.DeleteSecContext(); err != nil { // the library calls it after the bind
		t.Fatal(err)
	}
	sealed, err := s.Wrap([]byte("search"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := server.Unwrap(sealed); err != nil || string(got) != "search" {
		t.Errorf("%q, %v", got, err)
	}
	back, err := server.Wrap([]byte("entry"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Unwrap(back); err != nil || string(got) != "entry" {
		t.Errorf("%q, %v", got, err)
	}
	if _, _, err := saslServer(t, NewSASL(t.Context(), src), 1|2); err == nil {
		t.Error("a server without the sealed layer is taken")
	}
}

func TestSASLOutOfOrder(t *testing.T) {
	boom := errors.New("no ticket")
	s := NewSASL(t.Context(), func(context.Context, string) (*Ticket, error) { return nil, boom })
	if _, _, err := s.InitSecContext(testSPN, nil); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if _, _, err := s.InitSecContext(testSPN, []byte{1}); err == nil {
		t.Error("a reply before a request")
	}
	if _, err := s.NegotiateSaslAuth(nil, ""); err == nil {
		t.Error("an offer before a context")
	}
	if _, err := s.Wrap(nil); err == nil {
		t.Error("wrap before a context")
	}
	if _, err := s.Unwrap(nil); err == nil {
		t.Error("unwrap before a context")
	}
}
