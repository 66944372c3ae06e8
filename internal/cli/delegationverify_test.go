package cli

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"drover/internal/api"
	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/finding"
)

// mesh is a matrix of n hosts in which everything is right.
func mesh(n int) *doctor.Matrix {
	m := &doctor.Matrix{Server: "dc1.example.org", Operator: "alice@EXAMPLE.ORG"}
	for i := range n {
		m.Hosts = append(m.Hosts, fmt.Sprintf("HV%02d", i+1))
	}
	for _, from := range m.Hosts {
		for _, to := range m.Hosts {
			if from != to {
				m.Pairs = append(m.Pairs, doctor.PairResult{Direction: delegation.Direction{Source: from, Destination: to}, State: doctor.Passed})
			}
		}
	}
	return m
}

func pairOf(m *doctor.Matrix, direction string) *doctor.PairResult {
	i := slices.IndexFunc(m.Pairs, func(p doctor.PairResult) bool { return p.Direction.String() == direction })
	return &m.Pairs[i]
}

func printedVerification(t *testing.T, m *doctor.Matrix) string {
	t.Helper()
	var out, errs bytes.Buffer
	if err := newProgram(nil, &out, &errs).printVerification(m, []string{doctor.ByTicket, doctor.ByTransition}); err != nil || errs.Len() > 0 {
		t.Fatal(err, errs.String())
	}
	return out.String()
}

func TestVerificationIsAMatrixAndEachFindingOnce(t *testing.T) {
	m := mesh(3)
	m.Findings = []finding.Finding{finding.New(finding.Critical, "HV03$", fault.New(fault.Unconstrained, "", "account", "HV03$"))}
	flag := finding.New(finding.Error, "HV01$", fault.New(fault.TransitionMissing, "", "account", "HV01$"))
	flag.Fix = slices.Repeat([]finding.Command{{Tool: finding.SambaTool, Line: "samba-tool delegation for-any-protocol 'HV01$' on"}}, 6)
	for _, d := range []string{"HV01:HV02", "HV01:HV03"} {
		p := pairOf(m, d)
		p.State = doctor.FailedPair
		flag.Source, flag.Destination = p.Source, p.Destination
		p.Findings = []finding.Finding{flag}
	}
	p := pairOf(m, "HV02:HV03")
	p.State = doctor.Unchecked
	p.Findings = []finding.Finding{finding.New(finding.Warning, "HV02$", fault.New(fault.NotChecked, "", "source", "HV02",
		"destination", "HV03", "reason", "evil \x1b[31m reason"))}
	got := printedVerification(t, m)
	want := `Asked dc1.example.org, for alice@EXAMPLE.ORG by ticket and protocol-transition

      HV01  HV02  HV03
HV01  -     FAIL  FAIL
HV02  ok    -     ?
HV03  ok    ok    -

3 of 6 directions ok, 2 failed, 1 not checked
`
	head, rest, _ := strings.Cut(got, "\ncritical: ")
	if diff := cmp.Diff(want, head); diff != "" {
		t.Error(diff)
	}
	for _, part := range []string{"\nerror: HV01$ may act only for", "  concerns HV01:HV02, HV01:HV03\n", "  and 2 more lines, which -o json shows\n",
		"  code: protocol-transition-missing\n", "\nwarning: HV02 to HV03 was not tried: evil \\x1b[31m reason\n"} {
		if strings.Count(rest, part) != 1 {
			t.Errorf("%q is there %d times in\n%s", part, strings.Count(rest, part), rest)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("colour, or what a host said, without a terminal")
	}
}

func TestVerificationOfManyHostsStaysNarrow(t *testing.T) {
	m := mesh(10)
	pairOf(m, "HV10:HV01").State = doctor.FailedPair
	got := printedVerification(t, m)
	for _, part := range []string{"         1     2     3 ", "\n 1 HV01  -     ok ", "\n10 HV10  FAIL  ok "} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
	m = mesh(30)
	for i := range 9 {
		pairOf(m, fmt.Sprintf("HV30:HV%02d", i+1)).State = doctor.FailedPair
	}
	pairOf(m, "HV01:HV02").State = doctor.Unchecked
	got = printedVerification(t, m)
	for _, part := range []string{"SOURCE  OK  FAILED ", "HV30    20  HV01, HV02, HV03, HV04, HV05, HV06 and 3 more ", "HV01    28  - "} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
}

func TestVerificationLeavesUnwantedDirectionsBlank(t *testing.T) {
	m := mesh(2)
	m.Pairs = m.Pairs[:1]
	if got := printedVerification(t, m); !strings.Contains(got, "\nHV02        -\n") || !strings.Contains(got, "1 of 1 direction ok") {
		t.Error(got)
	}
}

func TestVerdictDecidesTheExitStatus(t *testing.T) {
	for want, change := range map[int]func(*doctor.Matrix){
		0: func(m *doctor.Matrix) {
			pairOf(m, "HV01:HV02").Findings = []finding.Finding{{Severity: finding.Warning}}
		},
		10: func(m *doctor.Matrix) { pairOf(m, "HV01:HV02").State = doctor.Unchecked },
		11: func(m *doctor.Matrix) { pairOf(m, "HV01:HV02").State = doctor.FailedPair },
		12: func(m *doctor.Matrix) { m.Findings = []finding.Finding{{Severity: finding.Critical}} },
	} {
		m := mesh(2)
		change(m)
		if got := exitStatus(severityStatus(verdict(m))); got != want {
			t.Errorf("exit status %d, want %d", got, want)
		}
	}
}

func TestVerifyTakesHostsOrDirections(t *testing.T) {
	hosts, directions, err := hostsOrDirections([]string{"HV01", "hv02.example.org"})
	if err != nil || len(hosts) != 2 || len(directions) != 0 {
		t.Error(hosts, directions, err)
	}
	hosts, directions, err = hostsOrDirections([]string{"HV01:HV02"})
	if err != nil || len(hosts) != 0 || !slices.Equal(directions, []string{"HV01:HV02"}) {
		t.Error(hosts, directions, err)
	}
	if _, _, err = hostsOrDirections([]string{"HV01:HV02", "HV03"}); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

func TestOnlyTheCallersTicketIsTried(t *testing.T) {
	for _, c := range []struct {
		wanted   string
		protocol delegation.Protocol
		operator string
		methods  []string
	}{
		{"", delegation.AnyProtocol, "me@R", []string{doctor.ByTicket, doctor.ByTransition}},
		{"", delegation.KerberosOnly, "me@R", []string{doctor.ByTicket}},
		{"alice", delegation.AnyProtocol, "alice@EXAMPLE.ORG", []string{doctor.ByTransition}},
		{"alice@R", delegation.KerberosOnly, "alice@R", []string{doctor.ByTransition}},
	} {
		operator, methods := whoAndHow(c.wanted, "me@R", &delegation.Plan{Domain: "example.org", Intent: delegation.Intent{Protocol: c.protocol}})
		if operator != c.operator || !slices.Equal(methods, c.methods) {
			t.Errorf("%+v: %s %v", c, operator, methods)
		}
	}
}

// probed is an agent that answers probes only.
type probed struct {
	agent
	asked  *[]api.ProbeRequest
	closed *bool
}

func (p probed) ProbeDelegation(_ context.Context, r api.ProbeRequest) (api.ProbeResult, error) {
	*p.asked = append(*p.asked, r)
	return api.ProbeResult{Attempts: []doctor.Attempt{{Service: r.DestinationServices[0], Method: r.Method, Operator: r.Operator}}}, nil
}
func (p probed) Close() error { *p.closed = true; return nil }

func TestASourceIsAskedByItsFullName(t *testing.T) {
	var where target
	var asked []api.ProbeRequest
	closed := false
	p := newProgram(nil, &bytes.Buffer{}, &bytes.Buffer{})
	p.connect = func(_ context.Context, w target, _ func(error, time.Duration)) (agent, error) {
		where = w
		return probed{asked: &asked, closed: &closed}, nil
	}
	prober, err := p.probers("", nil, nil, delegation.State{})(t.Context(), delegation.Host{Name: "HV01", FQDN: "hv01.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := prober.Probe(t.Context(), "me@R", doctor.ByTicket, []string{"cifs/HV02"})
	if err != nil || len(got) != 1 || where.host != "hv01.example.org" || !closed ||
		asked[0].Operator != "me@R" || asked[0].Method != doctor.ByTicket || !slices.Equal(asked[0].DestinationServices, []string{"cifs/HV02"}) {
		t.Errorf("%+v %v %+v %+v closed %v", got, err, where, asked, closed)
	}
}

func TestTicketsForASourceAreForWhatEveryHostHas(t *testing.T) {
	got := ownServices(directory.Account{ServiceNames: []string{"cifs/HV01", `Microsoft\ X/HV01`, "HOST/HV01", "Microsoft X/HV01"}})
	if want := []string{"HOST/HV01", "cifs/HV01", "Microsoft X/HV01"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
