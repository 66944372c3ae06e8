package doctor

import (
	"fmt"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// NTSTATUS values that Windows controllers add to a refusal (MS-SFU 3.2.5.2).
const (
	statusNotSupported       = 0xC00000BB // the service is not in the list
	statusAccountRestriction = 0xC000006E // the evidence is not forwardable
)

// Why an operator cannot be delegated.
const (
	reasonSensitive = `the account is marked "sensitive and cannot be delegated" (NOT_DELEGATED in userAccountControl)`
	reasonProtected = "the account is a member of Protected Users"
)

// DelegationFacts are what is known about a refused delegation.
type DelegationFacts struct {
	Host     string // the source host, for messages
	Account  string // its account, "HV01$@LAB.DROVER.TEST"
	Operator string // "operator@LAB.DROVER.TEST"
	Service  string // the service that was asked for

	EvidenceForwardable bool
	ViaTransition       bool   // the host asked for the evidence itself (S4U2Self)
	NTStatus            uint32 // 0 from Samba

	Controller directory.Controller
	Server     string // the controller that was asked, "" when none
	// Source, OperatorAccount and Destination are the accounts as read, nil when
	// they could not be; ReadError then says why.
	Source, OperatorAccount, Destination *directory.Account
	ReadError                            error
	// Cause is what the KDC said.
	Cause error
}

// ExplainDelegation says why a KDC refused delegation. The KDC answers every case
// with the same error, so the reason is worked out: first whether the evidence can
// be used at all (a flag on the operator's account, on the host's, or on the
// ticket), then whether the list has the service.
func ExplainDelegation(d DelegationFacts) *fault.Error {
	if !d.EvidenceForwardable {
		return d.explainEvidence()
	}
	service, err := spn.Parse(d.Service)
	if err != nil {
		return d.refused("the service name is malformed")
	}
	if d.Source == nil {
		if d.NTStatus == statusNotSupported {
			return d.missing(service, d.wanted(service))
		}
		return d.refused(d.unread())
	}
	if lacking := d.lacking(service); len(lacking) > 0 {
		return d.missing(service, lacking)
	}
	if d.Source.Disabled() {
		return d.refused("the account " + d.Source.Name + " is disabled")
	}
	return d.refused(d.unexplained())
}

// explainEvidence is for evidence that is not forwardable.
func (d DelegationFacts) explainEvidence() *fault.Error {
	if o := d.OperatorAccount; o != nil {
		switch {
		case o.Sensitive():
			return d.fault(fault.OperatorSensitive, "reason", reasonSensitive)
		case o.Protected:
			return d.fault(fault.OperatorSensitive, "reason", reasonProtected)
		}
	}
	if !d.ViaTransition {
		return d.fault(fault.EvidenceNotForward)
	}
	switch {
	case d.Source == nil:
		return d.refused(d.unread() + "; the ticket that the host asked for in the operator's name is not forwardable")
	case !d.Source.AnyProtocol():
		return d.fault(fault.DelegationNoProtocol, "command", d.anyProtocolCommand())
	case d.OperatorAccount == nil:
		return d.refused("the ticket that the host asked for in the operator's name is not forwardable, and the operator's account could not be read: " + errText(d.ReadError))
	}
	return d.refused("the ticket that the host asked for in the operator's name is not forwardable, though the flags allow it")
}

// wanted are all values that the list should have for a service: the short and
// the full name of the host, with twins on Samba.
func (d DelegationFacts) wanted(s spn.Name) []string {
	short := strings.ToUpper(s.ShortHost())
	plain := []string{s.Class + "/" + short}
	if fqdn := d.fqdn(s); fqdn != "" {
		plain = append(plain, s.Class+"/"+fqdn)
	}
	if !spn.Contains(plain, s.String()) {
		plain = append(plain, s.String())
	}
	return spn.Stored(d.Controller == directory.Samba, plain...)
}

// fqdn is the destination's full name: from its account, from the service name,
// or from the realm.
func (d DelegationFacts) fqdn(s spn.Name) string {
	if d.Destination != nil && d.Destination.DNSHostName != "" {
		return strings.ToLower(d.Destination.DNSHostName)
	}
	if strings.Contains(s.Host, ".") {
		return strings.ToLower(s.Host)
	}
	if _, realm, ok := strings.Cut(d.Account, "@"); ok {
		return strings.ToLower(s.Host + "." + realm)
	}
	return ""
}

// lacking gives the values to add when the one that the KDC looks for is not in
// the list, and nothing when it is. Samba's KDC looks for the escaped form.
func (d DelegationFacts) lacking(s spn.Name) []string {
	key := s.String()
	if twin := spn.Twin(key); twin != "" && d.Controller == directory.Samba {
		key = twin
	}
	if spn.Contains(d.Source.DelegateTo, key) {
		return nil
	}
	var out []string
	for _, v := range d.wanted(s) {
		if !spn.Contains(d.Source.DelegateTo, v) {
			out = append(out, v)
		}
	}
	return out
}

func (d DelegationFacts) missing(s spn.Name, values []string) *fault.Error {
	code := fault.DelegationMissing
	if strings.EqualFold(s.Class, spn.Storage) {
		code = fault.DelegationNoStorage
	}
	return d.fault(code, "destination", strings.ToUpper(s.ShortHost()), "attribute", directory.AttributeDelegateTo,
		"values", strings.Join(values, `", "`), "command", d.addCommand(values))
}

func (d DelegationFacts) refused(reason string) *fault.Error {
	return d.fault(fault.DelegationRefused, "reason", reason)
}

func (d DelegationFacts) fault(code fault.Code, kv ...string) *fault.Error {
	return fault.Wrap(d.Cause, code, d.Host, append(kv, "account", d.Account, "operator", d.Operator, "service", d.Service)...)
}

func (d DelegationFacts) unread() string {
	return "the account of the host could not be read: " + errText(d.ReadError)
}

func (d DelegationFacts) unexplained() string {
	switch {
	case d.NTStatus == statusAccountRestriction:
		return "the controller says that the evidence may not be forwarded (0xC000006E)"
	case d.NTStatus != 0:
		return fmt.Sprintf("the controller says 0x%08X", d.NTStatus)
	case d.Destination != nil && d.Destination.ResourceBased():
		return "the destination's account has a resource-based list, which may be what decides"
	}
	return "the list has the value and no flag forbids it"
}

func errText(err error) string {
	if err == nil {
		return "no controller was asked"
	}
	return err.Error()
}

// sam is the account's name without realm.
func (d DelegationFacts) sam() string {
	if d.Source != nil && d.Source.Name != "" {
		return d.Source.Name
	}
	name, _, _ := strings.Cut(d.Account, "@")
	return name
}

// addCommand adds values to the list: one samba-tool call per value, or one line
// of PowerShell.
func (d DelegationFacts) addCommand(values []string) string {
	if d.Controller != directory.Samba {
		return fmt.Sprintf("Set-ADComputer -Identity %s -Add @{'%s'=%s}", powerShell(d.sam()), directory.AttributeDelegateTo, powerShell(values...))
	}
	var lines []string
	for _, v := range values {
		lines = append(lines, d.sambaTool("add-service", d.sam(), v))
	}
	return strings.Join(lines, "; ")
}

func (d DelegationFacts) anyProtocolCommand() string {
	if d.Controller != directory.Samba {
		return fmt.Sprintf("Set-ADAccountControl -Identity %s -TrustedToAuthForDelegation $true", powerShell(d.sam()))
	}
	return d.sambaTool("for-any-protocol", d.sam(), "on")
}

func (d DelegationFacts) sambaTool(verb string, args ...string) string {
	s := "samba-tool delegation " + verb
	for _, a := range args {
		s += " " + finding.Quote(finding.Shell, a)
	}
	if d.Server != "" {
		s += " -H ldap://" + finding.Quote(finding.Shell, d.Server) + " -U Administrator"
	}
	return s
}

// powerShell quotes a list of strings.
func powerShell(values ...string) string { return finding.Quote(finding.PowerShell, values...) }
