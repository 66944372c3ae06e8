package agent

import (
	"context"
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
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	conn, derr := directory.Dial(ctx, directory.Options{
		Domain:   strings.ToLower(e.kerberos.Realm()),
		Security: func(ctx context.Context) directory.Security { return krb.NewSASL(ctx, e.kerberos.Self) },
	})
	if derr != nil {
		e.log.Warn("directory not readable", "error", derr)
		return doctor.DiagnoseDelegation(ctx, nil, derr, refusal)
	}
	defer conn.Close()
	return doctor.DiagnoseDelegation(ctx, conn, nil, refusal)
}
