package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drover/internal/fault"

	"github.com/go-ldap/ldap/v3"
)

// ask runs requests that read, and explains a refusal. about is the object, or
// what is asked for, for messages.
func (c *Conn) ask(ctx context.Context, about string, f func() error) error {
	err := c.within(ctx, f)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return c.explain(err, refusal{object: about})
}

// refusal is a request that was refused.
type refusal struct {
	object     string
	attributes []string // that were to be written
	addsOnly   bool     // nothing was to be deleted
	writers    func(attribute string) []string
}

func (r refusal) wrote(attribute string) bool {
	return slices.ContainsFunc(r.attributes, func(a string) bool { return strings.EqualFold(a, attribute) })
}

// explain gives an error of the LDAP library its meaning, once. Errors that have a
// meaning already, and those of callers, stay what they are.
func (c *Conn) explain(err error, r refusal) error {
	var coded *fault.Error
	if errors.As(err, &coded) || errors.Is(err, ErrNotFound) {
		return err
	}
	attribute := cmp.Or(strings.Join(r.attributes, ", "), "the existence")
	gone := func() error {
		object := r.object
		if r.wrote(AttributeMember) { // a controller does not say which
			object += ", or one that was to be a member of it"
		}
		return fault.Wrap(err, fault.DirectoryObjectGone, c.Server(), "object", object)
	}
	changed := func() error {
		return fault.Wrap(nil, fault.DirectoryChanged, c.Server(), "attribute", attribute, "object", r.object, "reason", reason(err))
	}
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		if errors.Is(err, errNoObject) {
			return gone()
		}
		return fault.Wrap(nil, fault.DirectoryFailed, c.Server(), "server", c.Server(), "object", r.object, "reason", reason(err))
	}
	switch answer.ResultCode {
	case ldap.ErrorNetwork:
		return unreachable(err, c.domain(), c.Server()+": "+reason(err))
	case ldap.LDAPResultNoSuchObject:
		return gone()
	case ldap.LDAPResultReferral:
		if r.writers == nil || domainOfDN(r.object) != c.says.Domain { // to another domain
			return gone()
		}
		return fault.Wrap(err, fault.DirectoryFailed, c.Server(), "server", c.Server(), "object", r.object,
			"reason", "it is a read-only controller; name another one with --server")
	case ldap.LDAPResultInsufficientAccessRights:
		return fault.Wrap(err, fault.DirectoryAccessDenied, c.Server(), "principal", c.who(), "attribute", attribute,
			"object", r.object, "writers", r.whoMay())
	case ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultEntryAlreadyExists: // the latter for member, too
		return changed()
	case ldap.LDAPResultNoSuchAttribute:
		if !r.addsOnly { // else the schema does not have it
			return changed()
		}
	case ldap.LDAPResultUnwillingToPerform:
		if r.wrote(AttributeMember) && missesMember(answer) {
			return changed()
		}
	case ldap.LDAPResultConstraintViolation:
		// Samba 4.17 and 4.22 take it for an attribute that the system alone may change,
		// as the schema says; Windows does not heed that. No control over LDAP helps.
		if c.kind == Samba && r.wrote(AttributeActOnBehalf) {
			return fault.Wrap(nil, fault.DelegationModel, c.Server(), "server", c.Server(), "model", "resource-based",
				"reason", "Samba lets nobody change "+AttributeActOnBehalf+" over the network ("+reason(err)+")")
		}
	case ldap.LDAPResultAdminLimitExceeded:
		if len(r.attributes) > 0 {
			return fault.Wrap(err, fault.DirectoryLimit, c.Server(), "attribute", attribute, "object", r.object)
		}
	}
	return fault.Wrap(nil, fault.DirectoryFailed, c.Server(), "server", c.Server(), "object", r.object, "reason", reason(err))
}

// missesMember tells a value of member that was to be deleted and is not there
// from other refusals with the result unwillingToPerform.
func missesMember(answer *ldap.Error) bool {
	text := fmt.Sprint(answer.Err)
	// Samba 4.17 and 4.22; Windows (ERROR_MEMBER_NOT_IN_ALIAS, ERROR_MEMBER_NOT_IN_GROUP).
	for _, t := range []string{"Attribute member doesn't exist for target GUID", "Attribute member already deleted for target GUID", "00000561:", "00000529:"} {
		if strings.Contains(text, t) {
			return true
		}
	}
	return false
}

// whoMay says who may write every one of the attributes.
func (r refusal) whoMay() string {
	if r.writers == nil || len(r.attributes) == 0 {
		return "that takes a right on the object or on its container"
	}
	var all []string
	for i, a := range r.attributes {
		who := r.writers(a)
		if i == 0 {
			all = who
		}
		all = slices.DeleteFunc(all, func(n string) bool { return n == wellKnown[sidSystem] || !slices.Contains(who, n) })
	}
	if len(all) == 0 {
		return "who may could not be read"
	}
	return "those who may: " + strings.Join(all, ", ")
}

// reason is an error's text for messages: of an LDAP result its number, its name,
// and what the controller added.
func reason(err error) string {
	var answer *ldap.Error
	if !errors.As(err, &answer) {
		return err.Error()
	}
	text := strings.TrimSpace(strings.TrimRight(fmt.Sprint(answer.Err), "\x00\n"))
	if answer.ResultCode >= ldap.ErrorNetwork {
		return text
	}
	name := fmt.Sprintf("LDAP result %d, %s", answer.ResultCode, ldap.LDAPResultCodeMap[answer.ResultCode])
	if text == "" {
		return name
	}
	return name + ": " + text
}

// who is the caller's name for messages, where it is known.
func (c *Conn) who() string {
	if c.options.Simple == nil && c.options.Principal == "" {
		return "you"
	}
	return c.options.who()
}
