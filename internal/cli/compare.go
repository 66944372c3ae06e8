package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/finding"
	"drover/internal/record"
)

type compareOptions struct {
	target target
	vm     string
	to     string
	how    moveFlags
}

func newCompare(p *program) *cobra.Command {
	var o compareOptions
	cmd := &cobra.Command{
		Use:   "compare VM --to HOST",
		Short: "Find all that is in the way of a move",
		Long: `Compare a VM, and what is asked for it, with a host that it is to move to. Both
hosts are asked for everything that is in the way, not only for the first; each
incompatibility comes with the option of "drover move" that cures it, if there
is one, and at the end stands the command with all of them. Compare again with
these options until nothing is left; then the plan is shown, and "drover move"
takes the same options.

Nothing is created or changed on either host, and no limit of simultaneous
migrations counts. The exit status is 0 when the VM can move, 11 when
something is in the way.`,
		Example: `  drover compare APP01 --host HV01 --to HV02
  drover compare APP01 --host HV01 --to HV02 --include-storage --map-network virbr0=br-lan
  drover compare APP01 --to HV02 -o json      on HV01 itself, by the local socket`,
		Args: oneArg("the VM"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			o.vm = args[0]
			return p.runCompare(ctx, o)
		}),
	}
	f := cmd.Flags()
	o.target.flags(f)
	f.StringVar(&o.to, "to", "", "`name` of the destination host")
	o.how.flags(f)
	return cmd
}

func (p *program) runCompare(ctx context.Context, o compareOptions) error {
	if o.to == "" {
		return misuse("name the destination host with --to")
	}
	if err := checkHost("--to", o.to); err != nil {
		return err
	}
	if err := o.how.check(); err != nil {
		return err
	}
	q := record.Request{VM: o.vm, Destination: o.to}
	o.how.apply(&q)
	return p.with(ctx, o.target, func(a agent) error {
		c, err := a.Compare(ctx, q)
		if err != nil {
			return err
		}
		if p.out != table {
			err = p.out.write(p.stdout, c)
		} else {
			err = printComparison(p.stdout, &c, q, o.target)
		}
		if err != nil || len(c.Incompatibilities) == 0 {
			return err
		}
		return severityStatus(finding.Error)
	})
}

// printComparison shows what is in the way, and the command that is nearer to a
// move; or the plan.
func printComparison(w io.Writer, c *record.Comparison, q record.Request, t target) error {
	if len(c.Incompatibilities) == 0 {
		if c.Plan != nil {
			if err := printPlan(w, c.Plan); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, "%s can move from %s to %s:\n  %s\n", clean(c.VM), clean(c.Source), clean(c.Destination), clean(moveLine(c, q, t, nil)))
		return err
	}
	var rows [][]string
	var cures []string
	without := 0
	for _, i := range c.Incompatibilities {
		rows = append(rows, []string{string(i.Code), i.Object, i.Message, i.Option})
		if i.Option == "" {
			without++
		} else if !slices.Contains(cures, i.Option) {
			cures = append(cures, i.Option)
		}
	}
	if err := grid(w, []string{"CODE", "OBJECT", "MESSAGE", "OPTION"}, rows); err != nil {
		return err
	}
	for _, line := range comparisonEnd(c, q, t, cures, without) {
		if _, err := fmt.Fprintln(w, clean(line)); err != nil {
			return err
		}
	}
	return nil
}

func comparisonEnd(c *record.Comparison, q record.Request, t target, cures []string, without int) []string {
	out := []string{""}
	if without > 0 {
		out = append(out, fmt.Sprintf("No option cures %d of %d; \"drover explain CODE\" says what does.", without, len(c.Incompatibilities)))
	}
	if len(cures) > 0 {
		line := moveLine(c, q, t, cures)
		out = append(out, "With the options that cure:", "  "+line, "  "+strings.Replace(line, "drover move", "drover compare", 1))
	}
	return out
}

// askedOptions are the options of a request, each with its value, as a shell reads them.
func askedOptions(q *record.Request) (asked []string) {
	for _, o := range optionWords(q) {
		if strings.HasPrefix(o, "--") {
			asked = append(asked, o)
		} else {
			asked[len(asked)-1] += " " + shell(o)
		}
	}
	return asked
}

// moveLine is the command line of the move with what was asked for and the cures,
// which go before what they replace.
func moveLine(c *record.Comparison, q record.Request, t target, cures []string) string {
	words := []string{"drover move " + shell(c.VM) + t.again(), "--to", shell(q.Destination)}
	for _, o := range askedOptions(&q) {
		if !slices.ContainsFunc(cures, func(cure string) bool { return replaces(cure, o) }) {
			words = append(words, o)
		}
	}
	return strings.Join(append(words, cures...), " ")
}

// replaces: both are the same option, and for maps of the same thing.
func replaces(cure, asked string) bool {
	option, value, _ := strings.Cut(cure, " ")
	other, old, _ := strings.Cut(asked, " ")
	if option != other {
		return false
	}
	from, _, mapping := strings.Cut(value, "=")
	was, _, _ := strings.Cut(old, "=")
	return !mapping || from == was
}

// shell writes one word, A=B with its two sides as they are.
func shell(word string) string {
	left, right, mapping := strings.Cut(word, "=")
	if !mapping {
		return finding.Quote(finding.Shell, word)
	}
	return finding.Quote(finding.Shell, left) + "=" + finding.Quote(finding.Shell, right)
}
