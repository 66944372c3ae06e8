package doctor

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/krb"
)

// withoutKDC is a krb5.conf whose KDC does not answer.
func withoutKDC(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	path := filepath.Join(t.TempDir(), "krb5.conf")
	text := "[libdefaults]\n default_realm = R\n udp_preference_limit = 1\n[realms]\n R = {\n  kdc = " + addr + "\n }\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A KDC that is away says nothing about delegation.
func TestTrialWithoutKDCIsNoVerdict(t *testing.T) {
	h, err := krb.OpenHost(krb.Config{Krb5Conf: withoutKDC(t), Keytab: filepath.Join(t.TempDir(), "none"), Account: "HV01$"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Trial{Operator: "operator@R", Method: ByTransition, Services: []string{"cifs/HV02"}}.Run(t.Context(), h)
	if !fault.Is(err, fault.KDCUnreachable) || got != nil {
		t.Errorf("%+v %v", got, err)
	}
}

func TestKeytabProberNeedsTheKeyOfItsSource(t *testing.T) {
	_, err := NewKeytabProber(KeytabOptions{Krb5Conf: withoutKDC(t), Keytab: filepath.Join(t.TempDir(), "none"), Account: "HV01$", Host: "HV01"})
	if err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("%v", err)
	}
}

func TestKeytabProberHasOnlyTheCallersTicket(t *testing.T) {
	p := &keytabProber{}
	if _, err := p.Probe(t.Context(), "other@R", ByTicket, []string{"cifs/HV02"}); !fault.Is(err, fault.Usage) {
		t.Errorf("%v", err)
	}
}

// counting counts how often an account is read.
type counting struct {
	stub
	n   map[string]int
	err error
}

func (c counting) Account(ctx context.Context, name string) (directory.Account, error) {
	c.n[name]++
	if c.err != nil {
		return directory.Account{}, c.err
	}
	return c.stub.Account(ctx, name)
}

func TestRememberingReadsOnce(t *testing.T) {
	c := counting{stub{"a": {Name: "a"}}, map[string]int{}, nil}
	d := Remembering(c)
	for range 3 {
		if a, err := d.Account(t.Context(), "a"); err != nil || a.Name != "a" {
			t.Errorf("%+v %v", a, err)
		}
		if _, err := d.Account(t.Context(), "b"); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%v", err)
		}
	}
	if c.n["a"] != 1 || c.n["b"] != 1 {
		t.Errorf("read %v", c.n)
	}
	// A controller that went away may come back.
	c.err = errors.New("connection lost")
	d = Remembering(c)
	for range 2 {
		if _, err := d.Account(t.Context(), "c"); err == nil {
			t.Error("no error")
		}
	}
	if c.n["c"] != 2 {
		t.Errorf("an error was remembered")
	}
}
