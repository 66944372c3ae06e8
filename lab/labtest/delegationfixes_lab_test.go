package labtest

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"drover/internal/delegation"
	"drover/internal/directory"
	"drover/internal/finding"
	"drover/internal/spn"
	"drover/lab"
)

// TestCommandsOfDelegationFindings types what findings propose: it cures them, and
// what takes the cure back brings them back.
func TestCommandsOfDelegationFindings(t *testing.T) {
	for name, o := range map[string]lab.Options{
		"samba 4.17": {Name: "fix417"},
		"samba 4.22": {Name: "fix422", Directory: "trixie"},
	} {
		t.Run(name, func(t *testing.T) {
			o.NoAgents, o.Hosts = true, []string{lab.HV01}
			d := domainOf(t, lab.Start(t, o))
			x := &fixing{domain: d, admin: d.administrator(t)}
			x.spoil(t)
			for _, model := range delegation.Models {
				t.Run(string(model), func(t *testing.T) {
					x.cureAndUndo(t, delegation.Intent{Model: model, Services: []string{spn.Migration}})
				})
			}
		})
	}
}

type fixing struct {
	*domain
	admin *directory.Conn
}

// spoil leaves something to find on every host.
func (x *fixing) spoil(t *testing.T) {
	hv01, hv02, hv03 := lab.HostDN("HV01"), lab.HostDN("HV02"), lab.HostDN("HV03")
	d := x.Directory()
	for _, err := range []error{
		d.Replace(t.Context(), hv01, directory.AttributeDelegateTo, spn.Stored(true, spn.Migration+"/HV02", spn.Migration+"/HV02:6600", spn.Migration+"/HV99")...),
		d.Replace(t.Context(), hv02, directory.AttributeDelegateTo),
		d.Replace(t.Context(), hv03, directory.AttributeDelegateTo, spn.Migration+"/hv01.lab.drover.test"),
		d.Replace(t.Context(), hv02, directory.AttributeFlags, "528384"), // 0x1000 and TRUSTED_FOR_DELEGATION
		d.Replace(t.Context(), hv03, directory.AttributeFlags, "4096"),
		d.Replace(t.Context(), hv03, directory.AttributeEncryptionTypes, "4"),
		d.Replace(t.Context(), hv03, directory.AttributeServiceNames, "HOST/HV03", spn.Migration+"/HV03"),
		x.admin.AddGroup(t.Context(), directory.NewGroup{DN: "CN=Drover Hosts,CN=Users," + lab.BaseDN, Name: delegation.DefaultGroup,
			Members: []string{hv02, lab.HostDN("HV04")}}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// plan compares HV01, HV02 and HV03 with the intent.
func (x *fixing) plan(t *testing.T, in delegation.Intent) *delegation.Plan {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	s := delegation.State{NamesRead: true, Time: time.Unix(0, 0)}
	var err error
	s.Root, err = x.admin.Root(t.Context())
	must(err)
	all, err := x.admin.Accounts(t.Context(), directory.Query{Computers: true})
	must(err)
	s.Mappings, err = x.admin.Mappings(t.Context())
	must(err)
	names := []string{"HV01", "HV02", "HV03"}
	s.Hosts, err = delegation.Resolve(names, all)
	must(err)
	s.Others = slices.DeleteFunc(all, func(a directory.Account) bool { return slices.Contains(names, a.ShortName()) })
	groups, err := x.admin.Groups(t.Context(), delegation.DefaultGroup)
	must(err)
	s.Group = &groups[0]
	p, err := delegation.NewPlan(in, s)
	must(err)
	return p
}

// findings are all that a plan has.
func (x *fixing) findings(p *delegation.Plan) []finding.Finding {
	out := slices.Clone(p.Findings)
	for _, pair := range p.Pairs {
		out = append(out, delegation.PairFindings(p, pair)...)
	}
	for _, h := range p.Hosts {
		if f, found := delegation.TransitionFinding(p, h); found {
			out = append(out, f)
		}
	}
	return out
}

func (x *fixing) cureAndUndo(t *testing.T, in delegation.Intent) {
	before := x.plan(t, in)
	found := x.findings(before)
	var done []finding.Command // in the order to be undone
	typed := map[string]bool{} // two directions can ask for the same
	for _, f := range found {
		for i, c := range byTool(f.Fix) {
			if !typed[c.Line] {
				typed[c.Line] = true
				x.typeIn(t, c)
				done = append(done, byTool(f.Undo)[i])
			}
		}
	}
	after := x.plan(t, in)
	if left := x.findings(after); len(left) > 0 || len(after.Changes) > 0 {
		t.Errorf("left: %+v, %+v", left, after.Changes)
	}
	slices.Reverse(done)
	for _, c := range done {
		x.typeIn(t, c)
	}
	again := x.plan(t, in)
	if d := gocmp.Diff(keys(found), keys(x.findings(again))); d != "" || len(found) == 0 {
		t.Errorf("taken back (-before +after): %s", d)
	}
}

// byTool are the commands without Drover's own.
func byTool(cs []finding.Command) []finding.Command {
	return slices.DeleteFunc(slices.Clone(cs), func(c finding.Command) bool { return c.Tool == finding.Drover })
}

// typeIn runs a command on the controller, with the password that it would ask for.
func (x *fixing) typeIn(t *testing.T, c finding.Command) {
	t.Helper()
	line := strings.Replace(c.Line, "-U Administrator", "-U 'Administrator%"+lab.AdministratorPassword+"'", 1)
	if _, err := x.Member(lab.DC1).Run(t.Context(), "sh", "-c", line); err != nil {
		t.Errorf("%s: %v", c.Line, err)
	}
}

func keys(fs []finding.Finding) []string {
	var out []string
	for _, f := range fs {
		slices.Sort(f.Values)
		out = append(out, f.Key())
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}
