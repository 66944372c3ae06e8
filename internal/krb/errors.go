package krb

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-krb5/krb5/iana/errorcode"

	"drover/internal/fault"
)

// kdcError is a KRB_ERROR (RFC 4120 5.9.1).
type kdcError struct {
	Step     string // "AS", "TGS", "S4U2Self", "S4U2Proxy", "AP-REQ"
	Code     int32
	Text     string
	NTStatus uint32    // of KERB-EXT-ERROR, 0 when the KDC sends none (Samba)
	Time     time.Time // the KDC's clock
	edata    []byte
}

func (e *kdcError) Error() string {
	s := fmt.Sprintf("%s: KDC error %s", e.Step, errorcode.Lookup(e.Code))
	if e.Text != "" {
		s += " (" + e.Text + ")"
	}
	if e.NTStatus != 0 {
		s += fmt.Sprintf(", NTSTATUS 0x%08X", e.NTStatus)
	}
	return s
}

func kdcCode(err error) int32 {
	var e *kdcError
	if errors.As(err, &e) {
		return e.Code
	}
	return -1
}

// DelegationError is a KDC's refusal of S4U2Proxy. The KDC says the same (error
// 13, BADOPTION) for every reason, so somebody has to look at the directory; what
// is known here is what they need. Its chain also has the fault
// delegation-refused, for callers that do not look.
type DelegationError struct {
	Account             string // the delegating account, "HV01$@REALM"
	Operator            string // "operator@REALM"
	Service             string // the service asked for
	EvidenceForwardable bool
	ViaTransition       bool   // the evidence came by S4U2Self
	NTStatus            uint32 // from Windows controllers, else 0
	Host                string

	cause error
}

// Error says what was refused.
func (e *DelegationError) Error() string {
	return fmt.Sprintf("%s may not act for %s at %q: %v", e.Account, e.Operator, e.Service, e.cause)
}

// Unwrap gives the fault and the KDC's error.
func (e *DelegationError) Unwrap() []error {
	return []error{fault.Wrap(e.cause, fault.DelegationRefused, e.Host, "account", e.Account,
		"operator", e.Operator, "service", e.Service, "reason", e.reason()), e.cause}
}

func (e *DelegationError) reason() string {
	if !e.EvidenceForwardable {
		return "the operator's ticket is not forwardable"
	}
	if e.NTStatus != 0 {
		return fmt.Sprintf("NTSTATUS 0x%08X", e.NTStatus)
	}
	return "the controller names none"
}

// unreachableError means that no KDC answered.
type unreachableError struct {
	realm string
	err   error
}

func (e *unreachableError) Error() string {
	return "no KDC of " + e.realm + " answered: " + e.err.Error()
}
func (e *unreachableError) Unwrap() error { return e.err }

// commonFault codes what means the same in every exchange: unreachable KDCs,
// clocks, unknown services. It gives nil when it does not know.
func commonFault(err error, host, service string, now time.Time) error {
	var u *unreachableError
	if errors.As(err, &u) {
		return fault.Wrap(err, fault.KDCUnreachable, host, "realm", u.realm)
	}
	var e *kdcError
	if !errors.As(err, &e) {
		return nil
	}
	switch e.Code {
	case errorcode.KRB_AP_ERR_SKEW:
		return fault.Wrap(err, fault.ClockSkew, host, "peer", "the domain controller", "skew", skewText(now.Sub(e.Time)))
	case errorcode.KDC_ERR_S_PRINCIPAL_UNKNOWN:
		return fault.Wrap(err, fault.ServiceUnknown, host, "service", service)
	}
	return nil
}

// otherFault is for what a KDC answers that has no code of its own; other errors stay
// as they are.
func otherFault(err error, host, service string) error {
	var r *referralError
	if errors.As(err, &r) {
		return fault.Wrap(err, fault.KerberosFailed, host, "service", service, "reason", r.Error())
	}
	var e *kdcError
	if !errors.As(err, &e) {
		return fmt.Errorf("ticket for %q: %w", service, err)
	}
	return fault.Wrap(err, fault.KerberosFailed, host, "service", service, "reason", errorcode.Lookup(e.Code))
}

func skewText(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	return d.Round(time.Second).String()
}

// hostOfService is the host of "SERVICE/HOST", for messages.
func hostOfService(s string) string {
	if _, h, ok := strings.Cut(s, "/"); ok {
		return h
	}
	return s
}
