package delegation

import (
	"fmt"

	"drover/internal/directory"
)

// TrustedToAuth is the name of TRUSTED_TO_AUTH_FOR_DELEGATION, the only flag that
// plans change.
const TrustedToAuth = "TRUSTED_TO_AUTH_FOR_DELEGATION"

// flagNames are bits of userAccountControl (MS-ADTS 2.2.16), those that computers'
// accounts have in practice.
var flagNames = []struct {
	bit  uint32
	name string
}{
	{directory.FlagDisabled, "ACCOUNTDISABLE"},
	{0x20, "PASSWD_NOTREQD"},
	{0x200, "NORMAL_ACCOUNT"},
	{directory.FlagWorkstation, "WORKSTATION_TRUST_ACCOUNT"},
	{directory.FlagServerTrust, "SERVER_TRUST_ACCOUNT"},
	{0x10000, "DONT_EXPIRE_PASSWORD"},
	{directory.FlagTrustedForAny, "TRUSTED_FOR_DELEGATION"},
	{directory.FlagNotDelegated, "NOT_DELEGATED"},
	{0x200000, "USE_DES_KEY_ONLY"},
	{0x800000, "PASSWORD_EXPIRED"},
	{directory.FlagTrustedToAuth, TrustedToAuth},
	{directory.FlagPartialSecrets, "PARTIAL_SECRETS_ACCOUNT"},
}

// FlagBits is the bits of userAccountControl with these names, an error for a name
// that is not known.
func FlagBits(names ...string) (uint32, error) {
	var bits uint32
next:
	for _, name := range names {
		for _, f := range flagNames {
			if f.name == name {
				bits |= f.bit
				continue next
			}
		}
		return 0, fmt.Errorf("%q is not a flag of userAccountControl that is known here", name)
	}
	return bits, nil
}

// FlagNames are the names of bits, lowest first; bits without a name here are
// written as 0x....
func FlagNames(bits uint32) []string {
	var out []string
	for _, f := range flagNames {
		if bits&f.bit != 0 {
			out = append(out, f.name)
			bits &^= f.bit
		}
	}
	if bits != 0 {
		out = append(out, fmt.Sprintf("0x%x", bits))
	}
	return out
}
