package benchdirectory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/audit"
	"drover/internal/directory"
	"drover/lab"
)

// watch has a watcher look at the directory a number of times, and notes the median of
// what a look takes. It is the watcher of `drover delegation watch` within
// this process, since what happens at an interval cannot be told apart from outside.
func (b *bench) watch(ctx context.Context, c measured, f *Figure) error {
	p, err := audit.ReadPolicy(strings.NewReader(policy), policyPath)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var took []float64
	var begun time.Time
	var failed error
	ready := make(chan time.Time, 1)
	err = audit.Watch(ctx, p, audit.WatchOptions{
		Connect: b.connect,
		Tick: func(time.Duration) <-chan time.Time {
			if c.busy && ctx.Err() == nil { // it asks once more when it is told to stop
				b.touch(ctx, &failed)
			}
			ready <- time.Time{}
			begun = time.Now()
			return ready
		},
		Sink: func(e audit.Event) {
			switch {
			case e.Kind == audit.Failing:
				failed = errors.New(e.Error)
				stop()
			case e.Kind != audit.Round || begun.IsZero(): // the first look reads everything
			case failed == nil && len(took) < c.looks:
				took = append(took, milliseconds(time.Since(begun)))
			default:
				stop()
			}
		},
	})
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	slices.Sort(took)
	f.RunsMS = append(f.RunsMS, median(took))
	return nil
}

// touch changes something that no policy is about.
func (b *bench) touch(ctx context.Context, failed *error) {
	b.touched++
	user := "CN=" + lab.PopulationUser(1) + "," + lab.PopulationPeopleOU
	*failed = errors.Join(*failed, b.lab.Directory().Replace(ctx, user, "description", strconv.Itoa(b.touched)))
}

// connect signs the administrator in as a watcher's own connection, by password over
// TLS: this process does not reach the lab's Kerberos server.
func (b *bench) connect(ctx context.Context) (audit.Directory, func(), error) {
	mgmt := b.lab.Member(lab.MGMT)
	pem, err := os.ReadFile(mgmt.Path(lab.CAPath))
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	c, err := directory.Dial(ctx, directory.Options{
		Domain: lab.Domain, Servers: []string{"dc1." + lab.Domain}, Dial: mgmt.Dial,
		LDAPS:  &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		Simple: &directory.Simple{User: lab.UserAdministrator + "@" + lab.Domain, Password: lab.AdministratorPassword},
	})
	if err != nil {
		return nil, nil, err
	}
	return c, func() { _ = c.Close() }, nil
}
