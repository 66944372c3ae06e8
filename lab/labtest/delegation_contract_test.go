package labtest

import (
	"context"
	"errors"
	"testing"

	"drover/internal/delegation/delegationtest"
	"drover/internal/directory"
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
