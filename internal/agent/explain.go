package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"time"

	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/krb"
)

// explainer turns the KDC's one refusal for every misconfiguration into the one
// that it is, by what the directory holds.
type explainer struct {
	kerberos *krb.Host
	log      *slog.Logger
}

// explainTimeout bounds the look into the directory, which only words an error
// better.
const explainTimeout = 10 * time.Second

func (e *explainer) explain(ctx context.Context, err error) error {
	var refusal *krb.DelegationError
	if !errors.As(err, &refusal) {
		return err
	}
	explain, done := e.several()
	defer done()
	return explain(ctx, refusal)
}

// several explains refusals that belong together over one connection, which is made
// for the first of them and which done closes. It is for one goroutine.
func (e *explainer) several() (explain func(context.Context, *krb.DelegationError) error, done func()) {
	var conn *directory.Conn
	var dir doctor.Directory
	var failed error
	explain = func(ctx context.Context, refusal *krb.DelegationError) error {
		ctx, cancel := context.WithTimeout(ctx, explainTimeout)
		defer cancel()
		if conn == nil && failed == nil {
			if conn, failed = e.dial(ctx); failed == nil {
				dir = doctor.Remembering(conn)
			} else {
				e.log.Warn("directory not readable", "error", failed)
			}
		}
		return doctor.DiagnoseDelegation(ctx, dir, failed, refusal)
	}
	return explain, func() {
		if conn != nil {
			_ = conn.Close()
		}
	}
}

func (e *explainer) dial(ctx context.Context) (*directory.Conn, error) {
	return directory.Dial(ctx, directory.Options{
		Domain: strings.ToLower(e.kerberos.Realm()), Principal: e.kerberos.Account(),
		Security: func(ctx context.Context, _ *tls.ConnectionState) directory.Security {
			return krb.NewSASL(ctx, e.kerberos.Self)
		},
	})
}
