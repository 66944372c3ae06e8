package labtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/lab"
)

// middle is a proxy that opens TLS: what it forwards it could read and change.
type middle struct {
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)
	cert     tls.Certificate
	wg       sync.WaitGroup
	carried  atomic.Int64 // bytes in the clear
}

// intercept stands at an address of a member until the test ends; dial leads to
// whom the callers mean.
func (s *site) intercept(t *testing.T, member, address string, dial func(context.Context) (net.Conn, error)) *middle {
	t.Helper()
	l, err := s.Member(member).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	m := &middle{listener: l, dial: dial, cert: selfSigned(t)}
	ctx, cancel := context.WithCancel(context.Background())
	m.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			m.wg.Go(func() { m.relay(ctx, c) })
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		m.wg.Wait()
	})
	return m
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(7), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// relay speaks TLS with both sides, and with the far one just as the near one does.
func (m *middle) relay(ctx context.Context, near net.Conn) {
	defer near.Close()
	var hello tls.ClientHelloInfo
	in := tls.Server(near, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		hello = *h
		return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{m.cert}, NextProtos: h.SupportedProtos}, nil
	}})
	if in.HandshakeContext(ctx) != nil {
		return
	}
	far, err := m.dial(ctx)
	if err != nil {
		return
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { near.Close(); far.Close() })()
	out := tls.Client(far, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, ServerName: hello.ServerName, NextProtos: hello.SupportedProtos})
	if out.HandshakeContext(ctx) != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { n, _ := io.Copy(out, in); m.carried.Add(n); far.Close() })
	n, _ := io.Copy(in, out)
	m.carried.Add(n)
	near.Close()
	wg.Wait()
}

// testMiddle: a man in the middle can carry a sign-in, and gains nothing by it.
func (s *site) testMiddle(t *testing.T) {
	t.Run("of operator and agent", func(t *testing.T) {
		m := s.intercept(t, lab.MGMT, "127.0.0.1:6601", func(ctx context.Context) (net.Conn, error) {
			return s.Member(lab.HV01).Dial(ctx, "tcp", "hv01:6601")
		})
		hosts := s.Member(lab.MGMT).Path("/etc/hosts")
		right, err := os.ReadFile(hosts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.WriteFile(hosts, right, 0o644); err != nil {
				t.Error(err)
			}
		}()
		address := s.Member(lab.HV01).Address(lab.Management)
		if err := os.WriteFile(hosts, []byte(strings.ReplaceAll(string(right), address+" ", "127.0.0.1 ")), 0o644); err != nil {
			t.Fatal(err)
		}
		s.refused(t, lab.UserOperator, refusal{fault.BindingMismatch, 4, []string{"HV01"}}, app()...)
		m.wasThere(t)
	})
	t.Run("of agent and agent", func(t *testing.T) {
		address := s.Member(lab.HV02).Address(lab.Migration)
		s.impersonate(t, lab.HV03, address)
		m := s.intercept(t, lab.HV03, address+":6600", func(ctx context.Context) (net.Conn, error) {
			return s.Member(lab.HV02).Dial(ctx, "tcp", address+":6600")
		})
		s.refused(t, lab.UserOperator, refusal{fault.BindingMismatch, 4, []string{"HV02"}}, app()...)
		m.wasThere(t)
	})
}

// impersonate makes a member of the migration network take what HV01 sends to an
// address there, as one does who lies about it in ARP.
func (s *site) impersonate(t *testing.T, member, address string) {
	t.Helper()
	if _, err := s.StopAgent(t.Context(), member); err != nil { // it has the port
		t.Fatal(err)
	}
	s.run(t, member, "ip", "address", "add", address+"/32", "dev", "mig")
	mac := s.run(t, member, "cat", "/sys/class/net/mig/address")
	s.run(t, lab.HV01, "ip", "neighbour", "replace", address, "lladdr", mac, "dev", "mig", "nud", "permanent")
	t.Cleanup(func() {
		_, err := s.Member(member).Run(context.Background(), "ip", "address", "delete", address+"/32", "dev", "mig")
		_, err2 := s.Member(lab.HV01).Run(context.Background(), "ip", "neighbour", "delete", address, "dev", "mig")
		if err := errors.Join(err, err2, s.StartAgent(context.Background(), member)); err != nil {
			t.Error(err)
		}
	})
}

func (m *middle) wasThere(t *testing.T) {
	t.Helper()
	m.listener.Close()
	eventually(t, 10*time.Second, func(context.Context) error {
		if m.carried.Load() == 0 {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
}
