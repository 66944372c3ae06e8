package cli

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// A listener that never answers ends the question by its deadline, which the doctor
// knows from a refusal.
func TestHelloEndsInTimeAndSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = hello(ctx, netip.MustParseAddrPort(l.Addr().String()))
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v", err)
	}
	_ = l.Close()
	if _, err = hello(t.Context(), netip.MustParseAddrPort(l.Addr().String())); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("closed: %v", err)
	}
}
