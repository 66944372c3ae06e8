package krb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-krb5/krb5/iana/nametype"
	"github.com/go-krb5/krb5/types"
)

const maxNameLen = 1024

var errBadName = errors.New("malformed name")

// parseService splits a service name at "/" only: blanks are legal in a
// component, and "Microsoft Virtual System Migration Service/HV02" has four.
func parseService(s string) (types.PrincipalName, error) {
	if len(s) > maxNameLen || strings.ContainsRune(s, 0) {
		return types.PrincipalName{}, fmt.Errorf("service name: %w", errBadName)
	}
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return types.PrincipalName{}, fmt.Errorf("service name %q is not SERVICE/HOST: %w", s, errBadName)
	}
	for _, p := range parts {
		if strings.TrimSpace(p) == "" {
			return types.PrincipalName{}, fmt.Errorf("service name %q has an empty part: %w", s, errBadName)
		}
	}
	return types.PrincipalName{NameType: nametype.KRB_NT_SRV_INST, NameString: parts}, nil
}

// parsePrincipal splits "name@REALM" at the last "@". Without one the realm is
// defaultRealm.
func parsePrincipal(s, defaultRealm string) (types.PrincipalName, string, error) {
	name, realm := s, defaultRealm
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		name, realm = s[:i], s[i+1:]
	}
	if name == "" || realm == "" || len(s) > maxNameLen || strings.ContainsRune(s, 0) {
		return types.PrincipalName{}, "", fmt.Errorf("principal %q is not USER@REALM: %w", s, errBadName)
	}
	return types.PrincipalName{NameType: nametype.KRB_NT_PRINCIPAL, NameString: strings.Split(name, "/")}, realm, nil
}

func nameString(n types.PrincipalName) string { return strings.Join(n.NameString, "/") }

func fullName(n types.PrincipalName, realm string) string { return nameString(n) + "@" + realm }

// sameName compares as Active Directory does, without regard to case. The name
// type is not significant (RFC 4120 6.2).
func sameName(a, b types.PrincipalName) bool {
	return len(a.NameString) == len(b.NameString) && strings.EqualFold(nameString(a), nameString(b))
}
