package lab

import (
	"context"
	"fmt"
	"strings"
)

// Join makes a member's computer account in the directory and leaves its keys in
// /etc/krb5.keytab inside the member, with adcli, as the domain's Administrator. Meant for NEW1.
// Joining again sets a new password: the directory's key version and the keytab's rise together.
func (l *Lab) Join(ctx context.Context, member string) error {
	m := l.Member(member)
	if m == nil {
		return fmt.Errorf("lab %s has no member %s", l.Name(), member)
	}
	cmd := m.Command(ctx, "adcli", "join", "-D", Domain, "-U", UserAdministrator, "--stdin-password")
	cmd.Stdin = strings.NewReader(AdministratorPassword) // up to the end of file: a newline would belong to it
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("join %s: %w: %s", member, err, out)
	}
	return nil
}
