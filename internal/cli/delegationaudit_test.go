package cli

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/audit"
	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/finding"
)

func someFindings() []finding.Finding {
	bad := finding.New(finding.Critical, "HV01$", fault.New(fault.Unconstrained, "", "account", "HV01$"))
	bad.Fix = []finding.Command{{Tool: finding.SambaTool, Line: "samba-tool delegation for-any-service 'HV01$' off"}}
	return []finding.Finding{bad, finding.New(finding.Warning, "alice\x1b[2J", fault.New(fault.OperatorDisabled, "", "object", "alice"))}
}

func TestAuditAsText(t *testing.T) {
	s := &audit.Snapshot{Root: directory.Root{Server: "dc1.example.org"}, Time: time.Unix(1_800_000_000, 0)}
	var b bytes.Buffer
	if err := printAudit(&b, newAuditResult(s, someFindings())); err != nil {
		t.Fatal(err)
	}
	want := `critical: HV01$ is trusted for delegation to any service (TRUSTED_FOR_DELEGATION): whoever controls it can act as everybody who signs in to it
  fix (samba-tool): samba-tool delegation for-any-service 'HV01$' off
  code: unconstrained-delegation

warning: the operator account alice is disabled
  hint: enable it or take it off the policy; ` + "`drover delegation audit --policy FILE`" + ` looks again
  code: operator-disabled

2 findings: 1 critical, 1 warning (dc1.example.org, ` + moment(s.Time) + `)
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	b.Reset()
	if err := printAudit(&b, newAuditResult(s, nil)); err != nil || !strings.HasPrefix(b.String(), "the directory is as the policy wants it") {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestAuditAsJSONHasEverySeverityAndNoNull(t *testing.T) {
	var b bytes.Buffer
	if err := jsonForm.write(&b, newAuditResult(&audit.Snapshot{}, nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"findings": []`, `"critical": 0`, `"error": 0`, `"warning": 0`, `"info": 0`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
}

func TestEventsAreLines(t *testing.T) {
	at := time.Date(2026, 11, 21, 9, 14, 2, 0, time.UTC)
	events := []audit.Event{{Time: at, Kind: audit.Appeared, Finding: someFindings()[1], USN: 7}, {Time: at, Kind: audit.Round, USN: 8}, {Time: at, Kind: audit.Failing, Error: "gone\naway"}}
	for form, want := range map[format]string{
		table: `2026-11-21T09:14:02Z appeared warning  operator-disabled alice\x1b[2J: the operator account alice is disabled
2026-11-21T09:14:02Z failing  gone\x0aaway
`,
		jsonForm: `{"time":"2026-11-21T09:14:02Z","kind":"appeared","finding":{"code":"operator-disabled","severity":"warning","object":"alice\u001b[2J",` +
			`"message":"the operator account alice is disabled","hint":"enable it or take it off the policy; ` + "`drover delegation audit --policy FILE`" + ` looks again",` +
			`"why":"A disabled operator cannot sign in, and no host gets a ticket in the operator's name.","page":"docs/errors.md#operator-disabled"},"usn":7}
{"time":"2026-11-21T09:14:02Z","kind":"failing","error":"gone\naway"}
`,
	} {
		var b bytes.Buffer
		p := newProgram(nil, &b, &bytes.Buffer{})
		p.out = form
		for _, e := range events {
			if err := p.writeEvent(e); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("%s: %s", form, diff)
		}
	}
}

func TestSeverityDecidesTheExitStatus(t *testing.T) {
	for s, want := range map[finding.Severity]int{"": 0, finding.Info: 0, finding.Warning: 10, finding.Error: 11, finding.Critical: 12} {
		err := severityStatus(s)
		if (err == nil) != (want == 0) || exitStatus(err) != want {
			t.Errorf("%q: %v, status %d", s, err, exitStatus(err))
		}
	}
	if got := exitStatus(errors.New("x")); got != 1 {
		t.Errorf("anything else: %d", got)
	}
}
