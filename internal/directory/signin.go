package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"drover/internal/fault"
)

// signIn binds, and seals where there is no TLS. At the privileged socket everybody
// is the system until a bind, which would take that away.
func (c *Conn) signIn(ctx context.Context, over *tls.ConnectionState) error {
	if c.options.Socket != "" {
		c.wire.known.Store(true)
		return nil
	}
	var err error
	if s := c.options.Simple; s != nil {
		err = c.ldap.Bind(s.User, s.Password)
	} else {
		c.wire.security = c.options.Security(ctx, over)
		err = c.ldap.GSSAPIBind(c.wire.security, "ldap/"+c.host, "")
	}
	if err != nil {
		return c.signInFault(err, over != nil)
	}
	if over == nil {
		c.wire.sealed.Store(true)
	}
	c.wire.known.Store(true)
	return nil
}

// signInFault says why a bind failed. What is no refusal (a lost connection, a busy
// controller) stays without a code, so that the next controller is tried. A fault of
// Kerberos stays the one that is told.
func (c *Conn) signInFault(err error, overTLS bool) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return fmt.Errorf("sign in to %s: %w", c.host, err)
	}
	var answer *ldap.Error
	refused := func(cause error, reason string) error {
		return fault.Wrap(cause, fault.DirectorySignIn, "", "server", c.host, "principal", c.options.who(), "reason", reason)
	}
	switch fromLibrary := errors.As(err, &answer); {
	case fromLibrary && answer.ResultCode < ldap.ErrorNetwork:
		if answer.ResultCode == ldap.LDAPResultBusy || answer.ResultCode == ldap.LDAPResultUnavailable {
			return fmt.Errorf("sign in: %w", err)
		}
		return refused(err, refusalReason(answer, overTLS, c.options.Simple != nil))
	case c.wire.failure() != nil: // of which the library tells less
		return fmt.Errorf("sign in: %w", c.wire.failure())
	case fromLibrary:
		return fmt.Errorf("sign in: %w", err)
	}
	return refused(nil, err.Error()) // what this side refuses, which says why
}

// adReason finds the Win32 or SSPI code in a controller's diagnostic message, which
// looks like "80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error,
// data 52e, v4563". Samba words it the same way.
var adReason = regexp.MustCompile(`\bdata ([0-9a-fA-F]{1,8})\b`)

// badBindings is SEC_E_BAD_BINDINGS, with which a message begins (Samba) or which is
// its data (Windows).
const badBindings = "80090346"

// refusalReason words a controller's refusal of a bind.
func refusalReason(e *ldap.Error, overTLS, simple bool) string {
	text := ""
	if e.Err != nil {
		text = e.Err.Error()
	}
	data := ""
	if m := adReason.FindStringSubmatch(text); m != nil {
		data = m[1]
	}
	switch {
	case e.ResultCode == ldap.LDAPResultStrongAuthRequired && overTLS && !simple:
		return "it takes no Kerberos sign-in over TLS, as Samba 4.17 does not; leave --ldaps out, so that the connection is sealed on port 389"
	case e.ResultCode == ldap.LDAPResultStrongAuthRequired:
		return "it demands more protection of the connection"
	case e.ResultCode != ldap.LDAPResultInvalidCredentials:
		return ldap.LDAPResultCodeMap[e.ResultCode]
	case strings.Contains(text, badBindings):
		return "the sign-in does not belong to this TLS connection: something between here and the controller opens TLS"
	}
	if words := accountReasons[data]; words != "" {
		return words
	}
	if simple {
		return "wrong name or password"
	}
	return "it does not accept the ticket"
}

// accountReasons are by Win32 error codes (MS-ERREF 2.2), in hexadecimal.
var accountReasons = map[string]string{
	"525": "no such account",
	"52e": "wrong name or password",
	"52f": "the account is restricted; members of Protected Users sign in with a Kerberos ticket only",
	"530": "the account may not sign in at this hour",
	"531": "the account may not sign in from this machine",
	"532": "the password has expired",
	"533": "the account is disabled",
	"701": "the account has expired",
	"773": "the password must be changed first",
	"775": "the account is locked",
}
