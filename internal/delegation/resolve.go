package delegation

import (
	"cmp"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/spn"
)

// clusterName is the class of the names that failover clusters register for their
// own accounts and those of their services, and nodes do not.
const clusterName = "MSClusterVirtualServer"

// Resolve finds the accounts that names (short, full, "HV01$", distinguished names
// or SIDs) stand for, in their order and each once. found may hold other accounts
// too. One fault tells about the first name that does not do; those about the
// others are its cause.
//
// Faults: usage, host-not-in-directory, host-name-is-address, host-is-user,
// host-is-cluster, host-name-ambiguous, host-account-disabled.
func Resolve(names []string, found []directory.Account) ([]directory.Account, error) {
	index := map[string][]directory.Account{}
	for _, a := range found {
		for _, key := range accountKeys(a) {
			if !slices.ContainsFunc(index[key], func(b directory.Account) bool { return strings.EqualFold(a.DN, b.DN) }) {
				index[key] = append(index[key], a)
			}
		}
	}
	domain := "this domain"
	if len(found) > 0 {
		domain = cmp.Or(dnsDomain(found[0].DN), domain)
	}
	var out []directory.Account
	var problems []*fault.Error
	asked, taken := map[string]bool{}, map[string]bool{}
	for _, name := range names {
		key := nameKey(name)
		if asked[key] {
			continue
		}
		asked[key] = true
		a, problem := resolve(name, index[key], domain)
		switch dn := strings.ToLower(a.DN); {
		case problem != nil:
			problems = append(problems, problem)
		case !taken[dn]:
			taken[dn] = true
			out = append(out, a)
		}
	}
	return out, joined(problems)
}

// nameKey is what a name is found by.
func nameKey(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "."))
}

func accountKeys(a directory.Account) []string {
	keys := []string{nameKey(a.Name), nameKey(a.DN), nameKey(a.SID)}
	if a.Class != directory.User {
		keys = append(keys, nameKey(a.ShortName()), nameKey(a.DNSHostName))
	}
	return slices.DeleteFunc(keys, func(k string) bool { return k == "" })
}

// resolve chooses among the accounts that a name stands for. A computer comes
// before a user of the same name.
func resolve(name string, found []directory.Account, domain string) (directory.Account, *fault.Error) {
	none := directory.Account{}
	plain := strings.TrimSpace(name)
	if plain == "" {
		return none, fault.New(fault.Usage, "", "problem", "an empty string is no host's name")
	}
	if _, err := netip.ParseAddr(strings.Trim(plain, "[]")); err == nil {
		return none, fault.New(fault.HostNameIsAddress, "", "name", plain)
	}
	var computers []directory.Account
	for _, a := range found {
		if a.Class == directory.Computer {
			computers = append(computers, a)
		}
	}
	switch {
	case len(found) == 0:
		return none, fault.New(fault.HostNotInDirectory, "", "domain", domain, "name", plain)
	case len(computers) == 0:
		return none, fault.New(fault.HostIsUser, "", "name", plain, "object", found[0].Name)
	case len(computers) > 1:
		var objects []string
		for _, a := range computers {
			objects = append(objects, a.DN)
		}
		return none, fault.New(fault.HostNameAmbiguous, "", "name", plain, "objects", strings.Join(objects, "; "))
	}
	a := computers[0]
	switch {
	case isCluster(a):
		return none, fault.New(fault.HostIsCluster, "", "name", plain, "object", a.Name)
	case a.Disabled():
		return none, fault.New(fault.HostAccountDisabled, "", "name", plain, "object", a.Name)
	}
	return a, nil
}

// isCluster says that a computer account is the name of a failover cluster or of a
// service on one: such accounts have MSClusterVirtualServer/NAME with their own
// name.
func isCluster(a directory.Account) bool {
	return slices.ContainsFunc(a.ServiceNames, func(s string) bool {
		n, err := spn.Parse(s)
		return err == nil && strings.EqualFold(n.Class, clusterName) && strings.EqualFold(n.ShortHost(), a.ShortName())
	})
}

// joined is one fault of several.
func joined(problems []*fault.Error) error {
	if len(problems) == 0 {
		return nil
	}
	first := problems[0]
	if len(problems) == 1 {
		return first
	}
	var rest []error
	for _, p := range problems[1:] {
		rest = append(rest, p)
	}
	var kv []string
	for k, v := range first.Args {
		kv = append(kv, k, v)
	}
	return fault.Wrap(errors.Join(rest...), first.Code, first.Host, kv...)
}

// dnsDomain is the DNS name of the domain of a distinguished name.
func dnsDomain(dn string) string {
	var labels []string
	for part := range strings.SplitSeq(domainDN(dn), ",") {
		if label, ok := strings.CutPrefix(part, "dc="); ok {
			labels = append(labels, label)
		}
	}
	return strings.Join(labels, ".")
}
