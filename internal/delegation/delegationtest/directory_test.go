package delegationtest

import (
	"testing"

	"drover/internal/directory"
)

func TestTheDirectoryInMemoryKeepsTheContract(t *testing.T) {
	for _, kind := range []directory.Controller{directory.Samba, directory.Windows} {
		t.Run(string(kind), func(t *testing.T) {
			Contract(t, func(t *testing.T) Fixture {
				d := New(kind)
				host, _ := d.AddComputer("HV01")
				other, _ := d.AddComputer("HV02")
				return Fixture{d, host, other, directory.NewGroup{DN: "CN=Hosts,CN=Users,DC=lab,DC=test", Name: "Hosts", Description: "hosts"}}
			})
		})
	}
}
