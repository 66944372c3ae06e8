package directory

import (
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
	object        string
	attributes    []string // that were to be written
	removesMember bool     // values of member were to be deleted
	writers       func(attribute string) []string
}

// explain gives an error of the LDAP library its meaning, once. Errors that have a
// meaning already, and those of callers, stay what they are.
func (c *Conn) explain(err error, r refusal) error {
	var coded *fault.Error
	if errors.As(err, &coded) || errors.Is(err, ErrNotFound) {
		return err
	}
	attribute := strings.Join(r.attributes, ", ")
	if attribute == "" {
		attribute = "existence"
	}
	gone := func() error { return fault.Wrap(err, fault.DirectoryObjectGone, c.Server(), "object", r.object) }
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
	case ldap.LDAPResultNoSuchObject, ldap.LDAPResultReferral: // referred to another domain
		return gone()
	case ldap.LDAPResultInsufficientAccessRights:
		return fault.Wrap(nil, fault.DirectoryAccessDenied, c.Server(), "principal", "you", "attribute", attribute,
			"object", r.object, "writers", r.whoMay(), "reason", reason(err))
	case ldap.LDAPResultNoSuchAttribute, ldap.LDAPResultAttributeOrValueExists, ldap.LDAPResultEntryAlreadyExists:
		return changed()
	case ldap.LDAPResultUnwillingToPerform:
		if r.removesMember && missesMember(answer) {
			return changed()
		}
	case ldap.LDAPResultAdminLimitExceeded:
		if len(r.attributes) > 0 {
			return fault.Wrap(nil, fault.DirectoryLimit, c.Server(), "attribute", attribute, "object", r.object, "reason", reason(err))
		}
	}
	return fault.Wrap(nil, fault.DirectoryFailed, c.Server(), "server", c.Server(), "object", r.object, "reason", reason(err))
}

// missesMember tells a value of member that was to be deleted and is not there
// from other refusals with the result unwillingToPerform.
func missesMember(answer *ldap.Error) bool {
	text := fmt.Sprint(answer.Err)
	for _, t := range []string{"doesn't exist", "00000561"} {
		if strings.Contains(text, t) {
			return true
		}
	}
	return false
}

// whoMay says who may write every one of the attributes.
func (r refusal) whoMay() string {
	const unknown = "who may could not be read"
	if r.writers == nil || len(r.attributes) == 0 {
		return unknown
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
		return unknown
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
