package agent

import (
	"os/user"
	"slices"
	"strconv"
	"strings"

	"drover/internal/api"
	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/krb"
	"drover/internal/spn"
)

const (
	roleViewer        = api.Viewer
	roleOperator      = api.Operator
	roleAdministrator = api.Administrator
)

// localPrefix marks a local group in the configuration; anything else is a SID.
const localPrefix = "local:"

// roles says who has which role on this host: SIDs of the directory, and local
// groups for the unix socket.
type roles struct {
	config.Roles
}

func (r roles) lists() map[api.Role][]string {
	return map[api.Role][]string{roleViewer: r.Viewer, roleOperator: r.Operator, roleAdministrator: r.Administrator}
}

// of gives the roles of whoever the PAC names.
func (r roles) of(id krb.Identity) []api.Role {
	return r.where(func(entry string) bool { return !strings.HasPrefix(entry, localPrefix) && id.Member(entry) })
}

func (r roles) where(has func(entry string) bool) (out []api.Role) {
	for role, entries := range r.lists() {
		if slices.ContainsFunc(entries, has) {
			out = append(out, role)
		}
	}
	slices.Sort(out)
	return out
}

// require is the check on the migration port, where there is no api.
func (r roles) require(host string, id krb.Identity, role api.Role) error {
	if (api.Caller{Roles: r.of(id)}).Has(role) {
		return nil
	}
	return fault.New(fault.RoleMissing, host, "operator", id.Principal, "role", string(role))
}

// local gives the roles of a local user by the groups that the machine's user
// database lists, and root every role: it could read the keytab anyway.
func (r roles) local(u *user.User, gid uint32) []api.Role {
	if u.Uid == "0" {
		return []api.Role{roleAdministrator}
	}
	groups := map[string]bool{}
	ids, _ := u.GroupIds()
	for _, id := range append(ids, strconv.FormatUint(uint64(gid), 10)) {
		if g, err := user.LookupGroupId(id); err == nil {
			groups[g.Name] = true
		}
	}
	return r.where(func(entry string) bool {
		name, ok := strings.CutPrefix(entry, localPrefix)
		return ok && groups[name]
	})
}

// apiService is what operators call the API. Hosts that act for them call it by the
// service that they have a ticket for.
const apiService = "HTTP"

// acceptor signs operators in to the API.
type acceptor struct {
	kerberos *krb.Host
	roles    roles
}

// Accept implements api.Acceptor.
func (a acceptor) Accept(token, binding []byte) (reply, proof []byte, caller api.Caller, err error) {
	c, reply, err := a.kerberos.Accept(token, binding, apiService, spn.Migration)
	if err != nil {
		return nil, nil, api.Caller{}, err
	}
	if proof, err = c.ProveBinding(binding); err != nil {
		return nil, nil, api.Caller{}, err
	}
	id := c.Identity()
	caller = api.Caller{Principal: id.Principal, Roles: a.roles.of(id), SignIn: id.SignIn, Expires: id.Expires}
	if id.Delegated {
		// Another host acts for the operator: it may learn where to bring a VM,
		// and no more. Otherwise one host could act at all others.
		caller.Roles = atMostViewer(caller.Roles)
		return reply, proof, caller, nil
	}
	if ev, err := c.Evidence(); err == nil {
		caller.Evidence = ev
	}
	return reply, proof, caller, nil
}

func atMostViewer(rs []api.Role) []api.Role {
	if len(rs) == 0 {
		return nil
	}
	return []api.Role{roleViewer}
}

// localMapper tells who a local process is.
func localMapper(host string, r roles, principals map[string]string) api.LocalMapper {
	return func(uid, gid uint32, _ int32) (api.Caller, error) {
		u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
		if err != nil {
			return api.Caller{}, fault.Wrap(err, fault.AuthRefused, host, "reason", "the user of the local process is unknown")
		}
		return api.Caller{Local: true, LocalUser: u.Username, Principal: principals[u.Username], Roles: r.local(u, gid)}, nil
	}
}
