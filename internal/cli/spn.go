package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/audit"
	"drover/internal/directory"
	"drover/internal/enroll"
	"drover/internal/finding"
	"drover/internal/spn"
)

func newSPN(p *program) *cobra.Command {
	return parent("spn", "List, find, check, add and delete service principal names",
		newSPNList(p), newSPNFind(p), newSPNDuplicates(p), newSPNAdd(p), newSPNDelete(p))
}

// nameRow is a service name and the account that it is on, as JSON.
type nameRow struct {
	Name    string `json:"name"`
	Account string `json:"account"`
	DN      string `json:"dn"`
	// Twin says that Samba's escaped form stands beside it.
	Twin     bool `json:"twin,omitempty"`
	Disabled bool `json:"disabled,omitempty"`
}

func rowsOf(a directory.Account, wanted func(string) bool) []nameRow {
	var out []nameRow
	for _, n := range spn.PlainList(a.ServiceNames) {
		if wanted(n) {
			out = append(out, nameRow{Name: n, Account: a.Name, DN: a.DN, Disabled: a.Disabled(),
				Twin: spn.Twin(n) != "" && spn.Contains(a.ServiceNames, spn.Twin(n))})
		}
	}
	slices.SortFunc(out, func(a, b nameRow) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return out
}

func everything(string) bool { return true }

func newSPNList(p *program) *cobra.Command {
	var o directoryFlags
	cmd := &cobra.Command{
		Use:   "list ACCOUNT",
		Short: "List the service names of an account (setspn -L)",
		Long: `List the service names of an account: HV01, HV01$, hv01.example.org, a user, or a
distinguished name. Samba's escaped twins are not listed as names of their own.`,
		Example: "  drover spn list HV01",
		Args:    oneArg("an account"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.withDirectory(ctx, o, func(c *directory.Conn) error {
				a, err := enroll.Account(ctx, c, args[0])
				if err != nil {
					return err
				}
				return p.printAccountNames(a)
			})
		}),
	}
	o.add(cmd.Flags())
	return cmd
}

// printAccountNames lists the names of one account, which need not be told beside each.
func (p *program) printAccountNames(a directory.Account) error {
	rows := rowsOf(a, everything)
	if p.out != table || len(rows) == 0 {
		return p.printNames(rows, a.Name+" has no service name")
	}
	state := ""
	if a.Disabled() {
		state = ", disabled"
	}
	_, err := fmt.Fprintf(p.stdout, "%s  (%s%s)\n", clean(a.Name), clean(a.DN), state)
	for _, r := range rows {
		if err == nil {
			_, err = fmt.Fprintf(p.stdout, "  %s\n", clean(r.Name))
		}
	}
	return err
}

func (p *program) printNames(rows []nameRow, none string) error {
	if p.out != table {
		if rows == nil {
			rows = []nameRow{}
		}
		return p.out.write(p.stdout, rows)
	}
	if len(rows) == 0 {
		p.screen.line("%s", none)
		return nil
	}
	var cells [][]string
	for _, r := range rows {
		state := ""
		if r.Disabled {
			state = "disabled"
		}
		cells = append(cells, []string{r.Name, r.Account, state, r.DN})
	}
	return grid(p.stdout, []string{"NAME", "ACCOUNT", "STATE", "OBJECT"}, cells)
}

func newSPNFind(p *program) *cobra.Command {
	var o directoryFlags
	var forest bool
	cmd := &cobra.Command{
		Use:   "find PATTERN",
		Short: "Find service names and the accounts that have them (setspn -Q)",
		Long: `Find service names. In the pattern "*" stands for anything; upper and lower case
are the same.`,
		Example: `  drover spn find 'cifs/*'
  drover spn find '*/hv01.example.org'`,
		Args: oneArg("a pattern"),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.withNames(ctx, o, forest, func(c *directory.Conn) error {
				found, err := c.Accounts(ctx, directory.Query{Pattern: args[0]})
				if err != nil {
					return err
				}
				var rows []nameRow
				for _, a := range found {
					rows = append(rows, rowsOf(a, func(n string) bool { return likePattern(args[0], n) })...)
				}
				none := "no service name is like " + args[0]
				if !strings.Contains(args[0], "*") {
					none = fmt.Sprintf("no service name is %s; \"*\" stands for anything, as in '%s*'", args[0], args[0])
				}
				return p.printNames(rows, none)
			})
		}),
	}
	o.add(cmd.Flags())
	cmd.Flags().BoolVar(&forest, "forest", false, "in every domain of the forest, by the global catalogue")
	return cmd
}

// withNames connects to the domain, or to the global catalogue.
func (p *program) withNames(ctx context.Context, o directoryFlags, forest bool, do func(*directory.Conn) error) error {
	return p.withDirectory(ctx, o, func(c *directory.Conn) error {
		if !forest {
			return do(c)
		}
		g, err := c.Global(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = g.Close() }()
		return do(g)
	})
}

// likePattern compares as the directory does, "*" standing for anything.
func likePattern(pattern, name string) bool {
	parts := strings.Split(strings.ToLower(spn.Plain(pattern)), "*")
	name = strings.ToLower(name)
	if len(parts) == 1 {
		return parts[0] == name
	}
	rest, ok := strings.CutPrefix(name, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}

// duplicatesFound is the JSON form of spn duplicates.
type duplicatesFound struct {
	Server     string            `json:"server"`
	Duplicates []audit.Duplicate `json:"duplicates"`
}

func newSPNDuplicates(p *program) *cobra.Command {
	var o directoryFlags
	var forest bool
	cmd := &cobra.Command{
		Use:   "duplicates",
		Short: "Find service names that several accounts have (setspn -X)",
		Long: `Find service names that are on more than one account, for which the controller
issues no ticket at all. All kinds of accounts count, disabled ones too; upper and
lower case are the same. The escaped twins that Samba needs are no duplicates.
Exit status 0 without duplicates, else 11.`,
		Example: "  drover spn duplicates --forest",
		Args:    noArgs,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, _ []string) error {
			return p.withNames(ctx, o, forest, func(c *directory.Conn) error {
				found, err := c.Accounts(ctx, directory.Query{ServiceNames: true})
				if err != nil {
					return err
				}
				return p.printDuplicates(duplicatesFound{c.Server(), audit.Duplicates(found)}, len(found))
			})
		}),
	}
	o.add(cmd.Flags())
	cmd.Flags().BoolVar(&forest, "forest", false, "across every domain of the forest, by the global catalogue")
	return cmd
}

func (p *program) printDuplicates(d duplicatesFound, accounts int) error {
	if d.Duplicates == nil {
		d.Duplicates = []audit.Duplicate{}
	}
	var rows [][]string
	for _, dup := range d.Duplicates {
		for _, dn := range dup.Objects {
			rows = append(rows, []string{dup.Name, dn})
		}
	}
	var err error
	switch {
	case p.out != table:
		err = p.out.write(p.stdout, d)
	case len(rows) == 0:
		_, err = fmt.Fprintf(p.stdout, "no duplicates among the service names of %s\n", count(accounts, "account"))
	default:
		err = grid(p.stdout, []string{"NAME", "OBJECT"}, rows)
	}
	if err != nil || len(rows) == 0 {
		return err
	}
	return severityStatus(finding.Error)
}

type spnChangeOptions struct {
	directory directoryFlags
	dryRun    bool
}

func newSPNAdd(p *program) *cobra.Command {
	var o spnChangeOptions
	cmd := &cobra.Command{
		Use:   "add ACCOUNT [NAME...]",
		Short: "Add service names to an account (setspn -S)",
		Long: `Add service names to an account, after making sure that no other account of the
forest has them. Without names those are added that a host needs to be moved to.
On Samba's controllers the escaped twin that their Kerberos server looks for is
added beside a name with blanks.`,
		Example: `  drover spn add HV01
  drover spn add HV01 'Microsoft Virtual System Migration Service/HV01' --dry-run`,
		Args:              accountAndNames(false),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.changeNames(ctx, o, args[0], func(c *directory.Conn, a directory.Account) (*enroll.Change, error) {
				return planAdd(ctx, c, a, args[1:])
			})
		}),
	}
	o.add(cmd)
	return cmd
}

func (o *spnChangeOptions) add(cmd *cobra.Command) {
	o.directory.add(cmd.Flags())
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would change and end")
}

func accountAndNames(needed bool) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 || args[0] == "":
			return fmt.Errorf("%s needs an account", cmd.CommandPath())
		case needed && len(args) < 2:
			return fmt.Errorf("%s needs at least one service name", cmd.CommandPath())
		}
		return nil
	}
}

func planAdd(ctx context.Context, c *directory.Conn, a directory.Account, names []string) (*enroll.Change, error) {
	if len(names) == 0 {
		mappings, err := c.Mappings(ctx)
		if err != nil {
			return nil, err
		}
		names = enroll.NamesFor(a, mappings, c.Kind() == directory.Samba)
	}
	g, err := c.Global(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = g.Close() }()
	return enroll.PlanAdd(ctx, c, g, a, names)
}

func newSPNDelete(p *program) *cobra.Command {
	var o spnChangeOptions
	cmd := &cobra.Command{
		Use:     "delete ACCOUNT NAME...",
		Short:   "Delete service names of an account (setspn -D)",
		Long:    "Delete service names of an account, and Samba's escaped twins with them.",
		Example: "  drover spn delete svc-old 'cifs/HV01'",
		Args:    accountAndNames(true),
		RunE: p.verb(func(ctx context.Context, _ *cobra.Command, args []string) error {
			return p.changeNames(ctx, o, args[0], func(c *directory.Conn, a directory.Account) (*enroll.Change, error) {
				return enroll.PlanDelete(ctx, c, a, args[1:])
			})
		}),
	}
	o.add(cmd)
	return cmd
}

// namesChanged is the JSON form of spn add and delete.
type namesChanged struct {
	*enroll.Change
	DryRun bool `json:"dry_run,omitempty"`
}

func (p *program) changeNames(ctx context.Context, o spnChangeOptions, account string, plan func(*directory.Conn, directory.Account) (*enroll.Change, error)) error {
	return p.withDirectory(ctx, o.directory, func(c *directory.Conn) error {
		a, err := enroll.Account(ctx, c, account)
		if err != nil {
			return err
		}
		change, err := plan(c, a)
		if err != nil {
			return err
		}
		if !o.dryRun {
			if err := enroll.Apply(ctx, c, change); err != nil {
				return err
			}
		}
		if p.out != table {
			return p.out.write(p.stdout, namesChanged{change, o.dryRun})
		}
		return p.printChanged(change, o.dryRun)
	})
}

func (p *program) printChanged(c *enroll.Change, dryRun bool) error {
	add, remove := "added", "deleted"
	if dryRun {
		add, remove = "would add", "would delete"
	}
	var errs []error
	say := func(verb string, values []string) {
		for _, v := range withTwins(values) {
			_, err := fmt.Fprintf(p.stdout, "%s: %s %s\n", clean(c.Account), verb, clean(v))
			errs = append(errs, err)
		}
	}
	say(add, c.Add)
	say(remove, c.Delete)
	say("nothing to change for", c.Already)
	if slices.ContainsFunc(withTwins(slices.Concat(c.Add, c.Delete)), func(v string) bool { return strings.HasSuffix(v, twinMark) }) {
		_, err := fmt.Fprintln(p.stdout, twinNote)
		errs = append(errs, err)
	}
	if c.Empty() && len(c.Already) == 0 {
		_, err := fmt.Fprintf(p.stdout, "%s: nothing to change\n", clean(c.Account))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
