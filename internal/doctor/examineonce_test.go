package doctor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/delegation"
	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/look"
)

func lookedAt(names ...string) *examination {
	x := &examination{Doctor: &Doctor{Here: "MGMT", Now: time.Now}, q: Question{Operator: siteOperator}}
	for _, n := range names {
		x.hosts = append(x.hosts, &seenHost{Host: delegation.Host{Name: n, FQDN: strings.ToLower(n) + ".lab.drover.test"}})
	}
	return x
}

// An operator whom every host refuses is one finding, whether the agents say so by their
// roles or by letting nobody in.
func TestOperatorWithoutRoleIsOneFinding(t *testing.T) {
	x := lookedAt("HV01", "HV02", "HV03")
	for _, h := range x.hosts {
		h.roleless = true
	}
	x.hosts[2].agent = &Agent{Roles: []string{"viewer"}}
	x.roles()
	if len(x.found) != 1 || x.found[0].Code != fault.RoleMissing || x.found[0].Object != siteOperator || x.found[0].Host != "" ||
		x.found[0].Evidence != "HV01 gives no role; HV02 gives no role; HV03 gives these roles: viewer" {
		t.Errorf("%+v", x.found)
	}
	x = lookedAt("HV01", "HV02")
	x.hosts[0].agent, x.hosts[1].roleless = &Agent{Roles: []string{"operator"}}, true
	x.roles()
	if len(x.found) != 1 || x.found[0].Host != "HV02" {
		t.Errorf("%+v", x.found)
	}
}

func TestSearchListIsOneFinding(t *testing.T) {
	x := lookedAt("HV01", "HV02", "HV03")
	x.resolver = look.Resolver{Path: "/etc/resolv.conf", Search: []string{"other.test"}}
	x.unresolved = []*seenHost{x.hosts[2], x.hosts[0]}
	x.unresolvedShort()
	if len(x.found) != 1 || x.found[0].Host != "" || !strings.Contains(x.found[0].Message, "HV01, HV03") {
		t.Fatalf("%+v", x.found)
	}
	last := finding.Command{Tool: finding.Shell, Line: `printf '\nsearch %s\n' 'other.test lab.drover.test' >> /etc/resolv.conf`}
	if !slices.Contains(x.found[0].Fix, last) || len(x.found[0].Undo) != 1 {
		t.Errorf("%+v", x.found[0].Fix)
	}
	x = lookedAt("HV01")
	x.unresolved = x.hosts
	x.unresolvedShort()
	if len(x.found) != 1 || x.found[0].Host != "HV01" {
		t.Errorf("%+v", x.found)
	}
}
