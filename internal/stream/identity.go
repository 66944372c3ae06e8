package stream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	identityFile = "agent.pem"
	validFor     = 365 * 24 * time.Hour
	renewBefore  = 30 * 24 * time.Hour
)

// Identity is an agent's certificate with its key. Nobody verifies it by a
// chain, so it proves nothing by itself; it is what TLS needs to make a key.
type Identity struct {
	cert tls.Certificate
}

// LoadOrCreateIdentity reads DIR/agent.pem (key and certificate in one file of
// mode 0600, so that they can be replaced in one step). It makes a new
// self-signed ECDSA P-256 identity when there is none, when the one there is
// near its end, is for another host name, cannot be read as one, or could have
// been read by others. Nothing depends on the key staying the same.
func LoadOrCreateIdentity(dir, hostname string) (*Identity, error) {
	return loadOrCreate(dir, hostname, time.Now())
}

func loadOrCreate(dir, hostname string, now time.Time) (*Identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("agent's identity: %w", err)
	}
	path := filepath.Join(dir, identityFile)
	cert, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("agent's identity: %w", err)
	}
	if cert != nil && cert.Leaf.VerifyHostname(hostname) == nil &&
		now.After(cert.Leaf.NotBefore) && now.Add(renewBefore).Before(cert.Leaf.NotAfter) {
		return &Identity{*cert}, nil
	}
	pemBytes, err := generate(hostname, now)
	if err != nil {
		return nil, fmt.Errorf("agent's identity: %w", err)
	}
	if err := replaceFile(path, pemBytes); err != nil {
		return nil, fmt.Errorf("agent's identity: %w", err)
	}
	made, err := tls.X509KeyPair(pemBytes, pemBytes)
	if err != nil {
		return nil, fmt.Errorf("agent's identity: %w", err)
	}
	return &Identity{made}, nil
}

// load gives nil without an error for a file that has to be replaced.
func load(path string) (*tls.Certificate, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(b, b)
	if err != nil || cert.Leaf == nil {
		return nil, nil //nolint:nilerr // a damaged file is replaced
	}
	return &cert, nil
}

func generate(hostname string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: hostname, Organization: []string{"Drover agent"}},
		DNSNames:     []string{hostname},
		NotBefore:    now.Add(-24 * time.Hour), NotAfter: now.Add(validFor),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), nil
}

// replaceFile makes path hold b after a crash at any point, or what it held
// before. os.CreateTemp gives the file mode 0600 from its first moment.
func replaceFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Certificate is for other TLS servers of the same agent.
func (id *Identity) Certificate() tls.Certificate { return id.cert }

// Fingerprint is the SHA-256 of the certificate in lower-case hex.
func (id *Identity) Fingerprint() string {
	sum := sha256.Sum256(id.cert.Leaf.Raw)
	return hex.EncodeToString(sum[:])
}
