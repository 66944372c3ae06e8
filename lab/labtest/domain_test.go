package labtest

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"drover/internal/krb"
	"drover/lab"
)

// domain is a lab's Kerberos and LDAP as seen from the test's own process.
type domain struct {
	*lab.Lab
	conf string // krb5.conf whose KDC is forwarded into the lab
	dir  string
}

func startDomain(t *testing.T) *domain {
	l := lab.Start(t, lab.Options{Name: "krb", NoAgents: true, Hosts: []string{lab.HV01, lab.HV02, lab.HV03}})
	return domainOf(t, l)
}

func domainOf(t *testing.T, l *lab.Lab) *domain {
	d := &domain{Lab: l, dir: t.TempDir()}
	d.conf = filepath.Join(d.dir, "krb5.conf")
	kdc := d.forward(t, "dc1:88")
	text := "[libdefaults]\n default_realm = " + lab.Realm + "\n[realms]\n " + lab.Realm + " = {\n  kdc = " + kdc + "\n }\n"
	if err := os.WriteFile(d.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// forward gives a loopback address whose connections end inside the lab.
func (d *domain) forward(t *testing.T, to string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { d.relay(t, c, to) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func (d *domain) relay(t *testing.T, c net.Conn, to string) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	far, err := d.Member(lab.MGMT).Dial(ctx, "tcp", to)
	if err != nil {
		t.Logf("relay to %s: %v", to, err)
		return
	}
	defer far.Close()
	go func() { io.Copy(far, c); far.Close() }()
	io.Copy(c, far)
}

// signInAt is `drover login` on a machine with a clock of its own.
func (d *domain) signInAt(t *testing.T, user string, now func() time.Time) (string, error) {
	return krb.Login(t.Context(), user, lab.UserPassword, filepath.Join(d.dir, "cc-at"), d.conf, now)
}
