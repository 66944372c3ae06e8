package lab

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Directory changes the lab's Active Directory behind everybody's back, as another administrator
// would. Changes take effect at once; tickets that exist already keep what they say.
type Directory struct{ dc *Member }

// Directory gives access to the lab's directory.
func (l *Lab) Directory() *Directory { return &Directory{l.Member(DC1)} }

const directoryDatabase = "/var/lib/samba/private/sam.ldb"

// HostDN is the distinguished name of a host's computer account.
func HostDN(host string) string { return "CN=" + host + ",CN=Computers," + BaseDN }

// UserDN is the distinguished name of a user.
func UserDN(user string) string { return "CN=" + user + ",CN=Users," + BaseDN }

// Modify applies LDIF change records, with Samba's own tool and all rights.
func (d *Directory) Modify(ctx context.Context, ldif string) error {
	cmd := d.dc.Command(ctx, "ldbmodify", "-H", directoryDatabase)
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("change the directory: %w: %s", err, out)
	}
	return nil
}

// Replace makes values the only values of an attribute; without values it removes the attribute.
func (d *Directory) Replace(ctx context.Context, dn, attribute string, values ...string) error {
	return d.change(ctx, "replace", dn, attribute, values)
}

// Add adds values to an attribute; one that is there already is an error.
func (d *Directory) Add(ctx context.Context, dn, attribute string, values ...string) error {
	return d.change(ctx, "add", dn, attribute, values)
}

// Remove removes values from an attribute; one that is not there is an error.
func (d *Directory) Remove(ctx context.Context, dn, attribute string, values ...string) error {
	return d.change(ctx, "delete", dn, attribute, values)
}

func (d *Directory) change(ctx context.Context, how, dn, attribute string, values []string) error {
	return d.Modify(ctx, "dn: "+dn+"\nchangetype: modify\n"+modification(how, attribute, values))
}

// modification is one of a change record.
func modification(how, attribute string, values []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", how, attribute)
	for _, v := range values {
		fmt.Fprintf(&b, "%s:: %s\n", attribute, base64.StdEncoding.EncodeToString([]byte(v)))
	}
	b.WriteString("-\n")
	return b.String()
}

// Values reads an attribute, sorted; nil when it has no value.
func (d *Directory) Values(ctx context.Context, dn, attribute string) ([]string, error) {
	out, err := d.dc.Run(ctx, "ldbsearch", "-H", directoryDatabase, "-b", dn, "-s", "base", attribute)
	if err != nil {
		return nil, err
	}
	var values []string
	// A line that begins with a blank continues the one before.
	for line := range strings.SplitSeq(strings.ReplaceAll(out, "\n ", ""), "\n") {
		name, value, found := strings.Cut(line, ": ")
		if encoded := strings.HasSuffix(name, ":"); found && encoded && equalFold(name, attribute+":") {
			raw, err := base64.StdEncoding.DecodeString(value)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", attribute, dn, err)
			}
			values = append(values, string(raw))
		} else if found && equalFold(name, attribute) {
			values = append(values, value)
		}
	}
	slices.Sort(values)
	return values, nil
}

const delegationAttribute = "msDS-AllowedToDelegateTo"

// SetDelegation makes values (see DelegationTo) all that a host may delegate to; without values
// it may delegate to nothing.
func (d *Directory) SetDelegation(ctx context.Context, host string, values ...string) error {
	return d.Replace(ctx, HostDN(host), delegationAttribute, values...)
}

// AddDelegation lets a host delegate to more services.
func (d *Directory) AddDelegation(ctx context.Context, host string, values ...string) error {
	return d.Add(ctx, HostDN(host), delegationAttribute, values...)
}

// RemoveDelegation takes services from what a host may delegate to.
func (d *Directory) RemoveDelegation(ctx context.Context, host string, values ...string) error {
	return d.Remove(ctx, HostDN(host), delegationAttribute, values...)
}

// Delegation reads what a host may delegate to, sorted.
func (d *Directory) Delegation(ctx context.Context, host string) ([]string, error) {
	return d.Values(ctx, HostDN(host), delegationAttribute)
}

// ChangeFlags sets and clears bits (Flag...) of userAccountControl of an account, which is given
// by HostDN or UserDN.
func (d *Directory) ChangeFlags(ctx context.Context, dn string, set, clear int) error {
	values, err := d.Values(ctx, dn, "userAccountControl")
	if err != nil {
		return err
	}
	if len(values) != 1 {
		return fmt.Errorf("userAccountControl of %s is %q", dn, values)
	}
	flags, err := strconv.Atoi(values[0])
	if err != nil {
		return err
	}
	return d.Replace(ctx, dn, "userAccountControl", strconv.Itoa(flags&^clear|set))
}

// SetPassword sets an account's password, which also changes its keys: the keytab of a host whose
// password is set is out of date from then on.
func (d *Directory) SetPassword(ctx context.Context, dn, password string) error {
	var raw []byte
	for _, unit := range utf16.Encode([]rune(`"` + password + `"`)) {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return d.Replace(ctx, dn, "unicodePwd", string(raw))
}

// AddToGroup makes a user a member of a group.
func (d *Directory) AddToGroup(ctx context.Context, user, group string) error {
	return d.Add(ctx, UserDN(group), "member", UserDN(user))
}

// RemoveFromGroup ends a user's membership of a group.
func (d *Directory) RemoveFromGroup(ctx context.Context, user, group string) error {
	return d.Remove(ctx, UserDN(group), "member", UserDN(user))
}

// Reset undoes every change to the delegation and the flags of all hosts, so that tests which
// share a lab start from the same directory.
func (d *Directory) Reset(ctx context.Context) error {
	var b strings.Builder
	for _, c := range theDirectory().Computers {
		b.WriteString("dn: " + HostDN(c.Name) + "\nchangetype: modify\n" + modification("replace", delegationAttribute, c.DelegateTo) +
			modification("replace", "userAccountControl", []string{strconv.Itoa(c.Flags)}) + modification("replace", "servicePrincipalName", c.ServiceNames) + "\n")
	}
	return d.Modify(ctx, b.String())
}
