package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"time"
)

// CAPath is the certificate, in PEM, of the authority that signed the domain controller's
// certificate; every member has it there.
const CAPath = "/usr/local/share/ca-certificates/drover-lab.crt"

// certificates are what the domain controller serves LDAPS with, all in PEM. They are made here
// because the certificate that Samba makes for itself can have a negative serial number, which
// Go refuses.
type certificates struct{ ca, cert, key string }

func newCertificates() (certificates, error) {
	var c certificates
	ca, err := newAuthority("Drover lab CA")
	if err != nil {
		return c, err
	}
	c.ca = ca.pem
	c.cert, c.key, err = ca.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "dc1." + Domain},
		DNSNames:    []string{"dc1." + Domain, "dc1", Domain},
		IPAddresses: []net.IP{net.ParseIP(members[0].address(Management))},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return c, err
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
	last int64 // serial number given out
}

func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	a := &authority{key: key, last: 1, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	a.pem = encodePEM("CERTIFICATE", der)
	return a, nil
}

// issue completes and signs a certificate with a new key; both in PEM.
func (a *authority) issue(c *x509.Certificate) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	a.last++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.last), a.cert.NotBefore, a.cert.NotAfter
	c.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &private.PublicKey, a.key)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return "", "", err
	}
	return encodePEM("CERTIFICATE", der), encodePEM("PRIVATE KEY", keyDER), nil
}

func encodePEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// qemuCertificates are what QEMUs of the hosts use for libvirt's own encrypted
// migration, by host: each is a server and a client under its addresses and names.
func qemuCertificates(hosts []spec) (map[string][]file, error) {
	ca, err := newAuthority("Drover lab QEMU CA")
	if err != nil {
		return nil, err
	}
	const dir = "/etc/pki/qemu/"
	files := map[string][]file{}
	for _, s := range hosts {
		cert, key, err := ca.issue(&x509.Certificate{
			Subject:     pkix.Name{CommonName: s.fqdn()},
			DNSNames:    []string{s.fqdn(), strings.ToLower(s.name)},
			IPAddresses: []net.IP{net.ParseIP(s.address(Migration)), net.ParseIP(s.address(Management))},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		})
		if err != nil {
			return nil, err
		}
		files[s.name] = []file{{dir + "ca-cert.pem", 0o644, ca.pem},
			{dir + "server-cert.pem", 0o644, cert}, {dir + "server-key.pem", 0o600, key},
			{dir + "client-cert.pem", 0o644, cert}, {dir + "client-key.pem", 0o600, key}}
	}
	return files, nil
}
