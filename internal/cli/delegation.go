package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/spn"
)

func newDelegation(p *program) *cobra.Command {
	return parent("delegation", "Plan, apply, check and undo Kerberos delegation between hosts",
		newDelegationPlan(p), newDelegationApply(p), newDelegationRollback(p), newDelegationVerify(p),
		newDelegationAudit(p), newDelegationWatch(p))
}

// intentFlags are the flags that say what delegation is wanted.
type intentFlags struct {
	model, protocol string
	services        []string
	oneWay          []string
	prune           bool
	group, groupOU  string
	from, ou        string
}

func (f *intentFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.model, "model", string(delegation.Constrained), "`model` by which it is written: constrained, resource-based or group")
	fs.StringVar(&f.protocol, "protocol", string(delegation.AnyProtocol), "`protocol` by which operators signed in: any, or kerberos only")
	fs.StringSliceVar(&f.services, "services", []string{spn.Migration, spn.Storage}, "service `classes` of the destinations")
	fs.StringSliceVar(&f.oneWay, "one-way", nil, "only these directions, `SRC:DST`; default: every host to every other")
	fs.StringVar(&f.group, "group", "", "`name` of the group of hosts, with --model group (default \""+delegation.DefaultGroup+"\")")
	fs.StringVar(&f.from, "from", "", "read names of hosts from `FILE`, one per line; - is standard input")
	fs.StringVar(&f.ou, "ou", "", "take every host below this distinguished `name`")
}

// addPrune adds the flags that only matter where something is changed.
func (f *intentFlags) addPrune(fs *pflag.FlagSet) {
	fs.BoolVar(&f.prune, "prune", false, "also remove what is not wanted, value by value")
	fs.StringVar(&f.groupOU, "group-ou", "", "distinguished `name` below which a missing group is created; default: CN=Users")
}

func (f *intentFlags) complete(cmd *cobra.Command) {
	for flag, words := range map[string][]string{"model": {"constrained", "resource-based", "group"}, "protocol": {"any", "kerberos"}} {
		if err := cmd.RegisterFlagCompletionFunc(flag, fixed(words...)); err != nil {
			panic(err) // the flag was defined above
		}
	}
}

// intent reads the flags. Directions may also come as arguments.
func (f *intentFlags) intent() (delegation.Intent, error) {
	in := delegation.Intent{Model: delegation.Model(f.model), Protocol: delegation.Protocol(f.protocol), Services: f.services,
		Prune: f.prune, Group: f.group, GroupOU: f.groupOU}
	for _, d := range f.oneWay {
		dir, err := parseDirection(d)
		if err != nil {
			return in, err
		}
		in.OneWay = append(in.OneWay, dir)
	}
	return in.WithDefaults()
}

func parseDirection(s string) (delegation.Direction, error) {
	from, to, ok := strings.Cut(s, ":")
	if !ok || from == "" || to == "" || strings.Contains(to, ":") {
		return delegation.Direction{}, misuse("%q is not a direction; write it as SOURCE:DESTINATION, such as HV01:HV02", s)
	}
	return delegation.Direction{Source: from, Destination: to}, nil
}

// selection is which hosts the arguments and flags name.
func (f *intentFlags) selection(stdin io.Reader, in delegation.Intent, args []string) (delegation.Selection, error) {
	sel := delegation.Selection{Names: args, OU: f.ou}
	if f.from != "" {
		names, err := hostList(stdin, f.from)
		if err != nil {
			return sel, err
		}
		sel.Names = append(sel.Names, names...)
	}
	for _, name := range sel.Names {
		if strings.Contains(name, ":") {
			return sel, misuse("%s is a direction and no host; give it with --one-way", name)
		}
	}
	if len(sel.Names) > 0 && f.ou != "" {
		return sel, misuse("--ou and names of hosts exclude each other: give one of them")
	}
	if len(sel.Names) == 0 && f.ou == "" {
		for _, d := range in.OneWay {
			sel.Names = append(sel.Names, d.Source, d.Destination)
		}
	}
	return sel, nil
}

// maxHostList bounds a file of host names.
const maxHostList = 1 << 20

var comment = regexp.MustCompile(`(^|\s)#.*`)

// hostList reads one name per line; blank lines and comments do not count. A comment
// begins with a "#" at the beginning of a line or after a blank: names may have one.
func hostList(stdin io.Reader, path string) ([]string, error) {
	in := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, unreadable("--from", path, err)
		}
		defer func() { _ = file.Close() }()
		in = file
	}
	var names []string
	limited := &io.LimitedReader{R: in, N: maxHostList + 1}
	lines := bufio.NewScanner(limited)
	for lines.Scan() {
		if name := strings.TrimSpace(comment.ReplaceAllString(lines.Text(), "")); name != "" {
			names = append(names, name)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, unreadable("--from", path, err)
	}
	if limited.N == 0 { // hosts that are left out would be pruned
		return nil, misuse("--from %s is longer than %d MiB", path, maxHostList>>20)
	}
	if len(names) == 0 {
		return nil, misuse("--from %s names no host", path)
	}
	return names, nil
}

func unreadable(what, path string, err error) error {
	return misuse("%s %s cannot be read: %s", what, path, openReason(err))
}

// openReason is an error of opening a file without the file's name.
func openReason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// plan reads the directory and plans.
func (f *intentFlags) plan(ctx context.Context, p *program, c *directory.Conn, args []string) (*delegation.Plan, delegation.State, error) {
	in, err := f.intent()
	if err != nil {
		return nil, delegation.State{}, err
	}
	sel, err := f.selection(p.stdin, in, args)
	if err != nil {
		return nil, delegation.State{}, err
	}
	s, err := delegation.Load(ctx, c, sel, in, p.now())
	if err != nil {
		return nil, s, err
	}
	plan, err := delegation.NewPlan(in, s)
	return plan, s, err
}
