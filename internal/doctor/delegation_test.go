package doctor

import (
	"context"
	"errors"
	"strings"
	"testing"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/spn"
)

const (
	migration = "Microsoft Virtual System Migration Service"
	twin      = `Microsoft\ Virtual\ System\ Migration\ Service`
)

// base is a refusal with nothing wrong in the directory.
func base(change func(*DelegationFacts)) DelegationFacts {
	d := DelegationFacts{Host: "HV01", Account: "HV01$@LAB.DROVER.TEST", Operator: "operator@LAB.DROVER.TEST", Service: migration + "/HV02",
		EvidenceForwardable: true, Controller: directory.Samba, Server: "dc1.lab.drover.test", Cause: errors.New("KDC error 13"),
		Source: &directory.Account{Name: "HV01$", DelegateTo: []string{migration + "/HV02", twin + "/HV02", migration + "/hv02.lab.drover.test",
			twin + "/hv02.lab.drover.test", "cifs/HV02", "cifs/hv02.lab.drover.test"}},
		OperatorAccount: &directory.Account{Name: "operator"},
		Destination:     &directory.Account{Name: "HV02$", DNSHostName: "hv02.lab.drover.test"}}
	if change != nil {
		change(&d)
	}
	return d
}

func without(d *DelegationFacts, values ...string) {
	var out []string
	for _, v := range d.Source.DelegateTo {
		if !spn.Contains(values, v) {
			out = append(out, v)
		}
	}
	d.Source.DelegateTo = out
}

func TestExplainDelegation(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*DelegationFacts)
		code   fault.Code
		args   map[string]string
	}{
		"empty list": {func(d *DelegationFacts) { d.Source.DelegateTo = nil }, fault.DelegationMissing, map[string]string{
			"account": "HV01$@LAB.DROVER.TEST", "destination": "HV02", "attribute": "msDS-AllowedToDelegateTo",
			"values": migration + `/HV02", "` + twin + `/HV02", "` + migration + `/hv02.lab.drover.test", "` + twin + `/hv02.lab.drover.test`}},
		"only the twin is missing": {func(d *DelegationFacts) { without(d, twin+"/HV02") }, fault.DelegationMissing, map[string]string{
			"values":  twin + "/HV02",
			"command": `samba-tool delegation add-service 'HV01$' '` + twin + `/HV02' -H ldap://dc1.lab.drover.test -U Administrator`}},
		"twin missing, asked by full name": {func(d *DelegationFacts) {
			d.Service = migration + "/hv02.lab.drover.test"
			without(d, twin+"/hv02.lab.drover.test")
		}, fault.DelegationMissing, map[string]string{"destination": "HV02", "values": twin + "/hv02.lab.drover.test"}},
		"Windows needs no twin": {func(d *DelegationFacts) {
			d.Controller = directory.Windows
			without(d, twin+"/HV02", twin+"/hv02.lab.drover.test", migration+"/HV02")
		}, fault.DelegationMissing, map[string]string{"values": migration + "/HV02",
			"command": `Set-ADComputer -Identity 'HV01$' -Add @{'msDS-AllowedToDelegateTo'='` + migration + `/HV02'}`}},
		"no cifs": {func(d *DelegationFacts) {
			d.Service = "cifs/HV02"
			without(d, "cifs/HV02", "cifs/hv02.lab.drover.test")
		},
			fault.DelegationNoStorage, map[string]string{"destination": "HV02", "values": `cifs/HV02", "cifs/hv02.lab.drover.test`}},
		"cifs under its short name only": {func(d *DelegationFacts) {
			d.Service = "cifs/hv02.lab.drover.test"
			without(d, "cifs/hv02.lab.drover.test")
		}, fault.DelegationNoStorage, map[string]string{"values": "cifs/hv02.lab.drover.test"}},
		"full name from the realm": {func(d *DelegationFacts) { d.Destination = nil; d.Service = "cifs/HV02"; d.Source.DelegateTo = nil },
			fault.DelegationNoStorage, map[string]string{"values": `cifs/HV02", "cifs/hv02.lab.drover.test`}},
		"case does not matter": {func(d *DelegationFacts) { d.Service = "CIFS/hv02" }, fault.DelegationRefused, nil},
		"local socket, Kerberos only": {func(d *DelegationFacts) { d.EvidenceForwardable, d.ViaTransition = false, true },
			fault.DelegationNoProtocol, map[string]string{"command": `samba-tool delegation for-any-protocol 'HV01$' on -H ldap://dc1.lab.drover.test -U Administrator`}},
		"local socket, Kerberos only, Windows": {func(d *DelegationFacts) {
			d.EvidenceForwardable, d.ViaTransition, d.Controller = false, true, directory.Windows
		}, fault.DelegationNoProtocol, map[string]string{"command": `Set-ADAccountControl -Identity 'HV01$' -TrustedToAuthForDelegation $true`}},
		"ticket without the flag": {func(d *DelegationFacts) { d.EvidenceForwardable = false }, fault.EvidenceNotForward, nil},
		"ticket without the flag and nothing readable": {func(d *DelegationFacts) {
			d.EvidenceForwardable, d.Source, d.OperatorAccount = false, nil, nil
		}, fault.EvidenceNotForward, nil},
		"sensitive operator": {func(d *DelegationFacts) {
			d.EvidenceForwardable = false
			d.OperatorAccount.Flags = directory.FlagNotDelegated
		},
			fault.OperatorSensitive, map[string]string{"operator": "operator@LAB.DROVER.TEST"}},
		"sensitive operator on the local socket": {func(d *DelegationFacts) {
			d.EvidenceForwardable, d.ViaTransition = false, true
			d.OperatorAccount.Flags = directory.FlagNotDelegated
		}, fault.OperatorSensitive, nil},
		"protected operator": {func(d *DelegationFacts) { d.EvidenceForwardable = false; d.OperatorAccount.Protected = true }, fault.OperatorSensitive, nil},
		"protected, but the evidence is good": {func(d *DelegationFacts) { d.OperatorAccount.Protected = true; d.Source.DelegateTo = nil },
			fault.DelegationMissing, nil},
		"transition allowed, still not forwardable": {func(d *DelegationFacts) {
			d.EvidenceForwardable, d.ViaTransition = false, true
			d.Source.Flags = directory.FlagTrustedToAuth
		}, fault.DelegationRefused, nil},
		"transition, host's account unread": {func(d *DelegationFacts) {
			d.EvidenceForwardable, d.ViaTransition, d.Source, d.ReadError = false, true, nil, errors.New("no route")
		}, fault.DelegationRefused, nil},
		"nothing wrong to be seen": {nil, fault.DelegationRefused, map[string]string{"service": migration + "/HV02"}},
		"account unread":           {func(d *DelegationFacts) { d.Source, d.ReadError = nil, errors.New("no route") }, fault.DelegationRefused, nil},
		"account unread, but Windows said why": {func(d *DelegationFacts) {
			d.Source, d.NTStatus, d.Controller = nil, statusNotSupported, directory.Windows
		},
			fault.DelegationMissing, map[string]string{"values": migration + `/HV02", "` + migration + `/hv02.lab.drover.test`}},
		"host disabled": {func(d *DelegationFacts) { d.Source.Flags = directory.FlagDisabled }, fault.DelegationRefused, nil},
		"bad name":      {func(d *DelegationFacts) { d.Service = "nonsense" }, fault.DelegationRefused, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := base(c.change)
			got := ExplainDelegation(d)
			if got.Code != c.code {
				t.Fatalf("%s, want %s: %s", got.Code, c.code, got.Message())
			}
			for k, v := range c.args {
				if got.Args[k] != v {
					t.Errorf("%s is\n%s\nwant\n%s", k, got.Args[k], v)
				}
			}
			if text := got.Message() + got.Hint(); strings.ContainsAny(text, "{}") && !strings.Contains(text, "@{'") {
				t.Errorf("an argument is missing: %s", text)
			}
			if !strings.Contains(got.Message(), "0x8009030E") {
				t.Errorf("the code that people search for is missing: %s", got.Message())
			}
			if !errors.Is(got, d.Cause) {
				t.Error("the KDC's own words are lost")
			}
		})
	}
}

// stub is a directory of a few accounts.
type stub map[string]directory.Account

func (s stub) Account(_ context.Context, name string) (directory.Account, error) {
	if a, ok := s[name]; ok {
		return a, nil
	}
	return directory.Account{}, directory.ErrNotFound
}
func (stub) Kind() directory.Controller { return directory.Samba }
func (stub) Server() string             { return "dc1" }

func TestDiagnoseDelegationReadsWhatTheRefusalNames(t *testing.T) {
	refusal := &krb.DelegationError{Account: "HV01$@R", Operator: "operator@R", Service: "cifs/HV02", EvidenceForwardable: true, Host: "HV01"}
	dir := stub{"HV01$@R": {Name: "HV01$"}, "operator@R": {}, "cifs/HV02": {DNSHostName: "hv02.other.test"}}
	got := DiagnoseDelegation(t.Context(), dir, nil, refusal)
	if got.Code != fault.DelegationNoStorage || got.Args["values"] != `cifs/HV02", "cifs/hv02.other.test` {
		t.Errorf("%s %q", got.Code, got.Args)
	}
	delete(dir, "HV01$@R")
	if got := DiagnoseDelegation(t.Context(), dir, nil, refusal); got.Code != fault.DelegationRefused || !strings.Contains(got.Args["reason"], directory.ErrNotFound.Error()) {
		t.Errorf("%s %q", got.Code, got.Args)
	}
	if got := DiagnoseDelegation(t.Context(), nil, errors.New("no route to dc1"), refusal); got.Code != fault.DelegationRefused || !strings.Contains(got.Args["reason"], "no route to dc1") {
		t.Errorf("%s %q", got.Code, got.Args)
	}
}

func TestCommandsQuoteWhatPowerShellTakesForQuotes(t *testing.T) {
	if got := powerShell("x\u2019; reboot; \u2018", "o'b"); got != "'x\u2019\u2019; reboot; \u2018\u2018','o''b'" {
		t.Error(got)
	}
}
