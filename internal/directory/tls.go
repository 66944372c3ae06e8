package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
)

// secure does the TLS handshake of LDAPS. The controller's certificate is verified
// against the name that it was called by.
func secure(ctx context.Context, raw net.Conn, config *tls.Config, host string) (*tls.Conn, error) {
	config = config.Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	config.MinVersion = max(config.MinVersion, tls.VersionTLS12)
	tc := tls.Client(raw, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		var bad *tls.CertificateVerificationError
		if errors.As(err, &bad) {
			return nil, fmt.Errorf("its certificate is not good (--ca-file names the authority to trust): %w", bad.Err)
		}
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return tc, nil
}
