package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"drover/internal/doctor"
	"drover/internal/fault"
	"drover/internal/record"
)

// machines asks agents about VMs, as `drover vm show` and `drover compare` do.
type machines struct {
	p *program
	// local: only the agent of this machine is asked, by its socket.
	local bool
}

var _ doctor.Machines = machines{}

func (m machines) target(host string) target {
	if m.local {
		host = ""
	}
	return target{host: host, socket: DefaultSocket}
}

// ask connects without what a verb of its own does besides.
func (m machines) ask(ctx context.Context, host string, do func(a agent) error) error {
	a, err := m.p.connect(ctx, m.target(host), nil)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	return do(a)
}

// Has implements doctor.Machines.
func (m machines) Has(ctx context.Context, host, vm string) (has bool, err error) {
	err = m.ask(ctx, host, func(a agent) error {
		_, err := a.VM(ctx, vm)
		if fault.Is(err, fault.VMNotFound) {
			return nil
		}
		has = err == nil
		return err
	})
	return has, err
}

// comparisons bounds how often the options that cure are tried: a file that is in the
// way is seen only when disks are copied.
const comparisons = 4

// Compare implements doctor.Machines.
func (m machines) Compare(ctx context.Context, vm, source, destination string) (out doctor.Move, err error) {
	short, _, _ := strings.Cut(source, ".")
	t := m.target(strings.ToUpper(short)) // for the command that is printed
	q := record.Request{VM: vm, Destination: destination}
	err = m.ask(ctx, source, func(a agent) error {
		for range comparisons {
			c, err := a.Compare(ctx, q)
			if err != nil && len(out.Comparisons) == 0 {
				return err
			}
			if err != nil {
				out.Error = err
				break
			}
			out.Comparisons = append(out.Comparisons, c)
			out.Possible = len(c.Incompatibilities) == 0
			cured, err := withCures(q, c.Incompatibilities)
			if err != nil {
				out.Error = err
				break
			}
			if strings.Join(optionWords(&cured), "\n") == strings.Join(optionWords(&q), "\n") {
				break
			}
			q = cured
		}
		return nil
	})
	if len(out.Comparisons) > 0 {
		c := out.Comparisons[len(out.Comparisons)-1]
		out.Command = moveLine(&c, q, t, nil)
	}
	return out, err
}

// withCures is a request with the options that cure what is in its way. They are read
// as the command line reads them.
func withCures(q record.Request, in []record.Incompatibility) (record.Request, error) {
	options := askedOptions(&q)
	for _, i := range in {
		if i.Option != "" && !slices.Contains(options, i.Option) {
			options = append(slices.DeleteFunc(options, func(o string) bool { return replaces(i.Option, o) }), i.Option)
		}
	}
	var how moveFlags
	f := pflag.NewFlagSet("options", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	how.flags(f)
	var words []string
	for _, o := range options {
		flag, value, has := strings.Cut(o, " ")
		if words = append(words, flag); has {
			words = append(words, unquoted(value))
		}
	}
	if err := f.Parse(words); err != nil {
		return q, misuse("an option that cures cannot be read: %s", err)
	}
	if f.NArg() > 0 {
		return q, misuse("an option that cures cannot be read: %q", f.Arg(0))
	}
	if err := how.check(); err != nil {
		return q, err
	}
	out := q
	how.apply(&out)
	return out, nil
}

// unquoted takes away what finding.Quote puts around words of a shell.
func unquoted(word string) string {
	var b strings.Builder
	quoted := false
	for i := 0; i < len(word); i++ {
		switch {
		case word[i] == '\'':
			quoted = !quoted
		case word[i] == '\\' && !quoted && i+1 < len(word):
			i++
			b.WriteByte(word[i])
		default:
			b.WriteByte(word[i])
		}
	}
	return b.String()
}

// writeVM tells where the VM is and which moves are possible, with their plans.
func writeVM(b *strings.Builder, vm *doctor.VM, width int) {
	if vm == nil || len(vm.Hosts)+len(vm.Moves) == 0 {
		return
	}
	b.WriteString("\n")
	if len(vm.Hosts) > 0 {
		b.WriteString(wrapped(clean(onHosts(vm)), "", width))
	}
	for _, m := range vm.Moves {
		b.WriteString(wrapped(clean(canMove(m)), "", width))
		if m.Possible {
			b.WriteString("  " + oneCell(m.Command) + "\n" + planText(m))
		}
	}
}

// onHosts says where the VM is.
func onHosts(vm *doctor.VM) string { return fmt.Sprintf("VM %s is on %s.", vm.Name, some(vm.Hosts)) }

// canMove says whether a move is possible.
func canMove(m doctor.Move) string {
	switch {
	case !m.Possible:
		return fmt.Sprintf("It cannot move from %s to %s as things are.", m.Source, m.Destination)
	case len(m.Comparisons) > 1:
		return fmt.Sprintf("It can move from %s to %s with the options that cure what was found:", m.Source, m.Destination)
	}
	return fmt.Sprintf("It can move from %s to %s:", m.Source, m.Destination)
}

// planText is the plan of a move as `drover compare` shows it, "" without one.
func planText(m doctor.Move) string {
	var b strings.Builder
	if n := len(m.Comparisons); n > 0 && m.Comparisons[n-1].Plan != nil {
		_ = printPlan(&b, m.Comparisons[n-1].Plan) // a Builder takes everything
	}
	return b.String()
}
