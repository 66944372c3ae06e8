package cli

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"drover/internal/delegation"
	"drover/internal/doctor"
	"drover/internal/fault"
)

// doctorPatience bounds how long a failed move waits for the doctor.
const doctorPatience = 30 * time.Second

// forTheDoctor are failures whose cause may lie in names, network, Kerberos or the
// directory. Of the others the message says all that can be known from here.
var forTheDoctor = []fault.Code{
	fault.KDCUnreachable, fault.KerberosFailed, fault.ClockSkew, fault.AgentNoKeytab, fault.KeytabStale, fault.ServiceUnknown, fault.AuthRefused,
	fault.BindingMismatch, fault.RoleMissing, fault.OperatorUnknown, fault.DelegationMissing, fault.DelegationNoStorage, fault.DelegationNoProtocol,
	fault.EvidenceNotForward, fault.OperatorSensitive, fault.DelegationRefused, fault.NotDelegated, fault.HostUnknown, fault.AgentUnreachable,
	fault.MigrationDisabled, fault.NoCommonNetwork, fault.MigrationPort, fault.NetworkMismatch, fault.PeerSilent,
}

// askDoctor looks for the cause of a failed move between its two hosts, and shows the
// first finding below the error. It gives back the error, as reported.
func (p *program) askDoctor(ctx context.Context, signals <-chan os.Signal, o moveOptions, failed error) error {
	if failed == nil || o.noDoctor || p.out != table || !slices.Contains(forTheDoctor, fault.From(failed).Code) {
		return failed
	}
	p.report(failed)
	d := delegation.Direction{Source: sourceName(o.target), Destination: o.to}
	if d.Source == "" {
		return reported{failed}
	}
	p.screen.line("looking for the cause; --no-doctor leaves this out")
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // ends the next one, before it is waited for
	wg.Go(func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	})
	r, err := p.examine(ctx, directoryFlags{}, doctor.Question{Pairs: []delegation.Direction{d}})
	if err != nil {
		p.screen.line("the doctor did not come to an end: %s", fault.From(err).Message())
		return reported{failed}
	}
	p.showFirst(&r, d)
	return reported{failed}
}

// showFirst shows the finding to begin with.
func (p *program) showFirst(r *doctor.Report, d delegation.Direction) {
	again := "drover doctor " + d.String()
	if len(r.Causes) == 0 {
		p.screen.line("the doctor finds nothing more; `%s` shows what it looked at", again)
		return
	}
	var b strings.Builder
	writeCause(&b, 1, r.Causes[0], p.textWidth(), false)
	_, _ = p.stderr.Write([]byte(b.String()))
	more := "how to undo it, and to do it with other tools"
	if n := len(r.Causes) - 1; n > 0 {
		more = count(n, "more cause") + ", " + more
	}
	p.screen.line("%s: %s", more, again)
}

// sourceName is the name of the host that a move begins at.
func sourceName(t target) string {
	if t.host == "" {
		return hereName()
	}
	if h, _, err := net.SplitHostPort(t.host); err == nil {
		return h
	}
	return t.host
}
