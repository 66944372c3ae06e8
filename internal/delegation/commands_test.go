package delegation

import (
	"strings"
	"testing"

	"drover/internal/finding"
)

// A name and its twin are one to drover, which takes no escaped names.
func TestDroverIsAskedForPlainNamesOnly(t *testing.T) {
	c := CommandsFor(&Plan{Kind: "samba", Server: "dc1.example.test"})
	h := Host{Account: "HV01$", DN: "CN=HV01"}
	for _, tc := range []struct {
		add    bool
		values []string
		want   string
	}{
		{true, []string{"a b/HV01", `a\ b/HV01`, "cifs/HV01"}, `drover spn add 'HV01$' 'a b/HV01' cifs/HV01`},
		{true, []string{`a\ b/HV01`}, `drover spn add 'HV01$' 'a b/HV01'`},
		{false, []string{"a b/HV01", `a\ b/HV01`}, `drover spn delete 'HV01$' 'a b/HV01'`},
		{false, []string{`a\ b/HV01`}, ""}, // deleting the name would take it away, too
	} {
		var got []string
		sambaTool := 0
		for _, l := range c.ServiceNames(h, tc.add, tc.values) {
			if l.Tool == finding.Drover {
				got = append(got, l.Line)
			} else {
				sambaTool++
			}
		}
		if strings.Join(got, "; ") != tc.want || sambaTool != len(tc.values) {
			t.Errorf("%v: %q, and %d lines for samba-tool", tc.values, got, sambaTool)
		}
	}
}
