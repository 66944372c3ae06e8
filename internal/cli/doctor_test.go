package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/finding"
)

// someReport is of two hosts: a list that lacks values, with what that brings about, a
// flag that is too much, and an agent that does not answer.
func someReport() doctor.Report {
	at := time.Date(2026, 11, 21, 9, 14, 2, 0, time.UTC)
	lacks := finding.New(finding.Error, "HV01$", fault.New(fault.DelegationIncomplete, "HV01", "source", "HV01", "destination", "HV02",
		"attribute", "msDS-AllowedToDelegateTo", "account", "HV01$", "values", "Microsoft Virtual System Migration Service/HV02"))
	lacks.DN, lacks.Attribute = "CN=HV01,OU=Hosts,DC=example,DC=org", "msDS-AllowedToDelegateTo"
	lacks.Values = []string{"Microsoft Virtual System Migration Service/HV02"}
	lacks.Source, lacks.Destination = "HV01", "HV02"
	lacks.Evidence, lacks.ReadFrom, lacks.ReadAt = "msDS-AllowedToDelegateTo has cifs/HV02, cifs/hv02.example.org", "dc1.example.org", at
	ldif := "dn: CN=HV01,OU=Hosts,DC=example,DC=org\nchangetype: modify\nadd: msDS-AllowedToDelegateTo\nmsDS-AllowedToDelegateTo: Microsoft Virtual System Migration Service/HV02\n-\n"
	lacks.Fix = []finding.Command{{Tool: finding.Drover, Line: "drover delegation plan HV01 HV02 --one-way HV01:HV02 -o json > plan.json"},
		{Tool: finding.Drover, Line: "drover delegation apply plan.json"},
		{Tool: finding.PowerShell, Line: "Set-ADObject -Identity 'CN=HV01,OU=Hosts,DC=example,DC=org' -Add @{'msDS-AllowedToDelegateTo'='Microsoft Virtual System Migration Service/HV02'}"},
		{Tool: finding.LDIF, Line: ldif}}
	lacks.Undo = []finding.Command{{Tool: finding.LDIF, Line: strings.Replace(ldif, "add:", "delete:", 1)}}
	lacks.Effect = "at once on dc1.example.org; on the other 2 controllers after replication"
	refused := finding.New(finding.Error, "HV01$", fault.New(fault.DelegationMissing, "HV01", "account", "HV01$", "operator", "alice", "destination", "HV02",
		"attribute", "msDS-AllowedToDelegateTo", "values", "Microsoft Virtual System Migration Service/HV02"))
	refused.Source, refused.Destination = "HV01", "HV02"
	open := finding.New(finding.Warning, "HV02$", fault.New(fault.TransitionExtra, "HV02", "account", "HV02$"))
	open.Attribute, open.Host = "userAccountControl", "HV02"
	return doctor.Report{Time: at, Seconds: 1.62, Machine: "WS01", Server: "dc1.example.org", Domain: "example.org", Operator: "alice@EXAMPLE.ORG",
		Hosts: []string{"HV01", "HV02"}, Pairs: []delegation.Direction{{Source: "HV01", Destination: "HV02"}, {Source: "HV02", Destination: "HV01"}},
		Causes: doctor.Fold([]finding.Finding{open, refused, lacks}),
		Checked: []doctor.Check{{Area: doctor.AreaNames, What: "forward and reverse DNS", Object: "HV01"}, {Area: doctor.AreaNames, What: "forward and reverse DNS", Object: "HV02"},
			{Area: doctor.AreaDirectory, What: "delegation list", Object: "HV01"}},
		NotChecked: []doctor.Check{{Area: doctor.AreaHost, What: "settings", Object: "HV01", Reason: "no agent answers there"},
			{Area: doctor.AreaHost, What: "settings", Object: "HV02", Reason: "no agent answers there"}}}
}

// examined is a program whose doctor finds what reports hold, one after the other.
func examined(out, errs *bytes.Buffer, reports ...doctor.Report) (*program, *[]doctor.Question) {
	p := newProgram(nil, out, errs)
	var asked []doctor.Question
	p.examine = func(_ context.Context, _ directoryFlags, q doctor.Question) (doctor.Report, error) {
		asked = append(asked, q)
		return reports[min(len(asked), len(reports))-1], nil
	}
	return p, &asked
}

func TestReportForATerminal(t *testing.T) {
	t.Setenv("TZ", "UTC")
	r := someReport()
	var b bytes.Buffer
	if err := printReport(&b, &r, 100); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/doctor/report.golden", b.String())
}

func TestNothingFoundIsNotAllWell(t *testing.T) {
	r := someReport()
	r.Causes = nil
	var out, errs bytes.Buffer
	p, _ := examined(&out, &errs, r)
	if status := p.run(t.Context(), []string{"doctor", "HV01", "HV02"}); status != 0 {
		t.Errorf("status %d, %s", status, errs.String())
	}
	for _, part := range []string{"Not checked, which says nothing", "  - settings of HV01, HV02: no agent answers there\n", "nothing found; 3 checks in 1.6 s, 2 not made\n"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("no %q in\n%s", part, out.String())
		}
	}
}

func TestExitStatusIsByTheWorst(t *testing.T) {
	var out, errs bytes.Buffer
	p, asked := examined(&out, &errs, someReport())
	if status := p.run(t.Context(), []string{"doctor", "--pair", "HV01:HV02", "--operator", "alice", "-o", "json"}); status != finding.Error.ExitStatus() {
		t.Errorf("status %d", status)
	}
	var got diagnosis
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || len(got.Causes) != 2 || len(got.Causes[0].Consequences) != 1 || len(got.NotChecked) != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
	q := (*asked)[0]
	if len(q.Hosts) != 0 || !slices.Equal(q.Pairs, []delegation.Direction{{Source: "HV01", Destination: "HV02"}}) || q.Operator != "alice" {
		t.Errorf("asked %+v", q)
	}
}

func TestWhatCannotBeAsked(t *testing.T) {
	for _, args := range [][]string{
		{"HV01", "HV01:HV02"}, {"192.0.2.1"}, {"HV01:"}, {"--pair", "HV01"}, {"--explain", "x", "HV01"}, {"HV01", "--yes"}, {"HV01", "--baseline", "x"}, {"-x"},
	} {
		var out, errs bytes.Buffer
		p, asked := examined(&out, &errs, someReport())
		if status := p.run(t.Context(), append([]string{"doctor"}, args...)); status != 2 || len(*asked) > 0 {
			t.Errorf("%v: status %d, %d questions, %s", args, status, len(*asked), errs.String())
		}
	}
}

func TestExplainOfTheDoctorIsThatOfExplain(t *testing.T) {
	var out, errs, same bytes.Buffer
	p, asked := examined(&out, &errs, someReport())
	if status := p.run(t.Context(), []string{"doctor", "--explain", "0x8009030E"}); status != 0 || len(*asked) > 0 {
		t.Errorf("status %d, %s", status, errs.String())
	}
	q, _ := examined(&same, &errs, someReport())
	if status := q.run(t.Context(), []string{"explain", "0x8009030E"}); status != 0 || same.String() != out.String() || out.Len() == 0 {
		t.Errorf("status %d, %s", status, out.String())
	}
}

func TestPageNeedsNothingElseAndEscapes(t *testing.T) {
	t.Setenv("TZ", "UTC")
	r := someReport()
	r.Causes[1].Object = "<script>alert(1)</script>"
	r.Causes[1].Fix = []finding.Command{{Tool: finding.Shell, Line: "rm \u202egnp.x"}}
	r.Causes[0].Values = []string{"cifs/\u202e2VH"}
	r.Causes[0].Consequences[0].Message += "\u202e"
	r.Checked[0].Object, r.NotChecked[0].Reason = "HV\u202e10", "no \u202etnega"
	path := filepath.Join(t.TempDir(), "page.html")
	var out, errs bytes.Buffer
	p, _ := examined(&out, &errs, r)
	if status := p.run(t.Context(), []string{"doctor", "HV01", "HV02", "--report", path}); status != finding.Error.ExitStatus() {
		t.Errorf("status %d, %s", status, errs.String())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := string(raw)
	for _, never := range []string{"<script", "\u202e", "http:", "https:", "src=", "href=", "url(", "@import", "ZgotmplZ"} {
		if strings.Contains(got, never) {
			t.Errorf("%q is in the page", never)
		}
	}
	for _, part := range []string{"&lt;script&gt;", "1. HV01 may not act for operators at HV02", "dc1.example.org, 2026-11-21 09:14:02", "changetype: modify\n", "What was not checked",
		"no agent answers there", "HV01 to HV02", "What was checked"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q", part)
		}
	}
	if strings.Count(got, "<section") != 2 || strings.Count(got, "<section") != strings.Count(got, "</section>") {
		t.Error("not two causes")
	}
	if f, err := os.Stat(path); err != nil || f.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", f, err)
	}
}

func TestLDIFOfAReportBeginsAtTheEdge(t *testing.T) {
	r := someReport()
	var b bytes.Buffer
	if err := printReport(&b, &r, 80); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^dn: CN=HV01,OU=Hosts,DC=example,DC=org\nchangetype: modify\nadd: `).MatchString(b.String()) {
		t.Error(b.String())
	}
}

func TestTreatmentKnowsWhatItCanDo(t *testing.T) {
	setting := finding.New(finding.Error, "HV02", fault.New(fault.MigrationDisabled, "HV02"))
	setting.Fix = []finding.Command{{Tool: finding.Drover, Line: "drover host set --host HV02 --live-migration on"}}
	misplaced := finding.New(finding.Error, "svc-old", fault.New(fault.ServiceNameMisplaced, "", "values", "cifs/HV03", "destination", "HV03", "object", "svc-old"))
	misplaced.Values, misplaced.Destination = []string{"cifs/HV03"}, "HV03"
	quoted := finding.New(finding.Error, "HV04", fault.New(fault.MigrationDisabled, "HV04"))
	quoted.Fix = []finding.Command{{Tool: finding.Drover, Line: "drover host set --host 'HV 04' --live-migration on"}}
	r := someReport()
	r.Causes = append(r.Causes, doctor.Fold([]finding.Finding{setting, misplaced, quoted})...)
	tr := treat(newProgram(nil, nil, nil), &r)
	if !slices.Equal(tr.directions, []delegation.Direction{{Source: "HV01", Destination: "HV02"}}) || !tr.needsDirectory() {
		t.Errorf("directions %v", tr.directions)
	}
	var steps, rest []string
	for _, s := range tr.steps {
		steps = append(steps, s.What)
	}
	for _, c := range tr.rest {
		rest = append(rest, c.Object)
	}
	slices.Sort(steps)
	if want := []string{"HV03: add service names cifs/HV03", "drover host set --host HV02 --live-migration on", "svc-old: delete service names cifs/HV03"}; !slices.Equal(steps, want) {
		t.Errorf("steps %q", steps)
	}
	if !slices.Equal(rest, []string{"HV02$", "HV04"}) {
		t.Errorf("left to a person: %q", rest)
	}
}

// What needs no directory is done without one, asked about, and looked at again.
func TestFixesAreAskedAboutAndVerified(t *testing.T) {
	before, after := someReport(), someReport()
	setting := finding.New(finding.Error, "HV02", fault.New(fault.MigrationDisabled, "HV02"))
	setting.Fix = []finding.Command{{Tool: finding.Drover, Line: "drover host set --host HV02 --live-migration on"}}
	before.Causes, after.Causes = doctor.Fold([]finding.Finding{setting}), nil
	for _, tc := range []struct {
		args   []string
		status int
		asked  int
	}{
		{[]string{"doctor", "HV02", "--fix"}, 2, 1}, // nobody can be asked
		{[]string{"doctor", "HV02", "--fix", "--yes", "-o", "json"}, 0, 2},
	} {
		var out, errs bytes.Buffer
		p, asked := examined(&out, &errs, before, after)
		p.connect = func(context.Context, target, func(error, time.Duration)) (agent, error) {
			return nil, errors.New("no network in this test")
		}
		if status := p.run(t.Context(), tc.args); status != tc.status || len(*asked) != tc.asked {
			t.Errorf("%v: status %d, looked %d times\n%s%s", tc.args, status, len(*asked), out.String(), errs.String())
		}
		if tc.status == 0 && (!strings.Contains(out.String(), `"what": "drover host set --host HV02 --live-migration on"`) || !strings.Contains(out.String(), "no network in this test")) {
			t.Error(out.String())
		}
	}
}
