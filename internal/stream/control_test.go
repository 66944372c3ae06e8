package stream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
)

type note struct {
	N    int
	Text string
}

// controls is a connected pair of control connections, not authenticated.
func (e *env) controls(t *testing.T) (src, dst *Unauthenticated) {
	t.Helper()
	src, err := DialControl(e.ctx, e.opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { src.Close() })
	return src, <-e.ctl
}

// swap is an authentication that exchanges one token and accepts the peer when
// its binding is this side's.
func swap(peer string) func(context.Context, Exchange) (string, error) {
	return func(ctx context.Context, x Exchange) (string, error) {
		if err := x.SendToken(ctx, x.ExporterBinding()); err != nil {
			return "", err
		}
		token, err := x.ReceiveToken(ctx)
		if err != nil {
			return "", err
		}
		if !bytes.Equal(token, x.ExporterBinding()) {
			return "", fault.New(fault.BindingMismatch, "HV02")
		}
		return peer, nil
	}
}

func (e *env) authenticated(t *testing.T) (src, dst *Control) {
	t.Helper()
	a, b := e.controls(t)
	type result struct {
		c   *Control
		err error
	}
	other := make(chan result, 1)
	go func() {
		c, err := b.Authenticate(e.ctx, swap("HV01"))
		other <- result{c, err}
	}()
	src, err := a.Authenticate(e.ctx, swap("HV02"))
	r := <-other
	if err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
	t.Cleanup(func() { src.Close(); r.c.Close() })
	return src, r.c
}

func TestMessagesGoBothWays(t *testing.T) {
	e := newEnv(t, lively)
	src, dst := e.authenticated(t)
	big := strings.Repeat("x", MaxMessage-100)
	sent := make(chan error, 1)
	go func() { sent <- src.Send(e.ctx, note{1, big}) }()
	var got note
	if err := dst.Receive(e.ctx, &got); err != nil || got.N != 1 || got.Text != big {
		t.Fatalf("%d, %d bytes, %v", got.N, len(got.Text), err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	// Longer than the limit of silence: the life signs keep it up.
	eventually(t, "pings", func() bool {
		if src.Err() != nil || dst.Err() != nil {
			t.Fatal(src.Err(), dst.Err())
		}
		return src.link.framesIn.Load() > 70
	})
	for i := range 3 {
		if err := dst.Send(e.ctx, note{N: i}); err != nil {
			t.Fatal(err)
		}
		if err := src.Receive(e.ctx, &got); err != nil || got.N != i {
			t.Fatal(got.N, err)
		}
	}
	if err := src.Send(e.ctx, strings.Repeat("x", MaxMessage)); err == nil {
		t.Error("a message over the limit was sent")
	}
}

func TestCloseOfAControlDeliversWhatWasSent(t *testing.T) {
	e := newEnv(t, Timing{})
	src, dst := e.authenticated(t)
	closed := make(chan error, 1)
	go func() {
		err := src.Send(e.ctx, note{N: 5})
		src.Close()
		closed <- errors.Join(err, src.Close())
	}()
	var got note
	if err := dst.Receive(e.ctx, &got); err != nil || got.N != 5 {
		t.Fatal(got, err)
	}
	if err := dst.Receive(e.ctx, &got); err != io.EOF {
		t.Errorf("after Close: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if src.Err() != nil || dst.Err() != nil {
		t.Errorf("a good end is no error: %v, %v", src.Err(), dst.Err())
	}
	if err := dst.Send(e.ctx, note{}); err == nil {
		t.Error("Send after the peer closed succeeded")
	}
}

func TestAbortOfAControlReachesThePeer(t *testing.T) {
	e := newEnv(t, Timing{})
	src, dst := e.authenticated(t)
	go src.Abort(fault.New(fault.MigrationDisabled, "HV02", "direction", "incoming"))
	var got note
	if err := dst.Receive(e.ctx, &got); !fault.Is(err, fault.MigrationDisabled) || !strings.Contains(err.Error(), "incoming") {
		t.Errorf("error: %v", err)
	}
	<-dst.Done()
	if !fault.Is(dst.Err(), fault.MigrationDisabled) {
		t.Errorf("Err: %v", dst.Err())
	}
}

func TestRefusedAuthenticationGivesNoControl(t *testing.T) {
	e := newEnv(t, Timing{})
	a, b := e.controls(t)
	refused := make(chan error, 1)
	go func() {
		c, err := b.Authenticate(e.ctx, func(context.Context, Exchange) (string, error) {
			return "", fault.New(fault.RoleMissing, "HV02", "operator", "eve", "role", "operator")
		})
		if c != nil {
			t.Error("a Control came with the error")
		}
		refused <- err
	}()
	c, err := a.Authenticate(e.ctx, swap(""))
	if c != nil || !fault.Is(err, fault.RoleMissing) || !strings.Contains(err.Error(), "eve") {
		t.Errorf("opener: %v, %v", c, err)
	}
	if err := <-refused; !fault.Is(err, fault.RoleMissing) {
		t.Errorf("listener: %v", err)
	}
	if _, err := a.Authenticate(e.ctx, swap("")); err == nil {
		t.Error("a second Authenticate on the same connection")
	}
}

func TestMessageBeforeAuthenticationIsRefused(t *testing.T) {
	e := newEnv(t, Timing{})
	a, b := e.controls(t)
	if err := writeFrame(a.conn, frameMessage, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Authenticate(e.ctx, swap("")); !fault.Is(err, fault.ProtocolError) {
		t.Errorf("error: %v", err)
	}
}

func TestTokenOverTheLimitIsRefused(t *testing.T) {
	e := newEnv(t, Timing{})
	a, b := e.controls(t)
	err := Exchange{a}.SendToken(e.ctx, make([]byte, MaxToken+1))
	if err == nil {
		t.Error("it was sent")
	}
	h := make([]byte, headerSize)
	header{typ: frameToken, length: MaxToken + 1}.put(h)
	if _, err := a.conn.Write(h); err != nil {
		t.Fatal(err)
	}
	if _, err := (Exchange{b}).ReceiveToken(e.ctx); !fault.Is(err, fault.ProtocolError) {
		t.Errorf("error: %v", err)
	}
}

func TestAuthenticationHasADeadline(t *testing.T) {
	e := newEnv(t, Timing{Auth: 100 * time.Millisecond})
	a, b := e.controls(t)
	_, err := b.Authenticate(e.ctx, func(ctx context.Context, x Exchange) (string, error) {
		_, err := x.ReceiveToken(ctx) // nobody sends one
		return "", err
	})
	if !fault.Is(err, fault.PeerSilent) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error: %v", err)
	}
	a.Close()
}

func TestReceiveAndSendEndWithTheirContext(t *testing.T) {
	e := newEnv(t, Timing{})
	src, dst := e.authenticated(t)
	why := errors.New("the operator changed his mind")
	ctx, cancel := context.WithCancelCause(e.ctx)
	got := make(chan error, 1)
	go func() { got <- src.Receive(ctx, new(note)) }()
	cancel(why)
	if err := <-got; !errors.Is(err, why) {
		t.Errorf("Receive: %v", err)
	}
	// The connection is still good.
	go func() { got <- dst.Send(e.ctx, note{N: 3}) }()
	var n note
	if err := src.Receive(e.ctx, &n); err != nil || n.N != 3 || <-got != nil {
		t.Fatal(n, err)
	}
	// Send: nobody receives, so the connection fills up.
	ctx, cancel = context.WithCancelCause(e.ctx)
	go func() {
		for {
			if err := src.Send(ctx, strings.Repeat("x", 4<<20)); err != nil {
				got <- err
				return
			}
		}
	}()
	eventually(t, "a message on its way", func() bool { return src.link.raw.out.Load() > 1<<20 })
	cancel(why)
	if err := <-got; !errors.Is(err, why) {
		t.Errorf("Send: %v", err)
	}
}

func TestReceiveGivesMessagesThatCannotBeRead(t *testing.T) {
	e := newEnv(t, Timing{})
	src, dst := e.authenticated(t)
	if err := src.Send(e.ctx, "text"); err != nil {
		t.Fatal(err)
	}
	if err := dst.Receive(e.ctx, new(note)); !fault.Is(err, fault.ProtocolError) {
		t.Errorf("error: %v", err)
	}
}
