package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

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

// Attributes that are read and written by name.
const (
	AttributeFlags           = "userAccountControl"
	AttributeDelegateTo      = "msDS-AllowedToDelegateTo"
	AttributeServiceNames    = "servicePrincipalName"
	AttributeActOnBehalf     = "msDS-AllowedToActOnBehalfOfOtherIdentity"
	AttributeEncryptionTypes = "msDS-SupportedEncryptionTypes"
	AttributeMember          = "member"
)

const protectedUsersRID = 525

var accountAttributes = []string{"sAMAccountName", "dNSHostName", "objectSid", "userAccountControl", "msDS-KeyVersionNumber",
	AttributeServiceNames, AttributeDelegateTo, AttributeActOnBehalf,
	AttributeEncryptionTypes, "objectClass", "memberOf", "uSNChanged"}

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
}

// AccountClass is what kind of account it is.
type AccountClass string

// Classes of accounts.
const (
	Computer       AccountClass = "computer"
	User           AccountClass = "user"
	ManagedService AccountClass = "managed-service-account"
)

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
		ActOnBehalf: e.GetRawAttributeValue(AttributeActOnBehalf), MemberOf: e.GetAttributeValues("memberOf")}
	flags, err := strconv.ParseInt(e.GetAttributeValue("userAccountControl"), 10, 64)
	if err != nil {
		return a, fmt.Errorf("userAccountControl of %s may not be read or is malformed", e.DN)
	}
	a.Flags = uint32(flags) // written as a signed number by some tools
	a.KeyVersion, _ = strconv.Atoi(e.GetAttributeValue("msDS-KeyVersionNumber"))
	a.SID, err = sidString(e.GetRawAttributeValue("objectSid"))
	if err != nil {
		return a, fmt.Errorf("%s: %w", e.DN, err)
	}
	return a, nil
}

// sidString decodes a SID (MS-DTYP 2.4.2.2).
func sidString(b []byte) (string, error) {
	if len(b) < 8 || b[0] != 1 || len(b) != 8+4*int(b[1]) {
		return "", errors.New("malformed SID")
	}
	var auth uint64
	for _, x := range b[2:8] {
		auth = auth<<8 | uint64(x)
	}
	s := fmt.Sprintf("S-1-%d", auth)
	for i := range int(b[1]) {
		s += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(b[8+4*i:]))
	}
	return s, nil
}

// withRID replaces a SID's last part.
func withRID(sid string, rid int) string {
	i := strings.LastIndexByte(sid, '-')
	if i < 0 {
		return ""
	}
	return sid[:i+1] + strconv.Itoa(rid)
}
