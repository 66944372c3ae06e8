package labtest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/delegation/delegationtest"
	"drover/internal/directory"
	"drover/internal/directory/secdesc"
	"drover/lab"
)

// TestControllersKeepTheContract: what delegation.Apply relies on, and the directory in memory
// does, is what real controllers do.
func TestControllersKeepTheContract(t *testing.T) {
	for name, o := range map[string]lab.Options{
		"samba 4.17": {Name: "contract417"},
		"samba 4.22": {Name: "contract422", Directory: "trixie"},
	} {
		t.Run(name, func(t *testing.T) {
			o.NoAgents, o.Hosts = true, []string{}
			d := domainOf(t, lab.Start(t, o))
			delegationtest.Contract(t, d.contract)
			t.Run("descriptors by scripts on the controller", d.testDescriptorScripts)
		})
	}
}

// contract gives two accounts without delegation, and puts back what the test leaves.
func (d *domain) contract(t *testing.T) delegationtest.Fixture {
	d.reset(t)
	f := delegationtest.Fixture{Directory: d.administrator(t), Host: lab.HostDN(lab.HV01), Other: lab.HostDN(lab.HV02),
		Group: directory.NewGroup{DN: lab.UserDN("Contract Hosts"), Name: "Contract Hosts", Description: "of a test"}}
	bare := func(ctx context.Context) (err error) {
		for _, dn := range []string{f.Host, f.Other} {
			for _, a := range []string{directory.AttributeDelegateTo, directory.AttributeActOnBehalf} {
				err = errors.Join(err, d.Directory().Replace(ctx, dn, a))
			}
		}
		return err
	}
	if err := bare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := bare(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return f
}

// testDescriptorScripts: root on the controller can do with either script, and with a baseline,
// what Samba refuses over LDAP.
func (d *domain) testDescriptorScripts(t *testing.T) {
	f := d.contract(t)
	const attribute = directory.AttributeActOnBehalf
	sids := map[string]string{}
	hosts := []delegation.Host{}
	for _, name := range []string{lab.HV02, lab.HV03, lab.HV04} {
		a, err := f.Directory.(*directory.Conn).Accounts(t.Context(), directory.Query{Names: []string{name}})
		if err != nil || len(a) != 1 {
			t.Fatalf("%v %v", a, err)
		}
		sids[name] = a[0].SID
		hosts = append(hosts, delegation.Host{Account: a[0].Name, SID: a[0].SID})
	}
	read := func() directory.Entry {
		e, err := f.Read(t.Context(), f.Host, attribute)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	root, err := f.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	script := func(s delegation.Script, add, del []string) string {
		e := read()
		p := &delegation.Plan{Format: delegation.PlanFormat, Server: root.Server, Kind: string(root.Kind), Domain: root.Domain,
			BaseDN: root.BaseDN, SID: root.DomainSID, Hosts: hosts, Changes: []delegation.Change{{DN: f.Host, Account: lab.HV01 + "$",
				Attribute: attribute, Add: add, Delete: del, Before: delegation.Digest(e.Attributes[attribute])}}}
		var b strings.Builder
		if err := delegation.Print(&b, s, p, map[string]directory.Entry{f.Host: e}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	want := func(what string, names ...string) {
		t.Helper()
		var sd []byte
		if v := read().Attributes[attribute]; len(v) > 0 {
			sd = v[0]
		}
		var wanted []secdesc.SID
		for _, n := range names {
			wanted = append(wanted, secdesc.SID(sids[n]))
		}
		if got, err := secdesc.Trustees(sd); err != nil || !slices.Equal(got, wanted) {
			t.Errorf("%s: %v %v, want %v", what, got, err, wanted)
		}
	}
	modify := func(ldif string) {
		t.Helper()
		if err := d.Directory().Modify(t.Context(), ldif); err != nil {
			t.Fatalf("%v\n%s", err, ldif)
		}
	}
	tool := func(script string) {
		t.Helper()
		cmd := d.Member(lab.DC1).Command(t.Context(), "sh")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out, script)
		}
	}
	modify(script(delegation.LDIFScript, []string{sids[lab.HV02]}, nil))
	want("LDIF to none", lab.HV02)
	old := read()
	modify(script(delegation.LDIFScript, []string{sids[lab.HV03]}, nil))
	want("LDIF to one", lab.HV02, lab.HV03)
	tool(script(delegation.SambaToolScript, []string{sids[lab.HV04]}, []string{sids[lab.HV02]}))
	want("samba-tool", lab.HV03, lab.HV04)
	var ldif bytes.Buffer
	b := &delegation.Baseline{Time: time.Unix(0, 0), BaseDN: root.BaseDN, SID: root.DomainSID, Objects: []delegation.Object{{DN: f.Host,
		Account: lab.HV01 + "$", Attributes: map[string][][]byte{attribute: old.Attributes[attribute], directory.AttributeDelegateTo: nil}}}}
	if err := b.WriteLDIF(&ldif); err != nil {
		t.Fatal(err)
	}
	modify(ldif.String())
	if got := read(); !bytes.Equal(got.Attributes[attribute][0], old.Attributes[attribute][0]) {
		t.Errorf("the baseline wrote %x", got.Attributes[attribute][0])
	}
	modify(script(delegation.LDIFScript, nil, []string{sids[lab.HV02]}))
	want("LDIF to none again")
}
