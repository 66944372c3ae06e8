package directory

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"drover/internal/directory/secdesc"

	"github.com/go-ldap/ldap/v3"
)

// Bits of userAccountControl (MS-ADTS 2.2.16).
const (
	FlagDisabled       uint32 = 0x2
	FlagWorkstation    uint32 = 0x1000
	FlagServerTrust    uint32 = 0x2000    // a domain controller
	FlagTrustedForAny  uint32 = 0x80000   // unconstrained delegation
	FlagNotDelegated   uint32 = 0x100000  // "account is sensitive and cannot be delegated"
	FlagTrustedToAuth  uint32 = 0x1000000 // "use any authentication protocol"
	FlagPartialSecrets uint32 = 0x4000000 // a read-only domain controller
)

// EncryptionAES are AES128 and AES256 in msDS-SupportedEncryptionTypes (MS-KILE
// 2.2.7).
const EncryptionAES uint32 = 0x18

// Attributes that are read and written by name.
const (
	AttributeFlags           = "userAccountControl"
	AttributeDelegateTo      = "msDS-AllowedToDelegateTo"
	AttributeServiceNames    = "servicePrincipalName"
	AttributeActOnBehalf     = "msDS-AllowedToActOnBehalfOfOtherIdentity"
	AttributeEncryptionTypes = "msDS-SupportedEncryptionTypes"
	AttributeMember          = "member"
)

var accountAttributes = []string{"sAMAccountName", "dNSHostName", "objectSid", "userAccountControl", "msDS-KeyVersionNumber",
	AttributeServiceNames, AttributeDelegateTo, AttributeActOnBehalf,
	AttributeEncryptionTypes, "objectClass", "memberOf", "primaryGroupID", "uSNChanged", "operatingSystem"}

// ErrNotFound means that no account has the name.
var ErrNotFound = errors.New("no such account in the directory")

// Account is one account as the directory has it.
type Account struct {
	DN              string
	Class           AccountClass
	Name            string // sAMAccountName, "HV01$"
	DNSHostName     string
	SID             string
	Flags           uint32 // userAccountControl
	KeyVersion      int    // msDS-KeyVersionNumber, 0 when it may not be read
	EncryptionTypes uint32 // msDS-SupportedEncryptionTypes (MS-KILE 2.2.7), 0 when unset
	ServiceNames    []string
	DelegateTo      []string // msDS-AllowedToDelegateTo, as stored, twins included
	// ActOnBehalf is msDS-AllowedToActOnBehalfOfOtherIdentity as stored, a security
	// descriptor that says who may delegate to this account; nil when unset.
	ActOnBehalf []byte
	// MemberOf are the distinguished names of the groups that it is a direct member of,
	// without its primary group.
	MemberOf []string
	USN      int64 // uSNChanged on this controller
	// Protected says that the account is in Protected Users, directly or through
	// other groups.
	Protected bool
	// OperatingSystem is what a machine has written into its account, e.g. Windows Server
	// 2025 Datacenter; mostly "" for others than Windows.
	OperatingSystem string
	// Hidden says that the caller may not read userAccountControl, which a hardened
	// Windows directory does not show everybody of users; Flags is 0 then.
	Hidden bool

	primaryGroup uint32 // primaryGroupID: memberOf does not have it
}

// AccountClass is what kind of account it is.
type AccountClass string

// Classes of accounts.
const (
	Computer       AccountClass = "computer"
	User           AccountClass = "user"
	ManagedService AccountClass = "managed-service-account"
)

// Windows goes by what the machine has written into its account when it joined.
func (a Account) Windows() bool { return strings.HasPrefix(a.OperatingSystem, "Windows") }

// ResourceBased says that ActOnBehalf is set.
func (a Account) ResourceBased() bool { return len(a.ActOnBehalf) > 0 }

// ShortName is the account's name without the "$" of computer accounts.
func (a Account) ShortName() string { return strings.TrimSuffix(a.Name, "$") }

// Unconstrained reports TRUSTED_FOR_DELEGATION.
func (a Account) Unconstrained() bool { return a.Flags&FlagTrustedForAny != 0 }

// IsController says that it is a domain controller's account, read-only ones
// included. Those are trusted for delegation by design.
func (a Account) IsController() bool { return a.Flags&(FlagServerTrust|FlagPartialSecrets) != 0 }

// Disabled reports the flag.
func (a Account) Disabled() bool { return a.Flags&FlagDisabled != 0 }

// Sensitive reports NOT_DELEGATED.
func (a Account) Sensitive() bool { return a.Flags&FlagNotDelegated != 0 }

// AnyProtocol reports TRUSTED_TO_AUTH_FOR_DELEGATION.
func (a Account) AnyProtocol() bool { return a.Flags&FlagTrustedToAuth != 0 }

func parseAccount(e *ldap.Entry) (Account, error) {
	a := Account{DN: e.DN, Name: e.GetAttributeValue("sAMAccountName"), DNSHostName: e.GetAttributeValue("dNSHostName"),
		ServiceNames: e.GetAttributeValues(AttributeServiceNames), DelegateTo: e.GetAttributeValues(AttributeDelegateTo),
		ActOnBehalf: e.GetRawAttributeValue(AttributeActOnBehalf), MemberOf: e.GetAttributeValues("memberOf"),
		OperatingSystem: e.GetAttributeValue("operatingSystem"),
		Class:           classOf(e.GetAttributeValues("objectClass")), USN: usnOf(e)}
	var err error
	if a.SID, err = sidString(e.GetRawAttributeValue("objectSid")); err != nil {
		return a, fmt.Errorf("%s: %w", e.DN, err)
	}
	a.Hidden = e.GetAttributeValue(AttributeFlags) == ""
	for _, n := range []struct {
		attribute string
		into      *uint32
	}{{AttributeFlags, &a.Flags}, {AttributeEncryptionTypes, &a.EncryptionTypes}, {"primaryGroupID", &a.primaryGroup}} {
		if *n.into, err = number(e.GetAttributeValue(n.attribute)); err != nil {
			return a, fmt.Errorf("%s of %s is malformed: %w", n.attribute, e.DN, err)
		}
	}
	a.KeyVersion, _ = strconv.Atoi(e.GetAttributeValue("msDS-KeyVersionNumber"))
	return a, nil
}

// number parses a set of bits, which the directory has as a signed number; 0 for "".
func number(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return uint32(n), err
}

// classOf tells by objectClass: managed service accounts are computers, and those
// are users.
func classOf(classes []string) AccountClass {
	is := func(name string) bool {
		return slices.ContainsFunc(classes, func(c string) bool { return strings.EqualFold(c, name) })
	}
	switch {
	case is("msDS-GroupManagedServiceAccount"), is("msDS-ManagedServiceAccount"):
		return ManagedService
	case is("computer"):
		return Computer
	}
	return User
}

func usnOf(e *ldap.Entry) int64 {
	n, _ := strconv.ParseInt(e.GetAttributeValue("uSNChanged"), 10, 64)
	return n
}

func sidString(b []byte) (string, error) {
	s, n, err := secdesc.ParseSID(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("SID with %d bytes too many", len(b)-n)
	}
	return string(s), err
}
