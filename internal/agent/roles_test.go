package agent

import (
	"os/user"
	"slices"
	"testing"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/krb"
)

const (
	sidOperators = "S-1-5-21-1-2-3-1105"
	sidViewers   = "S-1-5-21-1-2-3-1107"
	sidAlice     = "S-1-5-21-1-2-3-1200"
)

func testRoles() roles {
	return roles{config.Roles{Viewer: []string{sidViewers, "local:root"}, Operator: []string{sidOperators}, Administrator: []string{sidAlice}}}
}

func TestRolesComeFromTheSIDsOfTheTicket(t *testing.T) {
	for _, tc := range []struct {
		name string
		id   krb.Identity
		want []api.Role
	}{
		{"nobody", krb.Identity{UserSID: "S-1-5-21-1-2-3-1999", Groups: []string{"S-1-5-21-1-2-3-513"}}, nil},
		{"group", krb.Identity{Groups: []string{sidOperators}}, []api.Role{roleOperator}},
		{"two groups", krb.Identity{Groups: []string{sidViewers, sidOperators}}, []api.Role{roleOperator, roleViewer}},
		{"the user's own SID", krb.Identity{UserSID: sidAlice}, []api.Role{roleAdministrator}},
		{"a local group's name is no SID", krb.Identity{Groups: []string{"local:root"}}, nil},
		{"no SIDs at all", krb.Identity{Principal: "alice@LAB.DROVER.TEST"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := testRoles().of(tc.id); !slices.Equal(got, tc.want) {
				t.Errorf("roles %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRequireNamesWhoAndWhat(t *testing.T) {
	id := krb.Identity{Principal: "vera@LAB.DROVER.TEST", Groups: []string{sidViewers}}
	err := testRoles().require("HV02", id, roleOperator)
	f := fault.From(err)
	if f == nil || f.Code != fault.RoleMissing || f.Host != "HV02" || f.Args["operator"] != id.Principal || f.Args["role"] != "operator" {
		t.Fatalf("got %v (%+v)", err, f)
	}
	if err := testRoles().require("HV02", id, roleViewer); err != nil {
		t.Errorf("a viewer may look: %v", err)
	}
	if err := testRoles().require("HV02", krb.Identity{UserSID: sidAlice}, roleOperator); err != nil {
		t.Errorf("an administrator may move: %v", err)
	}
}

func TestDelegatedCallersMayLookAtMost(t *testing.T) {
	for _, rs := range [][]api.Role{{roleOperator}, {roleAdministrator}, {roleViewer, roleOperator}} {
		if got := atMostViewer(rs); !slices.Equal(got, []api.Role{roleViewer}) {
			t.Errorf("%v became %v", rs, got)
		}
	}
	if got := atMostViewer(nil); got != nil {
		t.Errorf("a caller without a role got %v", got)
	}
}

func TestLocalRootIsAdministrator(t *testing.T) {
	if got := testRoles().local(&user.User{Uid: "0", Username: "root"}, 0); !slices.Equal(got, []api.Role{roleAdministrator}) {
		t.Errorf("root has %v", got)
	}
}
