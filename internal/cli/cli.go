package cli

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"drover/internal/cmdlet"
	"drover/internal/directory"
	"drover/internal/doctor"
	"drover/internal/version"
)

// Run carries out one command line (without the program's name) and returns
// the exit status, as docs/scripting.md lists them. It handles SIGINT and
// SIGTERM itself, and nothing it started runs on after it returns.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return newProgram(stdin, stdout, stderr).run(ctx, args)
}

// program is what the verbs share: where they read and write, and how they
// reach an agent. Tests replace single members.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	out            format
	screen         *screen
	asker          *asker
	getenv         func(string) string
	now            func() time.Time
	connect        func(ctx context.Context, where target, retrying func(error, time.Duration)) (agent, error)
	examine        func(ctx context.Context, f directoryFlags, q doctor.Question) (doctor.Report, error)
	tryPort        func(ctx context.Context, to netip.AddrPort) (source string, err error)
	// bind is what --simple-bind signs in with, once it was read.
	bind *directory.Simple
	// started: the command line was understood; errors are the verb's from here.
	started bool
	// local: the verb went to the local socket because --host was not given.
	local bool
}

func newProgram(stdin io.Reader, stdout, stderr io.Writer) *program {
	p := &program{stdin: stdin, stdout: stdout, stderr: stderr, out: table, getenv: os.Getenv, now: time.Now}
	p.screen = newScreen(stderr, os.Getenv)
	p.asker = newAsker(stdin, p.screen)
	p.connect, p.tryPort, p.examine = p.dial, connectOnce, p.examineHere
	return p
}

func (p *program) run(ctx context.Context, args []string) int {
	words, err := cmdletLine(args)
	if err == nil {
		err = p.execute(ctx, words)
	}
	if err == nil {
		return 0
	}
	if !p.started {
		err = usage(err, args)
		p.out = wanted(args, p.out)
	}
	p.report(err)
	return exitStatus(err)
}

// execute runs the verb that args name.
func (p *program) execute(ctx context.Context, args []string) error {
	root := newRoot(p)
	root.SetArgs(args)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	return root.ExecuteContext(ctx)
}

func newRoot(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "drover",
		Short: "Move running virtual machines between standalone hosts",
		Long: `Drover moves running virtual machines between standalone libvirt/KVM hosts that
have no cluster and no shared storage, as an operator known by Kerberos.`,
		Example: `  drover login alice@EXAMPLE.ORG
  drover vm list --host HV01
  drover move APP01 --host HV01 --to HV02 --include-storage`,
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownSubcommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("drover {{.Version}}\n")
	root.PersistentFlags().VarP(&p.out, "output", "o", "`form` of the result: table, json or yaml")
	root.CompletionOptions.HiddenDefaultCmd = false
	root.AddCommand(newMove(p), newCompare(p), newVM(p), newHost(p), newEvents(p), newStorage(p), newTicket(p), newLogin(p), newDelegation(p), newSPN(p), newDoctor(p), newExplain(p), newVersion(p), newErrorsMD(p), newEventsMD(p))
	addCmdlets(p, root)
	if err := root.RegisterFlagCompletionFunc("output", fixed("table", "json", "yaml")); err != nil {
		panic(err) // the flag was defined above
	}
	p.complete(root)
	return root
}

// fixed completes with a fixed list.
func fixed(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// verb wraps what a command does. ctx ends with SIGINT or SIGTERM.
func (p *program) verb(run func(ctx context.Context, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		p.started = true
		ctx, stop := interruptible(cmd.Context())
		defer stop()
		return run(ctx, cmd, args)
	}
}

// signalVerb wraps a command that handles the signals itself.
func (p *program) signalVerb(run func(ctx context.Context, signals <-chan os.Signal, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		p.started = true
		signals := make(chan os.Signal, 4)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		defer signal.Stop(signals)
		return run(cmd.Context(), signals, args)
	}
}

// parent is a command that only groups others.
func parent(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: knownSubcommand, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	c.AddCommand(children...)
	return c
}

func knownSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return fmt.Errorf("%s has no verb %q%s", cmd.CommandPath(), args[0], didYouMean(cmd, args[0]))
}

func didYouMean(cmd *cobra.Command, word string) string {
	if near := cmdlet.Near(word); len(near) > 0 && !cmd.HasParent() {
		return fmt.Sprintf("; did you mean %q?", strings.Join(near, `" or "`))
	}
	if cmd.SuggestionsMinimumDistance <= 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	if s := cmd.SuggestionsFor(word); len(s) > 0 {
		return fmt.Sprintf("; did you mean %q?", strings.Join(s, `" or "`))
	}
	return ""
}

// wanted finds the -o of a command line that could not be understood, so that
// a program that asked for JSON gets JSON for that error, too.
func wanted(args []string, parsed format) format {
	for i, a := range args {
		value, found := strings.CutPrefix(a, "--output=")
		switch {
		case found:
		case (a == "-o" || a == "--output") && i+1 < len(args):
			value = args[i+1]
		case strings.HasPrefix(a, "-o"):
			value = strings.TrimPrefix(strings.TrimPrefix(a, "-o"), "=")
		}
		if slices.Contains([]format{jsonForm, yamlForm}, format(value)) {
			return format(value)
		}
	}
	return parsed
}

// interruptible ends with the first signal, as cancelled. From Go 1.26.0 on
// signal.NotifyContext ends with a cause of its own, which only later counts as
// context.Canceled.
func interruptible(parent context.Context) (context.Context, func()) {
	signalled, unregister := signal.NotifyContext(parent, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(parent)
	detach := context.AfterFunc(signalled, cancel)
	return ctx, func() {
		detach()
		unregister()
		cancel()
	}
}
