package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drover/internal/cmdlet"
	"drover/internal/fault"
)

// cmdletLine gives a command line the form that the tree of commands knows when it
// is one of a cmdlet: the name in its own spelling, and words where a shell handed
// over a whole line. Other command lines stay as they are.
func cmdletLine(args []string) ([]string, error) {
	at := verbAt(args)
	if at < len(args) && slices.Contains([]string{"help", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, args[at]) {
		at++
		if at < len(args) {
			return spelled(args, at), nil
		}
	}
	if at >= len(args) {
		return args, nil
	}
	words, err := cmdlet.Expand(args[at:])
	if err != nil {
		return nil, misuse("%v", err)
	}
	if _, ok := cmdlet.Lookup(words[0]); !ok {
		return args, nil
	}
	return spelled(slices.Concat(args[:at], words), at), nil
}

// verbAt finds the verb after the options that may stand before it.
func verbAt(args []string) int {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-o" || a == "--output":
			i++
		case !strings.HasPrefix(a, "-"):
			return i
		}
	}
	return len(args)
}

func spelled(args []string, at int) []string {
	if c, ok := cmdlet.Lookup(args[at]); ok {
		args = slices.Clone(args)
		args[at] = c.Name
	}
	return args
}

// addCmdlets adds a hidden command for each cmdlet, and the one that lists them.
func addCmdlets(p *program, root *cobra.Command) {
	for _, c := range cmdlet.All() {
		root.AddCommand(newCmdlet(p, c))
	}
	root.AddCommand(newCmdlets(p))
	root.ValidArgsFunction = completeCmdlets
}

func newCmdlet(p *program, c *cmdlet.Cmdlet) *cobra.Command {
	cmd := &cobra.Command{
		Use: c.Name, Short: c.Short, Long: cmdletHelp(c), Hidden: true, DisableFlagParsing: true,
		ValidArgsFunction: completeParameters(c),
		RunE: func(cmd *cobra.Command, args []string) error {
			p.started, p.out = true, wanted(args, p.out)
			return p.runCmdlet(cmd, c, args)
		},
	}
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) { _, _ = fmt.Fprint(cmd.OutOrStdout(), cmdletHelp(c)) })
	return cmd
}

func (p *program) runCmdlet(cmd *cobra.Command, c *cmdlet.Cmdlet, args []string) error {
	if c.Instead != nil && !slices.Contains(args, "-?") && !slices.Contains(args, "--help") {
		if c.Instead.Why == "" {
			return fault.New(fault.NoCluster, "", "cmdlet", c.Name)
		}
		return fault.New(fault.CmdletElsewhere, "", "cmdlet", c.Name, "why", c.Instead.Why, "command", c.Instead.Command)
	}
	d := p.dress(cmd.Root(), c)
	call, err := cmdlet.Bind(c, args, d.known)
	if errors.Is(err, cmdlet.ErrHelp) {
		return cmd.Help()
	}
	if err == nil {
		err = d.parse(call)
	}
	if err != nil {
		return misuseOf(c, err)
	}
	if call.Shape.Form == cmdlet.AsJSON && p.out == table {
		p.out = jsonForm
	}
	if show := shower(c.Name); show != nil {
		if call.On("Verbose") {
			p.screen.line("VERBOSE: like %s", c.Native)
		}
		ctx, stop := interruptible(cmd.Context())
		defer stop()
		return show(p, ctx, call, d)
	}
	return p.runNative(cmd.Context(), call, d)
}

// misuseOf says what is wrong with a cmdlet's words.
func misuseOf(c *cmdlet.Cmdlet, err error) error {
	if known := (*fault.Error)(nil); errors.As(err, &known) {
		return err
	}
	return misuse("%s: %v; `drover help %s` shows how it is used", c.Name, err, c.Name)
}

// dressing are drover's own options of one cmdlet: those of the verbs that it
// stands for.
type dressing struct {
	fs        *pflag.FlagSet
	target    target
	directory directoryFlags
	yes       bool // answers -Confirm, of verbs that ask nothing themselves
}

func (p *program) dress(root *cobra.Command, c *cmdlet.Cmdlet) *dressing {
	d := &dressing{fs: pflag.NewFlagSet(c.Name, pflag.ContinueOnError)}
	d.fs.VarP(&p.out, "output", "o", "")
	switch {
	case c.Name == "Get-ADComputer":
		d.directory.add(d.fs)
		return d
	case c.Name == "setspn":
		d.verbs(root, "spn")
		return d
	case c.Name == "klist":
		d.verbs(root, "ticket")
	case c.Verb != nil:
		d.verbs(root, c.Verb...)
	}
	if d.fs.Lookup("host") == nil {
		d.target.flags(d.fs)
	}
	if d.fs.Lookup("yes") == nil && c.Verb != nil {
		d.fs.BoolVar(&d.yes, "yes", false, "")
	}
	return d
}

// verbs adds the options of a verb and those below it, which read them themselves.
func (d *dressing) verbs(root *cobra.Command, path ...string) {
	cmd, _, err := root.Find(path)
	if err != nil || cmd == root {
		return
	}
	d.adopt(cmd.Flags())
	for _, sub := range cmd.Commands() {
		d.adopt(sub.Flags())
	}
}

func (d *dressing) adopt(fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		switch {
		case d.fs.Lookup(f.Name) != nil:
		case f.Name == "host":
			d.fs.StringVar(&d.target.host, f.Name, "", "")
		case f.Name == "socket":
			d.fs.StringVar(&d.target.socket, f.Name, DefaultSocket, "")
		default:
			d.fs.AddFlag(f)
		}
	})
}

func (d *dressing) known(name string) (known, takesValue bool) {
	f := d.fs.Lookup(name)
	return f != nil, f != nil && f.NoOptDefVal == ""
}

// parse reads drover's own options, and checks what must not contradict them.
func (d *dressing) parse(call *cmdlet.Call) error {
	if err := d.fs.Parse(call.Own); err != nil {
		return err
	}
	if d.yes {
		call.Own = slices.DeleteFunc(call.Own, func(o string) bool { return o == "--yes" })
	}
	if d.target.host != "" && call.Has("ComputerName") {
		return errors.New("-ComputerName and --host say the same; give one of them")
	}
	switch strings.ToLower(call.Text("ErrorAction")) {
	case "", "continue", "stop":
		return nil
	}
	return fmt.Errorf("-ErrorAction %s has no counterpart; there are Continue and Stop", call.Text("ErrorAction"))
}

// answered reports whether --yes was given.
func (d *dressing) answered() bool {
	f := d.fs.Lookup("yes")
	return f != nil && f.Value.String() == "true"
}

// hosts are those that the call names; "" is this machine.
func (d *dressing) hosts(call *cmdlet.Call) []string {
	names := slices.Clone(call.List("ComputerName"))
	if len(names) == 0 {
		return []string{d.target.host}
	}
	for i, n := range names {
		if n == "." || strings.EqualFold(n, "localhost") {
			names[i] = ""
		}
	}
	return names
}

// at is the agent of one of the hosts.
func (d *dressing) at(host string) target {
	t := d.target
	if t.host = host; host != "" {
		t.socket = DefaultSocket
	}
	return t
}

// shower is what shows the objects of a cmdlet; nil for those that verbs carry out.
func shower(name string) func(*program, context.Context, *cmdlet.Call, *dressing) error {
	switch name {
	case "Get-VMHost":
		return (*program).showHosts
	case "Get-VMHostNetworkAdapter":
		return (*program).showAdapters
	case "Get-VMMigrationNetwork":
		return (*program).showNetworks
	case "Get-VM":
		return (*program).showVMs
	case "Test-NetConnection":
		return (*program).testConnection
	case "Get-WinEvent":
		return (*program).showEvents
	case "Get-ADComputer":
		return (*program).showComputer
	}
	return nil
}
