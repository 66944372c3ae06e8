package cli

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/delegation"
	"drover/internal/doctor"
	"drover/internal/fault"
)

type doctorOptions struct {
	directory                         directoryFlags
	pairs                             []string
	operator, explain, report, saveTo string
	vm, event, template               string
	fix, yes                          bool
	page                              *pageFile // of report, once it is open
}

func newDoctor(p *program) *cobra.Command {
	var o doctorOptions
	cmd := &cobra.Command{
		Use:   "doctor [HOST... | SOURCE:DESTINATION...]",
		Short: "Find out why moves between hosts fail, and how to cure it",
		Long: `Look at names, network, clocks, Kerberos, the directory and the hosts' agents, and
say what is wrong: which object, which attribute, which value, the command that
cures it and the one that takes the cure back. Causes come first, with what they
bring about beneath them. Nothing is changed without --fix.

On a host, without a name, that host by itself is looked at; elsewhere every host of
the domain. Between several hosts both directions are looked at, with real tickets
where an agent answers; nothing is moved. No agent is needed for the directory and
the network, so that it serves Hyper-V hosts, too; what could not be looked at is
listed, and has not passed.

With --vm also what "drover compare" says is in the way of a move of that VM, in the
directions from the host that has it, which is found by itself. Options of "drover
move" that cure are tried, until nothing is left that an option cures.

With --from-event the look begins with an entry of a host's event log, by the number
that "drover events" shows as SEQ: of the host that is named, or of this one. Which
hosts, which operator and which VM it is about is taken from the entry.

With --template the settings of each host are held against a file that "drover host
export" has written, and what has drifted from it is told.

With --fix the changes to delegation, service names and hosts' settings are
shown, asked about, made, and looked at again. The rest needs a person.

The exit status tells the worst: 10 warning, 11 error, 12 critical; 0 when nothing
was found.`,
		Example: `  drover doctor
  drover doctor HV01 HV02
  drover doctor HV01:HV02 --operator alice
  drover doctor --vm APP01 HV01 HV02
  drover doctor --from-event 217 HV01
  drover doctor HV01 HV02 --report findings.html
  drover doctor HV01 HV02 --fix
  drover doctor HV01 HV02 HV03 --template hosts.yaml
  drover doctor --explain 0x8009030E`,
		RunE: p.verb(func(ctx context.Context, cmd *cobra.Command, args []string) error {
			for _, name := range []string{"vm", "from-event", "template"} {
				if f := cmd.Flags().Lookup(name); f.Changed && f.Value.String() == "" { // a variable of a script that is empty
					return misuse("--%s is empty; without it no VM is compared, no event read, and no template", name)
				}
			}
			return p.runDoctor(ctx, o, args)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	f := cmd.Flags()
	o.directory.add(f)
	f.StringArrayVar(&o.pairs, "pair", nil, "look at the `direction` SOURCE:DESTINATION; may be repeated")
	f.StringVar(&o.vm, "vm", "", "compare the VM of this `name` or UUID, too, between the hosts; without a host, from the one that has it")
	f.StringVar(&o.event, "from-event", "", "look for the cause of an entry of the event log, by its `number` (SEQ of \"drover events\")")
	f.StringVar(&o.template, "template", "", "also hold the hosts' settings against the `FILE` that \"drover host export\" has written")
	f.StringVar(&o.operator, "operator", "", "`principal` who moves (default: you)")
	f.StringVar(&o.explain, "explain", "", "explain a `text` instead: a code, a number or a message that somebody saw")
	f.StringVar(&o.report, "report", "", "also write a page to hand on to `FILE`, HTML that needs nothing else")
	f.BoolVar(&o.fix, "fix", false, "make the changes that Drover can make, after showing them, and look again")
	f.BoolVar(&o.yes, "yes", false, "with --fix, do not ask")
	f.StringVar(&o.saveTo, "baseline", "", "with --fix, `FILE` for the old values; default: a new one in $XDG_STATE_HOME/drover")
	p.completeDoctor(cmd)
	return cmd
}

func (p *program) runDoctor(ctx context.Context, o doctorOptions, args []string) error {
	if o.explain != "" {
		if len(args) > 0 || len(o.pairs) > 0 || o.fix || o.report+o.vm+o.event+o.template != "" {
			return misuse("--explain is about a text, and goes with no host, --vm, --from-event, --template, --fix or --report")
		}
		return p.explainText(o.explain)
	}
	if (o.yes || o.saveTo != "") && !o.fix {
		return misuse("--yes and --baseline are for --fix; without it nothing is changed")
	}
	q, err := o.question(args)
	if err == nil && o.event != "" {
		q, err = p.fromEvent(ctx, o, args)
	}
	if err != nil {
		return err
	}
	if o.template != "" {
		ch, err := p.readTemplate(o.template)
		if err != nil {
			return err
		}
		q.Template = &doctor.Template{File: o.template, Settings: ch}
	}
	if o.page, err = openPage(o.report); err != nil {
		return err
	}
	defer o.page.discard()
	q.Progress = p.progress
	r, err := p.examine(ctx, o.directory, q)
	if err != nil {
		return err
	}
	if o.fix {
		return p.cure(ctx, o, q, r)
	}
	return p.showReport(r, nil, o.page)
}

// progress tells on a terminal what is looked at next.
func (p *program) progress(step string) {
	if p.screen.terminal {
		p.screen.line("looking at %s", step)
	}
}

// question is what the arguments ask.
func (o *doctorOptions) question(args []string) (doctor.Question, error) {
	q := doctor.Question{Operator: o.operator, VM: o.vm}
	hosts, directions, err := hostsOrDirections(args)
	if err != nil {
		return q, err
	}
	for _, d := range slices.Concat(directions, o.pairs) {
		one, err := parseDirection(d)
		if err != nil {
			return q, err
		}
		for _, name := range []string{one.Source, one.Destination} {
			if err := checkHost("the host", name); err != nil {
				return q, err
			}
		}
		q.Pairs = append(q.Pairs, one)
	}
	for _, name := range hosts {
		if err := checkHost("the host", name); err != nil {
			return q, err
		}
	}
	q.Hosts = hosts
	if len(q.Hosts) == 0 && len(q.Pairs) == 0 && q.VM == "" && isHost() {
		q.Hosts = []string{hereName()}
	}
	return q, nil
}

// isHost says that an agent is installed on this machine.
func isHost() bool {
	_, err := os.Stat(DefaultSocket)
	return err == nil
}

// examineHere looks from this machine.
func (p *program) examineHere(ctx context.Context, f directoryFlags, q doctor.Question) (doctor.Report, error) {
	return p.newDoctor(f).Examine(ctx, q)
}

// diagnosis is the JSON form of the doctor's result.
type diagnosis struct {
	doctor.Report
	Fixes []repair `json:"fixes,omitempty" doc:"with --fix: what was changed before this report"`
}

// showReport prints the report, and writes the page if one is asked for. A page that
// cannot be written keeps nobody from the result.
func (p *program) showReport(r doctor.Report, fixes []repair, to *pageFile) error {
	unwritten := to.save(&r)
	if to != nil && unwritten == nil {
		p.screen.line("page written to %s", to.path)
	}
	var err error
	if p.out != table {
		err = p.out.write(p.stdout, diagnosis{r, fixes})
	} else {
		err = printReport(p.stdout, &r, p.textWidth())
	}
	if err != nil {
		return err
	}
	if unwritten != nil {
		p.screen.printError(fault.From(unwritten))
		return reported{unwritten}
	}
	return severityStatus(r.Worst())
}

// textWidth is how wide running text is: as the terminal, where that is not too wide to
// be read.
func (p *program) textWidth() int {
	columns, _ := p.screen.size()
	return min(columns, 110)
}

// directionsOf are those that a cause was found in, or, of one host, those of the
// report that begin there.
func directionsOf(r *doctor.Report, c doctor.Cause) []delegation.Direction {
	if len(c.Directions) > 0 {
		return c.Directions
	}
	if c.Source != "" && c.Destination != "" {
		return []delegation.Direction{{Source: c.Source, Destination: c.Destination}}
	}
	host := strings.TrimSuffix(c.Object, "$")
	if c.Host != "" {
		host = c.Host
	}
	var out []delegation.Direction
	for _, d := range r.Pairs {
		if sameHost(d.Source, host) {
			out = append(out, d)
		}
	}
	return out
}
