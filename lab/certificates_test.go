package lab

import (
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"
)

// QEMU verifies the name that it connects to, on both sides, by what its own host has.
func TestHostsTrustEachOthersQEMUCertificates(t *testing.T) {
	hosts := Options{Hosts: []string{HV01, HV02}}.cast()
	hosts = []spec{hosts[1], hosts[2]}
	all, err := qemuCertificates(hosts)
	if err != nil {
		t.Fatal(err)
	}
	content := func(host, path string) []byte {
		t.Helper()
		for _, f := range all[host] {
			if f.Path == "/etc/pki/qemu/"+path {
				return []byte(f.Content)
			}
		}
		t.Fatalf("%s has no %s", host, path)
		return nil
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(content(HV01, "ca-cert.pem")) {
		t.Fatal("no authority")
	}
	for _, s := range hosts {
		for _, use := range []struct {
			side  string
			usage x509.ExtKeyUsage
		}{{"server", x509.ExtKeyUsageServerAuth}, {"client", x509.ExtKeyUsageClientAuth}} {
			pair, err := tls.X509KeyPair(content(s.name, use.side+"-cert.pem"), content(s.name, use.side+"-key.pem"))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{s.address(Migration), s.address(Management), s.fqdn()} {
				_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{use.usage}, CurrentTime: time.Now()})
				if err != nil {
					t.Errorf("%s, %s, as %s: %v", s.name, use.side, name, err)
				}
			}
		}
	}
}

func TestOnlyMonolithicLibvirtListensForTCP(t *testing.T) {
	if _, err := (Options{Libvirt: Modular, LibvirtTCP: true}).withDefaults(); err == nil {
		t.Error("a modular libvirt was to listen for TCP")
	}
}
