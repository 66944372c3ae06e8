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
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Drover lab CA"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return c, err
	}
	dcKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, err
	}
	dc := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "dc1." + Domain},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0),
		DNSNames:    []string{"dc1." + Domain, "dc1", Domain},
		IPAddresses: []net.IP{net.ParseIP(members[0].address(Management))},
		KeyUsage:    x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	dcDER, err := x509.CreateCertificate(rand.Reader, dc, ca, &dcKey.PublicKey, caKey)
	if err != nil {
		return c, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(dcKey)
	if err != nil {
		return c, err
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	c.ca, c.cert, c.key = encode("CERTIFICATE", caDER), encode("CERTIFICATE", dcDER), encode("PRIVATE KEY", keyDER)
	return c, nil
}
