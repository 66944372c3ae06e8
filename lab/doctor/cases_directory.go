package doctor

import (
	"context"
	"fmt"
	"strings"

	"drover/internal/directory"
	"drover/internal/fault"
	"drover/lab"
)

const migration = lab.MigrationService

// pick keeps those of values that want says.
func pick(values []string, want func(string) bool) (out []string) {
	for _, v := range values {
		if want(v) {
			out = append(out, v)
		}
	}
	return out
}

func isFull(v string) bool { return strings.Contains(v, ".") }

func isShort(v string) bool { return !isFull(v) }

func serviceNames() []Case {
	spns, hv02 := directory.AttributeServiceNames, lab.HostDN(lab.HV02)
	mine := lab.ServiceNames(lab.HV02, migration)
	without := func(values ...string) func(context.Context, *World) error { return remove(hv02, spns, values...) }
	twice := func(dn string) func(context.Context, *World) error {
		return below(dn, "add: servicePrincipalName\nservicePrincipalName: "+migration+"/HV02")
	}
	gone := func(dn string) func(context.Context, *World) error { return below(dn, "replace: servicePrincipalName") }
	viewer, hv04 := lab.UserDN(lab.UserViewer), lab.HostDN(lab.HV04)
	return []Case{
		{Name: "service names: all of the migration service missing", Want: fault.ServiceNameMissing, On: lab.HV02, Break: without(mine...), Restore: resetHosts},
		{Name: "service names: short missing", Want: fault.ServiceNameMissing, On: lab.HV02, Break: without(pick(mine, isShort)...), Restore: resetHosts},
		{Name: "service names: full missing", Want: fault.ServiceNameMissing, On: lab.HV02, Break: without(pick(mine, isFull)...), Restore: resetHosts},
		{Name: "service names: escaped twin missing", Want: fault.ServiceNameMissing, On: lab.HV02,
			Break: without(pick(mine, func(v string) bool { return strings.Contains(v, `\`) })...), Restore: resetHosts},
		{Name: "service names: on another host's account", Want: fault.ServiceNameMisplaced, On: lab.HV02,
			Break: all(without(pick(mine, isShort)...), add(hv04, spns, pick(mine, isShort)...)), Restore: resetFirst(hv04, spns, pick(mine, isShort)...)},
		{Name: "service names: on a user's account", Want: fault.ServiceNameMisplaced, On: lab.HV02,
			Break: all(without(pick(mine, isFull)...), add(viewer, spns, pick(mine, isFull)...)), Restore: all(replace(viewer, spns), resetHosts)},
		{Name: "service names: twice, on a user's account", Want: fault.ServiceNameDuplicate, On: lab.HV02, Break: twice(viewer), Restore: gone(viewer)},
		{Name: "service names: twice, on a disabled account", Want: fault.ServiceNameDuplicate, On: lab.HV02,
			Break: twice(lab.UserDN(lab.UserDisabled)), Restore: gone(lab.UserDN(lab.UserDisabled))},
	}
}

// below changes an object below what refuses it: a name that is there twice, or a DNS
// name that goes.
func below(dn, change string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		cmd := w.Member(lab.DC1).Command(ctx, "ldbmodify", "-H", "/var/lib/samba/private/sam.ldb.d/"+strings.ToUpper(lab.BaseDN)+".ldb")
		cmd.Stdin = strings.NewReader("dn: " + dn + "\nchangetype: modify\n" + change + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("change %s: %w: %s", dn, err, out)
		}
		return nil
	}
}

// resetFirst takes values from an account, whose owner then gets them back.
func resetFirst(dn, attribute string, values ...string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		_ = w.dir().Remove(ctx, dn, attribute, values...) // a cure may have done it
		return w.dir().Reset(ctx)
	}
}

func delegation() []Case {
	list, hv01 := directory.AttributeDelegateTo, lab.HostDN(lab.HV01)
	both := lab.DelegationTo(lab.HV02, lab.HV03)
	nobody := lab.UserDN(lab.UserNobody)
	return []Case{
		{Name: "delegation: list missing", Want: fault.DelegationIncomplete, On: lab.HV01, Break: replace(hv01, list), Restore: resetHosts},
		{Name: "delegation: one destination missing", Want: fault.DelegationIncomplete, On: lab.HV01, Break: remove(hv01, list, lab.DelegationTo(lab.HV02)...), Restore: resetHosts},
		{Name: "delegation: one value missing", Want: fault.DelegationIncomplete, On: lab.HV01, Break: remove(hv01, list, migration+"/HV02"), Restore: resetHosts},
		{Name: "delegation: storage missing", Want: fault.DelegationIncomplete, On: lab.HV01, Break: remove(hv01, list, lab.ServiceNames(lab.HV02, "cifs")...), Restore: resetHosts},
		{Name: "delegation: only short names", Want: fault.DelegationShortOnly, On: lab.HV01, Break: replace(hv01, list, pick(both, isShort)...), Restore: resetHosts},
		{Name: "delegation: only full names", Want: fault.DelegationFullOnly, On: lab.HV01, Break: replace(hv01, list, pick(both, isFull)...), Restore: resetHosts},
		{Name: "delegation: on a user's account", Want: fault.DelegationWrongObject, With: []fault.Code{fault.DelegationIncomplete}, Break: all(replace(hv01, list), replace(nobody, list, both...)),
			Restore: all(replace(nobody, list), resetHosts)},
		{Name: "delegation: to a host that is gone", Want: fault.DelegationStaleName, On: lab.HV01, Break: add(hv01, list, lab.DelegationTo("HV77")...), Restore: resetHosts},
		{Name: "delegation: Kerberos only", Want: fault.TransitionMissing, On: lab.HV01, Break: flags(hv01, 0, lab.FlagTrustedToAuthForDlg), Restore: resetHosts},
		{Name: "delegation: to any service", Want: fault.Unconstrained, On: lab.HV02, Break: flags(lab.HostDN(lab.HV02), lab.FlagTrustedForDelegate, 0), Restore: resetHosts},
	}
}

func accounts() []Case {
	hv03 := lab.HostDN(lab.HV03)
	types := directory.AttributeEncryptionTypes
	aes := replace(hv03, types, "24")
	return []Case{
		{Name: "account: disabled", Want: fault.HostAccountDisabled, On: lab.HV03, Break: flags(hv03, lab.FlagDisabled, 0), Restore: resetHosts},
		{Name: "account: RC4 only", Want: fault.HostWithoutAES, On: lab.HV03, Break: replace(hv03, types, "4"), Restore: aes, FixOn: lab.DC1},
		{Name: "account: DES only", Want: fault.HostWithoutAES, On: lab.HV03, Break: replace(hv03, types, "3"), Restore: aes, FixOn: lab.DC1},
		{Name: "account: encryption types not set", Want: fault.HostWithoutAES, On: lab.HV03, Break: replace(hv03, types), Restore: aes, FixOn: lab.DC1},
		{Name: "account: without DNS name", Want: fault.HostWithoutDNSName, On: lab.HV03, Break: below(hv03, "delete: dNSHostName"), Restore: below(hv03, "replace: dNSHostName\ndNSHostName: "+full(lab.HV03)),
			Person: "which name is the right one, the directory does not tell"},
		{Name: "account: not in the directory", Hosts: []string{lab.HV01, lab.HV02, lab.NEW1}, Want: fault.HostNotInDirectory, On: lab.NEW1,
			Break: nothing, Restore: nothing, Person: "the host has to be joined"},
		{Name: "key: older than the directory's", From: lab.HV03, Want: fault.KeytabStale, On: lab.HV03,
			Break:   func(ctx context.Context, w *World) error { return w.dir().SetPassword(ctx, hv03, "Other-Passw0rd-3") },
			Restore: newKeytab(lab.HV03)},
		{Name: "key: newer than the directory's", From: lab.HV03, Want: fault.KeytabStale, On: lab.HV03, Break: keytabOf(lab.HV03, 77, "aes256-cts-hmac-sha1-96"), Restore: newKeytab(lab.HV03)},
		{Name: "key: RC4 only", From: lab.HV03, Want: fault.AgentNoKeytab, On: lab.HV03, Break: keytabOf(lab.HV03, 77, "rc4-hmac"), Restore: newKeytab(lab.HV03)},
	}
}

func nothing(context.Context, *World) error { return nil }

// keytabOf writes a keytab with one key of a version and a type.
func keytabOf(host string, version int, kind string) func(context.Context, *World) error {
	return shell(host, `rm -f /tmp/new.keytab; printf 'addent -password -p %s$@%s -k %d -e %s\nwhatever-1\nwkt /tmp/new.keytab\nq\n' | ktutil >/dev/null && cat /tmp/new.keytab > /etc/krb5.keytab`,
		host, lab.Realm, version, kind)
}

// newKeytab gives a host the keys that the directory has of it.
func newKeytab(host string) func(context.Context, *World) error {
	return func(ctx context.Context, w *World) error {
		if err := resetHosts(ctx, w); err != nil {
			return err
		}
		out, err := w.Member(lab.DC1).Run(ctx, "sh", "-c", fmt.Sprintf("rm -f /tmp/export.keytab; samba-tool domain exportkeytab /tmp/export.keytab --principal='%s$' >/dev/null && base64 -w0 /tmp/export.keytab", host))
		if err != nil {
			return err
		}
		return w.run(ctx, host, "sh", "-c", "echo "+strings.TrimSpace(out)+" | base64 -d > /etc/krb5.keytab")
	}
}

func operators() []Case {
	operator, admin := lab.UserDN(lab.UserOperator), lab.UserAdmin
	asAdmin := []string{"--operator", lab.UserOperator}
	const far, past = "9223372036854775807", "132539328000000000" // never; 2021
	const ordinary = lab.FlagNormalAccount | lab.FlagPasswordNeverEnds
	enabled := flags(operator, ordinary, lab.FlagDisabled|lab.FlagNotDelegated)
	return []Case{
		{Name: "operator: sensitive", As: admin, Args: asAdmin, Want: fault.OperatorSensitive, On: lab.UserOperator, Break: flags(operator, lab.FlagNotDelegated, 0), Restore: enabled},
		{Name: "operator: in Protected Users", As: admin, Args: asAdmin, Want: fault.OperatorSensitive, On: lab.UserOperator,
			Break: func(ctx context.Context, w *World) error {
				return w.dir().AddToGroup(ctx, lab.UserOperator, "Protected Users")
			},
			Restore: func(ctx context.Context, w *World) error {
				_ = w.dir().RemoveFromGroup(ctx, lab.UserOperator, "Protected Users")
				return nil
			}},
		{Name: "operator: disabled", As: admin, Args: asAdmin, Want: fault.OperatorDisabled, On: lab.UserOperator, Break: flags(operator, lab.FlagDisabled, 0), Restore: enabled},
		{Name: "operator: password has expired", As: admin, Args: asAdmin, Want: fault.OperatorPassword, On: lab.UserOperator,
			Break: all(flags(operator, 0, lab.FlagPasswordNeverEnds), replace(operator, "pwdLastSet", "0")), Restore: all(replace(operator, "pwdLastSet", "-1"), enabled),
			Person: "the password is the operator's"},
		{Name: "operator: account has expired", As: admin, Args: asAdmin, Want: fault.OperatorExpired, On: lab.UserOperator, Break: replace(operator, "accountExpires", past), Restore: replace(operator, "accountExpires", far)},
		{Name: "operator: locked out", As: admin, Args: asAdmin, Want: fault.OperatorLocked, On: lab.UserOperator,
			Break: all(sambaToolLocal("domain", "passwordsettings", "set", "--account-lockout-threshold=2"),
				shell(lab.MGMT, "for i in 1 2 3 4; do echo wrong | kinit -c /tmp/krb5cc_wrong %s@%s; done; true", lab.UserOperator, lab.Realm)),
			Restore: all(sambaToolLocal("domain", "passwordsettings", "set", "--account-lockout-threshold=0"), sambaToolLocal("user", "unlock", lab.UserOperator))},
		{Name: "operator: no AES key", As: admin, Args: asAdmin, Want: fault.OperatorWithoutAES, On: lab.UserOperator, Break: below(operator, "delete: supplementalCredentials"),
			Restore: func(ctx context.Context, w *World) error { return w.dir().SetPassword(ctx, operator, lab.UserPassword) }, Person: "the password is the operator's"},
		{Name: "operator: has no ticket", KeepTicket: true, Want: fault.NoTicket, On: lab.MGMT, Break: shell(lab.MGMT, "kdestroy -q -c %s", cache(lab.UserOperator)),
			Restore: signIn(lab.UserOperator), Person: "the password is the operator's"},
		{Name: "operator: in no role group", Want: fault.RoleMissing, Person: "which group gives the role, drover.yaml on the host says",
			Break: func(ctx context.Context, w *World) error {
				return w.dir().RemoveFromGroup(ctx, lab.UserOperator, lab.GroupOperators)
			},
			Restore: func(ctx context.Context, w *World) error {
				return w.dir().AddToGroup(ctx, lab.UserOperator, lab.GroupOperators)
			}},
		{Name: "operator: not in the directory", As: admin, Args: []string{"--operator", "nosuch"}, Want: fault.OperatorUnknown, On: "nosuch", Break: nothing, Restore: nothing, Person: "which name is meant, nobody else knows"},
	}
}

// sambaToolLocal works on the controller's own database.
func sambaToolLocal(argv ...string) func(context.Context, *World) error {
	return command(lab.DC1, append([]string{"samba-tool"}, argv...)...)
}
