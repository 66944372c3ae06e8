package enroll

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/internal/spn"
)

// Directory is what this package works on; *directory.Conn is one.
type Directory interface {
	Root(ctx context.Context) (directory.Root, error)
	Accounts(ctx context.Context, q directory.Query) ([]directory.Account, error)
	Find(ctx context.Context, names []string) ([]directory.Account, error)
	Mappings(ctx context.Context) ([]string, error)
	Modify(ctx context.Context, dn string, mods ...directory.Mod) error
}

// Change is what happens to an account's service names. The values are as stored,
// with the twins that a Samba controller needs.
type Change struct {
	Account string   `json:"account"`
	DN      string   `json:"dn"`
	Server  string   `json:"server"`
	Add     []string `json:"add,omitempty"`
	Delete  []string `json:"delete,omitempty"`
	Already []string `json:"already,omitempty" doc:"asked for, and so already"`

	rest []string // what stays when Delete is gone
}

// Empty says that nothing happens.
func (c *Change) Empty() bool { return len(c.Add) == 0 && len(c.Delete) == 0 }

// Account finds one account of the forest by short name, sAMAccountName, full name or
// distinguished name. A short name means the computer before a user of that name,
// as setspn has it. Faults: host-not-in-directory, host-name-is-address,
// host-name-ambiguous.
func Account(ctx context.Context, d Directory, name string) (directory.Account, error) {
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return directory.Account{}, fault.New(fault.HostNameIsAddress, "", "name", name)
	}
	found, err := d.Find(ctx, []string{name})
	if err != nil {
		return directory.Account{}, err
	}
	matching := slices.DeleteFunc(found, func(a directory.Account) bool { return !isCalled(a, name) })
	if computers := ofClass(matching, directory.Computer); len(matching) > 1 && len(computers) > 0 {
		matching = computers
	}
	switch len(matching) {
	case 0:
		root, err := d.Root(ctx)
		if err != nil {
			return directory.Account{}, err
		}
		return directory.Account{}, fault.New(fault.HostNotInDirectory, "", "domain", root.Domain, "name", name)
	case 1:
		return matching[0], nil
	}
	var dns []string
	for _, a := range matching {
		dns = append(dns, a.DN)
	}
	return directory.Account{}, fault.New(fault.HostNameAmbiguous, "", "name", name, "objects", strings.Join(dns, "; "))
}

func isCalled(a directory.Account, name string) bool {
	if !strings.Contains(name, "=") {
		name = strings.TrimSuffix(name, ".") // of a full name
	}
	for _, n := range []string{a.Name, a.ShortName(), a.DNSHostName, a.DN, a.SID} {
		if n != "" && strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func ofClass(as []directory.Account, class directory.AccountClass) (out []directory.Account) {
	for _, a := range as {
		if a.Class == class {
			out = append(out, a)
		}
	}
	return out
}

// checkName refuses what is no plain service name (fault service-name-malformed):
// escapes are put in by us where they are needed, and nobody gets a ticket for an
// address.
func checkName(name string) error {
	n, err := spn.Parse(name)
	bad := err != nil || strings.ContainsAny(name, `\@`) || strings.IndexFunc(name, unicode.IsControl) >= 0 ||
		strings.TrimSpace(n.Class) != n.Class || strings.ContainsAny(n.Host, " \t")
	if !bad {
		_, perr := netip.ParseAddr(n.HostName())
		bad = perr == nil || strings.HasPrefix(n.Host, "[")
	}
	if bad {
		return fault.New(fault.ServiceNameMalformed, "", "name", name)
	}
	return nil
}

// PlanAdd plans to give an account service names. Faults: service-name-malformed,
// service-name-taken when a name is on another account (of the forest, where the
// caller gives a connection to its global catalogue; nil otherwise).
func PlanAdd(ctx context.Context, d, forest Directory, a directory.Account, names []string) (*Change, error) {
	c, twins, err := begin(ctx, d, a, names)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if err := untaken(ctx, d, forest, a, n); err != nil {
			return nil, err
		}
		for _, v := range spn.Stored(twins, n) {
			switch {
			case spn.Contains(a.ServiceNames, v):
				c.Already = append(c.Already, v)
			case !spn.Contains(c.Add, v):
				c.Add = append(c.Add, v)
			}
		}
	}
	return c, nil
}

// PlanDelete plans to take service names from an account, Samba's twins with them.
func PlanDelete(ctx context.Context, d Directory, a directory.Account, names []string) (*Change, error) {
	c, _, err := begin(ctx, d, a, names)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		found := false
		for _, v := range a.ServiceNames {
			if !spn.Equal(v, n) {
				continue
			}
			found = true
			if !slices.Contains(c.Delete, v) {
				c.Delete = append(c.Delete, v)
			}
		}
		if !found {
			c.Already = append(c.Already, n)
		}
	}
	for _, v := range a.ServiceNames {
		if !slices.Contains(c.Delete, v) {
			c.rest = append(c.rest, v)
		}
	}
	return c, nil
}

func begin(ctx context.Context, d Directory, a directory.Account, names []string) (*Change, bool, error) {
	for _, n := range names {
		if err := checkName(n); err != nil {
			return nil, false, err
		}
	}
	root, err := d.Root(ctx)
	if err != nil {
		return nil, false, err
	}
	return &Change{Account: a.Name, DN: a.DN, Server: root.Server}, root.Kind == directory.Samba, nil
}

// untaken is the check that setspn -S makes before it adds a name.
func untaken(ctx context.Context, d, forest Directory, a directory.Account, name string) error {
	for _, where := range []Directory{d, forest} {
		if where == nil {
			continue
		}
		found, err := where.Accounts(ctx, directory.Query{Pattern: name})
		if err != nil {
			return err
		}
		for _, other := range found {
			if !strings.EqualFold(other.DN, a.DN) && holds(other, name) {
				return fault.New(fault.ServiceNameTaken, "", "name", name, "owner", other.DN, "account", other.Name)
			}
		}
	}
	return nil
}

func holds(a directory.Account, name string) bool {
	return slices.ContainsFunc(a.ServiceNames, func(v string) bool { return spn.Equal(v, name) })
}

// Apply carries a change out, all of it or nothing. Faults: those of Modify.
//
// Samba refuses to delete a name that another account has, too, which is why one would
// delete it, and takes a list without the name.
func Apply(ctx context.Context, d Directory, c *Change) error {
	var mods []directory.Mod
	for op, values := range map[directory.Op][]string{directory.Add: c.Add, directory.Delete: c.Delete} {
		if len(values) > 0 {
			mods = append(mods, directory.Mod{Op: op, Attribute: directory.AttributeServiceNames, Values: raw(values)})
		}
	}
	if len(mods) == 0 {
		return nil
	}
	err := d.Modify(ctx, c.DN, mods...)
	if !fault.Is(err, fault.DirectoryFailed) || len(c.Add) > 0 {
		return err
	}
	if d.Modify(ctx, c.DN, directory.Mod{Op: directory.Replace, Attribute: directory.AttributeServiceNames, Values: raw(c.rest)}) == nil {
		return nil
	}
	return err
}

func raw(values []string) [][]byte {
	var out [][]byte
	for _, v := range values {
		out = append(out, []byte(v))
	}
	return out
}
