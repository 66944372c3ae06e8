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
	FlagDisabled          uint32 = 0x2
	FlagTrustedForAny     uint32 = 0x80000   // unconstrained delegation
	FlagNotDelegated      uint32 = 0x100000  // "account is sensitive and cannot be delegated"
	FlagTrustedToAuth     uint32 = 0x1000000 // "use any authentication protocol"
	AttributeDelegateTo          = "msDS-AllowedToDelegateTo"
	AttributeServiceNames        = "servicePrincipalName"
	attributeActOnBehalf         = "msDS-AllowedToActOnBehalfOfOtherIdentity"
	protectedUsersRID            = 525
)

var accountAttributes = []string{"sAMAccountName", "dNSHostName", "objectSid", "userAccountControl", "msDS-KeyVersionNumber",
	AttributeServiceNames, AttributeDelegateTo, attributeActOnBehalf}

// ErrNotFound means that no account has the name.
var ErrNotFound = errors.New("no such account in the directory")

// Account is one account as the directory has it.
type Account struct {
	DN           string
	Name         string // sAMAccountName, "HV01$"
	DNSHostName  string
	SID          string
	Flags        uint32 // userAccountControl
	KeyVersion   int    // msDS-KeyVersionNumber, 0 when it may not be read
	ServiceNames []string
	DelegateTo   []string // msDS-AllowedToDelegateTo, as stored, twins included
	// ResourceBased says that msDS-AllowedToActOnBehalfOfOtherIdentity is set.
	ResourceBased bool
	// Protected says that the account is in Protected Users, directly or through
	// other groups.
	Protected bool
}

// Disabled reports the flag.
func (a Account) Disabled() bool { return a.Flags&FlagDisabled != 0 }

// Sensitive reports NOT_DELEGATED.
func (a Account) Sensitive() bool { return a.Flags&FlagNotDelegated != 0 }

// AnyProtocol reports TRUSTED_TO_AUTH_FOR_DELEGATION.
func (a Account) AnyProtocol() bool { return a.Flags&FlagTrustedToAuth != 0 }

func parseAccount(e *ldap.Entry) (Account, error) {
	a := Account{DN: e.DN, Name: e.GetAttributeValue("sAMAccountName"), DNSHostName: e.GetAttributeValue("dNSHostName"),
		ServiceNames: e.GetAttributeValues(AttributeServiceNames), DelegateTo: e.GetAttributeValues(AttributeDelegateTo),
		ResourceBased: len(e.GetRawAttributeValue(attributeActOnBehalf)) > 0}
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
