package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/audit"
	"drover/internal/directory"
	"drover/internal/finding"
)

type delegationAuditOptions struct {
	directory directoryFlags
	policy    string
	failOn    string
}

// auditResult is what `drover delegation audit -o json` prints.
type auditResult struct {
	Server   string                   `json:"server"`
	Time     time.Time                `json:"time"`
	Findings []finding.Finding        `json:"findings"`
	Summary  map[finding.Severity]int `json:"summary"`
}

func newDelegationAudit(p *program) *cobra.Command {
	var o delegationAuditOptions
	cmd := &cobra.Command{
		Use:   "audit --policy FILE",
		Short: "Compare the directory with a policy",
		Long: `Compare the directory with a policy: delegation lists and flags of hosts, service
names that lack, are misplaced or there twice, unconstrained delegation anywhere in
the domain, and operators who may not be delegated. Nothing is changed. Each finding
says what cures it. The exit status tells the worst: 10 warning, 11 error, 12
critical; 0 when there is nothing worse than --fail-on asks for.`,
		Example: `  drover delegation audit --policy /etc/drover/policy.yaml
  drover delegation audit --policy policy.yaml --fail-on error -o json`,
		Args: noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error { return p.runDelegationAudit(ctx, o) }),
	}
	o.directory.add(cmd.Flags())
	cmd.Flags().StringVar(&o.policy, "policy", "", "`FILE` that says what ought to be; - is standard input")
	cmd.Flags().StringVar(&o.failOn, "fail-on", string(finding.Warning), "least `severity` that makes the exit status nonzero: warning, error or critical")
	if err := cmd.RegisterFlagCompletionFunc("fail-on", fixed(failOn...)); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

var failOn = []string{string(finding.Warning), string(finding.Error), string(finding.Critical)}

func (p *program) runDelegationAudit(ctx context.Context, o delegationAuditOptions) error {
	if !slices.Contains(failOn, o.failOn) {
		return misuse("--fail-on %q is none of %s", o.failOn, strings.Join(failOn, ", "))
	}
	policy, err := p.readPolicy(o.policy)
	if err != nil {
		return err
	}
	return p.withDirectory(ctx, o.directory, func(c *directory.Conn) error {
		s, err := audit.Load(ctx, c, policy)
		if err != nil {
			return err
		}
		found, err := audit.Check(policy, s)
		if err != nil {
			return err
		}
		if err := p.writeAudit(newAuditResult(s, found)); err != nil {
			return err
		}
		worst := finding.Worst(found)
		if worst.Compare(finding.Severity(o.failOn)) < 0 {
			return nil
		}
		return severityStatus(worst)
	})
}

// readPolicy reads --policy.
func (p *program) readPolicy(path string) (*audit.Policy, error) {
	switch path {
	case "":
		return nil, misuse("--policy FILE says what ought to be, and it is not given")
	case "-":
		return audit.ReadPolicy(p.stdin, "standard input")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable("--policy", path, err)
	}
	defer func() { _ = f.Close() }()
	return audit.ReadPolicy(f, path)
}

func newAuditResult(s *audit.Snapshot, found []finding.Finding) auditResult {
	r := auditResult{Server: s.Root.Server, Time: s.Time, Findings: found, Summary: map[finding.Severity]int{}}
	if found == nil {
		r.Findings = []finding.Finding{}
	}
	for _, severity := range finding.Severities {
		r.Summary[severity] = 0
	}
	for _, f := range found {
		r.Summary[f.Severity]++
	}
	return r
}

func (p *program) writeAudit(r auditResult) error {
	if p.out != table {
		return p.out.write(p.stdout, r)
	}
	return printAudit(p.stdout, r)
}

// printAudit shows each finding with what cures it below, in the form of plan and verify.
func printAudit(w io.Writer, r auditResult) error {
	read := fmt.Sprintf("%s, %s", r.Server, moment(r.Time))
	if len(r.Findings) == 0 {
		_, err := fmt.Fprintf(w, "the directory is as the policy wants it (%s)\n", clean(read))
		return err
	}
	var b strings.Builder
	for _, f := range r.Findings {
		(&fold{Finding: f}).write(&b)
	}
	_, err := fmt.Fprintf(w, "%s\n%s (%s)\n", strings.TrimPrefix(b.String(), "\n"), summaryText(r.Summary), clean(read))
	return err
}

// summaryText is "3 findings: 1 critical, 2 warning".
func summaryText(n map[finding.Severity]int) string {
	total := 0
	var parts []string
	for _, severity := range slices.Backward(finding.Severities) {
		total += n[severity]
		if n[severity] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[severity], severity))
		}
	}
	return count(total, "finding") + ": " + strings.Join(parts, ", ")
}
