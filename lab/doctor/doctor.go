// Package doctor breaks one thing at a time in a lab, asks `drover doctor` what is
// wrong, and does what it proposes. What it says first has to be what was broken, and
// nothing else may be said; after the cure nothing at all.
package doctor

import (
	"context"
	"fmt"
	"strings"

	"drover/internal/fault"
	"drover/lab"
)

// Case is one thing to break, behind Drover's back.
type Case struct {
	Name string // "names: old address"
	// Hosts are asked about; none is HV01 to HV03. Args are further arguments.
	Hosts, Args []string
	// From is the member where drover runs, MGMT unless it is said; As the user whose
	// ticket it uses, the operator unless it is said.
	From, As string
	// KeepTicket: the user does not sign in again after the breaking.
	KeepTicket bool
	Break      func(context.Context, *World) error
	Restore    func(context.Context, *World) error
	// Want is the code of the first finding, and On the host or object that it is about.
	Want fault.Code
	On   string
	// With are codes that may stand beside it.
	With []fault.Code
	// Person is why the cure is a person's. FixOn is the member where commands of a shell
	// are typed, From unless it is said.
	Person, FixOn string
}

// Cases are all of them.
func Cases() []Case {
	var out []Case
	for _, some := range [][]Case{serviceNames(), delegation(), accounts(), operators(), kerberos(), names(), network(), between(), settingsCases(), agents(), machines()} {
		out = append(out, some...)
	}
	for i := range out {
		out[i] = out[i].complete()
	}
	return out
}

func (c Case) complete() Case {
	if c.Hosts == nil {
		c.Hosts = lab.DefaultHosts()
	}
	if c.From == "" {
		c.From = lab.MGMT
	}
	if c.As == "" {
		c.As = lab.UserOperator
	}
	if c.FixOn == "" {
		c.FixOn = c.From
	}
	return c
}

// World is a lab that is broken and put right.
type World struct {
	*lab.Lab
	quick  bool     // cure in one form only
	stops  []func() // what a case has started and its restoring ends
	moving bool     // a guest is moved after each cure: Boot
	guest  *lab.VM  // nil when it got lost
}

// New is the world of a lab. With quick, cures are tried in one form only.
func New(l *lab.Lab, quick bool) *World { return &World{Lab: l, quick: quick} }

// dir is the directory.
func (w *World) dir() *lab.Directory { return w.Directory() }

// run runs a command inside a member.
func (w *World) run(ctx context.Context, member string, argv ...string) error {
	_, err := w.Member(member).Run(ctx, argv...)
	return err
}

// all does one after the other, up to the first error.
func all(steps ...func(context.Context, *World) error) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		for _, s := range steps {
			if err := s(ctx, w); err != nil {
				return err
			}
		}
		return nil
	}
}

// resetHosts puts the accounts of the hosts back as the lab has made them.
func resetHosts(ctx context.Context, w *World) error { return w.dir().Reset(ctx) }

// replace makes values the only ones of an attribute.
func replace(dn, attribute string, values ...string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error { return w.dir().Replace(ctx, dn, attribute, values...) }
}

func add(dn, attribute string, values ...string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error { return w.dir().Add(ctx, dn, attribute, values...) }
}

func remove(dn, attribute string, values ...string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error { return w.dir().Remove(ctx, dn, attribute, values...) }
}

// flags sets and clears bits of userAccountControl.
func flags(dn string, set, clear int) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error { return w.dir().ChangeFlags(ctx, dn, set, clear) }
}

// command runs one inside a member.
func command(member string, argv ...string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error { return w.run(ctx, member, argv...) }
}

// sambaTool runs Samba's tool on the controller, with the Administrator's password.
func sambaTool(argv ...string) func(context.Context, *World) error {
	return command(lab.DC1, append(append([]string{"samba-tool"}, argv...), "-U", administrator)...)
}

const administrator = lab.UserAdministrator + "%" + lab.AdministratorPassword

// shell runs a line inside a member.
func shell(member, format string, args ...any) func(context.Context, *World) error {
	return command(member, "sh", "-c", fmt.Sprintf(format, args...))
}

// edited changes a file of a member with sed, which keeps the old one.
func edited(member, path, script string) (change, restore func(context.Context, *World) error) {
	return shell(member, "cp %s %s.lab && sed -i '%s' %s", path, path, script, path), shell(member, "cat %s.lab > %s", path, path)
}

func full(host string) string { return strings.ToLower(host) + "." + lab.Domain }
