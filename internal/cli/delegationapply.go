package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/fault"
)

type delegationApplyOptions struct {
	directory directoryFlags
	intent    intentFlags
	change    changeFlags
	print     string
}

// changeFlags are those of every verb that changes many objects of the directory.
type changeFlags struct {
	yes, dryRun bool
	baseline    string
}

func (f *changeFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the changes and end")
	cmd.Flags().StringVar(&f.baseline, "baseline", "", "`FILE` for the old values; default: a new one in $XDG_STATE_HOME/drover")
}

func newDelegationApply(p *program) *cobra.Command {
	var o delegationApplyOptions
	cmd := &cobra.Command{
		Use:   "apply [PLAN]",
		Short: "Carry out a delegation plan, after saving the old values",
		Long: `Carry out a plan that "drover delegation plan" has made (its JSON; - is standard
input), or, without one, make a plan from the flags and carry it out. The changes
are shown first, and asked about.

Before the first change the old values are written to a baseline, LDIF that
"drover delegation rollback" goes back to. Values are added and deleted one by
one; an attribute that has changed since the plan is left alone. One account's
failure does not stop the others. To apply twice changes nothing more.

With --print nothing is changed: a script that does exactly this plan is written
for somebody who has the rights.`,
		Example: `  drover delegation apply plan.json
  drover delegation apply plan.json --print powershell > delegation.ps1
  drover delegation apply --ou OU=Hosts,DC=example,DC=org --model group`,
		Args: onePlan,
		RunE: p.verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			if len(args) == 1 && intentGiven(cmd) {
				return misuse("a plan says what is wanted; flags such as --model are for apply without a plan")
			}
			return p.runDelegationApply(ctx, o, args)
		}),
	}
	o.directory.add(cmd.Flags())
	o.intent.add(cmd.Flags())
	o.intent.addPrune(cmd.Flags())
	o.intent.complete(cmd)
	o.change.add(cmd)
	cmd.Flags().StringVar(&o.print, "print", "", "write a `script` instead of changing anything: powershell, ldif or samba-tool")
	if err := cmd.RegisterFlagCompletionFunc("print", fixed("powershell", "ldif", "samba-tool")); err != nil {
		panic(err) // the flag was defined above
	}
	return cmd
}

// onePlan wants a file with a plan, or nothing. More than one argument is somebody who
// names hosts, as plan takes them.
func onePlan(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return misuse("apply takes a file with a plan; to name hosts, plan first: `drover delegation plan %s --out plan.json`", strings.Join(args, " "))
	}
	return nil
}

// intentGiven says that a flag was used which a plan has an answer to already.
func intentGiven(cmd *cobra.Command) bool {
	return slices.ContainsFunc([]string{"model", "protocol", "services", "one-way", "group", "group-ou", "from", "ou", "prune"},
		func(name string) bool { return cmd.Flags().Changed(name) })
}

func (p *program) runDelegationApply(ctx context.Context, o delegationApplyOptions, args []string) error {
	if o.print != "" && !slices.Contains([]delegation.Script{delegation.PowerShellScript, delegation.LDIFScript, delegation.SambaToolScript}, delegation.Script(o.print)) {
		return misuse("--print %q is none of powershell, ldif, samba-tool", o.print)
	}
	var plan *delegation.Plan
	if len(args) == 1 {
		var err error
		if plan, err = p.readPlan(args[0]); err != nil {
			return err
		}
		// The plan says where it belongs, unless the flags say otherwise.
		o.directory.presume(plan.Server, plan.Domain)
	}
	return p.withDirectory(ctx, o.directory, func(c *directory.Conn) error {
		if plan == nil {
			var err error
			if plan, _, err = o.intent.plan(ctx, p, c, nil); err != nil {
				return err
			}
		}
		if o.print != "" {
			return p.printScript(ctx, c, plan, delegation.Script(o.print))
		}
		return p.carryOut(ctx, c, plan, o.change)
	})
}

func (p *program) readPlan(path string) (*delegation.Plan, error) {
	if path == "-" {
		return delegation.ReadPlan(p.stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fault.New(fault.PlanMalformed, "", "name", path, "reason", openReason(err))
	}
	defer func() { _ = f.Close() }()
	plan, err := delegation.ReadPlan(f)
	return plan, named(err, path)
}

// named gives a fault about a file the file's name, which its reader did not know.
func named(err error, path string) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Args["name"] == "" {
		f.Args["name"] = path
	}
	return err
}

func (p *program) printScript(ctx context.Context, c *directory.Conn, plan *delegation.Plan, script delegation.Script) error {
	now, err := delegation.ReadNow(ctx, c, plan.Needs())
	if err != nil {
		return err
	}
	return delegation.Print(p.stdout, script, plan, now)
}

// carryOut shows a plan, asks, and applies it.
func (p *program) carryOut(ctx context.Context, c *directory.Conn, plan *delegation.Plan, o changeFlags) error {
	if p.out == table {
		if err := printDelegationPlan(p.stdout, plan); err != nil {
			return err
		}
	}
	if plan.Empty() || o.dryRun {
		if p.out != table {
			return p.out.write(p.stdout, plan)
		}
		return nil
	}
	if err := p.asker.confirm(ctx, o.yes, fmt.Sprintf("Change %s in %s?", count(changedObjects(plan), "object"), plan.Domain)); err != nil {
		return err
	}
	result, err := p.applyPlan(ctx, c, plan, o.baseline)
	if result == nil || len(result.Objects) == 0 && err != nil {
		return err
	}
	return p.showApplied(plan, result, err)
}

// applyPlan applies a plan after saving the old values, in a new file without a path,
// and tells how each object fares.
func (p *program) applyPlan(ctx context.Context, c *directory.Conn, plan *delegation.Plan, path string) (*delegation.Result, error) {
	if path == "" {
		path = p.baselinePath(plan)
	}
	saved := ""
	opts := delegation.ApplyOptions{
		Baseline: func(b *delegation.Baseline) error {
			if err := saveBaseline(path, b); err != nil {
				return fault.Wrap(err, fault.BaselineNotWritten, "", "path", path)
			}
			saved = path
			p.screen.line("old values saved in %s", path)
			return nil
		},
		Report: func(r delegation.ObjectResult) { p.screen.line("%-10s %s", r.Outcome, r.Account) },
	}
	result, err := delegation.Apply(ctx, c, plan, opts)
	if result != nil {
		result.Baseline = saved
		err = withBaseline(err, saved)
	}
	return result, err
}

// withBaseline completes the hint of a plan that was applied in part.
func withBaseline(err error, path string) error {
	var f *fault.Error
	if errors.As(err, &f) && f.Code == fault.PlanPartlyApplied {
		f.Args["baseline"] = cmp.Or(path, "BASELINE")
	}
	return err
}

// applied is the JSON form of apply and rollback.
type applied struct {
	*delegation.Result
	Error *fault.Problem `json:"error,omitempty"`
}

func (p *program) showApplied(plan *delegation.Plan, result *delegation.Result, err error) error {
	if p.out != table {
		if werr := p.out.write(p.stdout, applied{result, fault.ToProblem(err)}); werr != nil {
			return werr
		}
		if err != nil {
			return reported{err}
		}
		return nil
	}
	if werr := printApplied(p.stdout, plan, result); werr != nil {
		return werr
	}
	return err
}

// baselinePath is a new file's name in the user's state directory (XDG Base
// Directory Specification).
func (p *program) baselinePath(plan *delegation.Plan) string {
	dir := p.getenv("XDG_STATE_HOME")
	if dir == "" {
		dir = filepath.Join(p.getenv("HOME"), ".local", "state")
	}
	return filepath.Join(dir, "drover", fmt.Sprintf("baseline-%s-%s.ldif", filepath.Base(plan.Domain), p.now().UTC().Format("20060102T150405.000Z")))
}

// saveBaseline writes a new file and returns when it is safe on disk. A file that
// is there already is another run's way back and is not overwritten.
func saveBaseline(path string, b *delegation.Baseline) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = b.WriteLDIF(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func changedObjects(plan *delegation.Plan) int {
	seen := map[string]bool{}
	for _, c := range plan.Changes {
		seen[c.DN] = true
	}
	n := len(seen)
	if plan.NewGroup != nil {
		n++
	}
	return n
}

type delegationRollbackOptions struct {
	directory directoryFlags
	change    changeFlags
	hosts     []string
}

func newDelegationRollback(p *program) *cobra.Command {
	var o delegationRollbackOptions
	cmd := &cobra.Command{
		Use:   "rollback BASELINE",
		Short: "Go back to the values that a baseline holds",
		Long: `Go back to the values that "drover delegation apply" saved before it changed
anything. What that changes is shown first, and asked about; a rollback saves a
baseline of its own, so that it can be taken back, too.`,
		Example: `  drover delegation rollback baseline.ldif --dry-run
  drover delegation rollback baseline.ldif --host HV02`,
		Args: oneArg("a baseline"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.runDelegationRollback(ctx, o, args[0])
		}),
	}
	o.directory.add(cmd.Flags())
	o.change.add(cmd)
	// No list with commas: distinguished names have them.
	cmd.Flags().StringArrayVar(&o.hosts, "host", nil, "only the account of this `host`; may be repeated")
	return cmd
}

func (p *program) runDelegationRollback(ctx context.Context, o delegationRollbackOptions, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fault.New(fault.BaselineMalformed, "", "name", path, "reason", openReason(err))
	}
	defer func() { _ = f.Close() }()
	b, err := delegation.ReadBaseline(f)
	if err != nil {
		return named(err, path)
	}
	return p.withDirectory(ctx, o.directory, func(c *directory.Conn) error {
		root, err := c.Root(ctx)
		if err != nil {
			return err
		}
		now, err := delegation.ReadNow(ctx, c, b.Needs())
		if err != nil {
			return err
		}
		plan, err := delegation.NewRollback(b, now, root, o.hosts, p.now().UTC().Truncate(time.Second))
		if err != nil {
			return err
		}
		plan.Rollback = filepath.Base(path)
		return p.carryOut(ctx, c, plan, o.change)
	})
}
