package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drover/internal/fault"
	"drover/internal/settings"
)

func newHost(p *program) *cobra.Command {
	return parent("host", "Look at hosts, set them up, and enroll this one in the directory",
		newHostShow(p), newHostSet(p), newHostCompare(p), newHostExport(p), newHostApply(p), newHostEnroll(p))
}

// targets say which agents a verb talks to that does the same on each.
type targets struct {
	hosts  []string
	socket string
}

func (t *targets) flags(fs *pflag.FlagSet) {
	fs.StringSliceVar(&t.hosts, "host", nil, "`name` of a host to talk to, may be repeated (default: this machine's agent)")
	fs.StringVar(&t.socket, "socket", DefaultSocket, "`path` of the local agent's socket, used without --host")
}

// list gives each agent once, all of them checked.
func (t *targets) list() ([]target, error) {
	if len(t.hosts) == 0 {
		return []target{{socket: t.socket}}, nil
	}
	var out []target
	seen := map[string]bool{}
	for _, h := range t.hosts {
		one := target{host: h, socket: t.socket}
		if err := one.check(); err != nil {
			return nil, err
		}
		if !seen[strings.ToLower(h)] {
			seen[strings.ToLower(h)] = true
			out = append(out, one)
		}
	}
	return out, nil
}

// hostResult is what became of one host's settings; of several hosts one may
// fail without the others.
type hostResult struct {
	target target

	Host     string                `json:"host"`
	Revision int64                 `json:"revision"`
	Changes  []settings.Difference `json:"changes"`
	Applied  bool                  `json:"applied"`
	Settings *settings.Settings    `json:"settings,omitempty"`
	Error    *fault.Problem        `json:"error,omitempty"`
	err      error
}

// onEach does something on each host that has not failed before, and keeps the
// failures. It stops at the end of ctx only.
func (p *program) onEach(ctx context.Context, results []*hostResult, do func(a agent, r *hostResult) error) error {
	for _, r := range results {
		if r.err != nil {
			continue
		}
		r.err = p.with(ctx, r.target, func(a agent) error { return do(a, r) })
		r.Error = fault.ToProblem(r.err)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func newResults(list []target) []*hostResult {
	out := make([]*hostResult, 0, len(list))
	for _, t := range list {
		out = append(out, &hostResult{target: t, Host: t.String(), Changes: []settings.Difference{}})
	}
	return out
}

// finish shows what became of the hosts, if it is for programs, and ends as the
// first failure does.
func (p *program) finish(results []*hostResult) error {
	var failed []error
	for _, r := range results {
		if r.err != nil {
			failed = append(failed, r.err)
		}
	}
	switch {
	case len(results) == 1 && len(failed) == 1:
		return failed[0]
	case p.out != table:
		if err := p.out.write(p.stdout, results); err != nil {
			return err
		}
	default:
		for _, err := range failed {
			p.report(err)
		}
	}
	if len(failed) > 0 {
		return reported{failed[0]}
	}
	return nil
}

// changeRows are lines of a table, one for each setting that differs.
func changeRows(results []*hostResult) (rows [][]string) {
	for _, r := range results {
		for _, d := range r.Changes {
			rows = append(rows, []string{r.Host, d.Setting, d.From, d.To})
		}
	}
	return rows
}

// settingFailure names the flag in the error of a value.
func settingFailure(flag string, err error) error {
	var known *fault.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return misuse("--%s: %s", flag, err)
}
