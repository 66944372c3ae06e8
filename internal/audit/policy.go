package audit

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"drover/internal/config"
	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/spn"
)

// maxPolicy bounds a policy's file: 1 MiB is some 20,000 names.
const maxPolicy = 1 << 20

// off is what a policy says in place of a severity for what it does not want to see.
const off = "off"

// severities are the codes that Check gives, and how bad each is unless the policy
// says otherwise.
var severities = map[fault.Code]finding.Severity{
	fault.Unconstrained:              finding.Critical,
	fault.DelegationIncomplete:       finding.Error,
	fault.DelegationShortOnly:        finding.Error,
	fault.DelegationFullOnly:         finding.Error,
	fault.ResourceDelegationAbsent:   finding.Error,
	fault.ResourceDelegationUnusable: finding.Error,
	fault.DelegationExtra:            finding.Warning,
	fault.DelegationStaleName:        finding.Warning,
	fault.DelegationWrongObject:      finding.Error,
	fault.TransitionMissing:          finding.Error,
	fault.TransitionExtra:            finding.Warning,
	fault.ServiceNameMissing:         finding.Error,
	fault.ServiceNameMisplaced:       finding.Error,
	fault.ServiceNameDuplicate:       finding.Error,
	fault.HostWithoutAES:             finding.Warning,
	fault.HostWithoutDNSName:         finding.Warning,
	fault.HostAccountDisabled:        finding.Error,
	fault.HostNotInDirectory:         finding.Error,
	fault.HostNameAmbiguous:          finding.Error,
	fault.HostIsUser:                 finding.Error,
	fault.HostIsCluster:              finding.Error,
	fault.HostNameIsAddress:          finding.Error,
	fault.OperatorSensitive:          finding.Error,
	fault.OperatorDisabled:           finding.Warning,
	fault.OperatorNotInDirectory:     finding.Warning,
	fault.OperatorHidden:             finding.Warning,
}

// Intent is the policy's intent.
func (p *Policy) Intent() delegation.Intent {
	in := delegation.Intent{Model: p.Model, Protocol: p.Protocol, Services: slices.Clone(p.Services), Group: p.Group}
	for _, s := range p.OneWay {
		if d, err := direction(s); err == nil { // ReadPolicy has seen to it
			in.OneWay = append(in.OneWay, d)
		}
	}
	return in
}

// ReadPolicy reads and checks a policy; name is for errors. Faults: policy-malformed.
func ReadPolicy(r io.Reader, name string) (*Policy, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPolicy+1))
	if err != nil {
		return nil, fault.Wrap(err, fault.PolicyMalformed, "", "name", name, "reason", "it cannot be read")
	}
	if len(b) > maxPolicy {
		return nil, fault.New(fault.PolicyMalformed, "", "name", name, "reason", "it is longer than 1 MiB")
	}
	p := new(Policy)
	if err := config.Strict(b, p); err != nil {
		return nil, fault.New(fault.PolicyMalformed, "", "name", name, "reason", firstLine(err))
	}
	p.complete()
	if err := p.validate(); err != nil {
		return nil, fault.New(fault.PolicyMalformed, "", "name", name, "reason", err.Error())
	}
	return p, nil
}

// firstLine is an error of the YAML reader without the piece of the file that it draws.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func (p *Policy) complete() {
	if p.Model == "" {
		p.Model = delegation.Models[0]
	}
	if p.Protocol == "" {
		p.Protocol = delegation.AnyProtocol
	}
	if len(p.Services) == 0 {
		p.Services = []string{spn.Migration, spn.Storage}
	}
	if p.Group == "" && p.Model == delegation.GroupBased {
		p.Group = delegation.DefaultGroup
	}
}

func (p *Policy) validate() error {
	for _, check := range []func() error{p.checkLists, p.checkWords, p.checkDirections, p.checkAllow, p.checkSeverity} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (p *Policy) checkWords() error {
	if !slices.Contains(delegation.Models, p.Model) {
		return fmt.Errorf("model: %q is none of constrained, resource-based, group", p.Model)
	}
	if p.Protocol != delegation.AnyProtocol && p.Protocol != delegation.KerberosOnly {
		return fmt.Errorf("protocol: %q is neither any nor kerberos", p.Protocol)
	}
	if p.Group != "" && p.Model != delegation.GroupBased {
		return fmt.Errorf("group: only the model group has one, and the model is %s", p.Model)
	}
	if len(p.Hosts) > 0 && p.OU != "" {
		return fmt.Errorf("hosts, ou: only one of them says which hosts are meant")
	}
	if p.OU != "" && !strings.Contains(p.OU, "=") {
		return fmt.Errorf("ou: %q is not a distinguished name such as OU=Hosts,DC=example,DC=org", p.OU)
	}
	_, err := p.Intent().WithDefaults()
	return err
}

// checkLists finds what is empty or there twice: a name that a template left out
// must not pass as "no host", which would mean every one.
func (p *Policy) checkLists() error {
	for key, list := range map[string][]string{"hosts": p.Hosts, "services": p.Services, "one_way": p.OneWay,
		"allow_unconstrained": p.Unconstrained, "operators": p.Operators} {
		seen := map[string]bool{}
		for i, v := range list {
			if strings.TrimSpace(v) == "" {
				return fmt.Errorf("%s: entry %d is empty", key, i+1)
			}
			if k := strings.ToLower(v); seen[k] {
				return fmt.Errorf("%s: %q is there twice", key, v)
			} else {
				seen[k] = true
			}
		}
	}
	return nil
}

func (p *Policy) checkDirections() error {
	listed := map[string]bool{}
	for _, h := range p.Hosts {
		if strings.Contains(h, "=") || strings.HasPrefix(h, "S-1-") { // names that say nothing of the short name
			listed = nil
			break
		}
		listed[short(h)] = true
	}
	for _, s := range p.OneWay {
		d, err := direction(s)
		if err != nil {
			return fmt.Errorf("one_way: %w", err)
		}
		for _, end := range []string{d.Source, d.Destination} {
			if len(listed) > 0 && !listed[end] {
				return fmt.Errorf("one_way: %s of %q is not among the hosts", end, s)
			}
		}
	}
	return nil
}

func (p *Policy) checkAllow() error {
	for account, patterns := range p.Allow {
		if strings.TrimSpace(account) == "" {
			return fmt.Errorf("allow: an account's name is empty")
		}
		for _, a := range patterns {
			if strings.TrimSpace(a) == "" || strings.Contains(strings.TrimSuffix(a, "*"), "*") {
				return fmt.Errorf(`allow: %q of %s is not a value, or the beginning of one with "*" at its end`, a, account)
			}
		}
	}
	return nil
}

func (p *Policy) checkSeverity() error {
	for code, s := range p.Severity {
		if _, known := severities[fault.Code(code)]; !known {
			return fmt.Errorf("severity: %q is not the code of a finding; docs/directory.md lists them", code)
		}
		if s != off && !slices.Contains(finding.Severities, finding.Severity(s)) {
			return fmt.Errorf("severity: %q of %s is none of info, warning, error, critical, off", s, code)
		}
	}
	return nil
}

// direction reads SOURCE:DESTINATION.
func direction(s string) (delegation.Direction, error) {
	from, to, found := strings.Cut(s, ":")
	d := delegation.Direction{Source: short(from), Destination: short(to)}
	if !found || d.Source == "" || d.Destination == "" || strings.Contains(to, ":") || d.Source == d.Destination {
		return d, fmt.Errorf("%q is not SOURCE:DESTINATION", s)
	}
	return d, nil
}

// short is a host's short name, as plans write it: upper case, without "$".
func short(name string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(name), ".")
	return strings.ToUpper(strings.TrimSuffix(first, "$"))
}

// allows says that an account may have a delegation value besides what is planned.
func (p *Policy) allows(account, value string) bool {
	for name, patterns := range p.Allow {
		if !sameAccountName(name, account) {
			continue
		}
		for _, a := range patterns {
			want, begins := strings.CutSuffix(spn.Key(a), "*")
			if have := spn.Key(value); have == want || begins && strings.HasPrefix(have, want) {
				return true
			}
		}
	}
	return false
}

// allowsUnconstrained says that an account may be trusted for any service.
func (p *Policy) allowsUnconstrained(account string) bool {
	return slices.ContainsFunc(p.Unconstrained, func(name string) bool { return sameAccountName(name, account) })
}

// sameAccountName compares sAMAccountNames; the "$" of computer accounts may be
// left out.
func sameAccountName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "$"), strings.TrimSuffix(b, "$"))
}

// settle gives each finding the severity that the policy wants, and leaves out what
// is off.
func (p *Policy) settle(fs []finding.Finding) []finding.Finding {
	out := fs[:0]
	for _, f := range fs {
		switch s := p.Severity[string(f.Code)]; s {
		case off:
			continue
		case "":
		default:
			f.Severity = finding.Severity(s)
		}
		out = append(out, f)
	}
	return out
}
