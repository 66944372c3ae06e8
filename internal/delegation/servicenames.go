package delegation

import (
	"slices"
	"strings"

	"drover/internal/directory"
	"drover/internal/spn"
)

// MissingServiceNames are the values that servicePrincipalName of a destination
// lacks to be reached under services, by its short and its full name. mappings are
// the classes that HOST stands for (State.Mappings): HOST/X satisfies those. twins
// asks for the escaped twins of names with blanks, which Samba's controllers need.
// An account without a DNS name is asked for the short names only.
func MissingServiceNames(a directory.Account, services, mappings []string, twins bool) []string {
	var out []string
	full := strings.ToLower(strings.TrimSuffix(a.DNSHostName, "."))
	for _, class := range services {
		mapped := slices.ContainsFunc(mappings, func(m string) bool { return strings.EqualFold(m, class) })
		for _, plain := range namesOf([]string{class}, a.ShortName(), full) {
			if mapped && spn.Contains(a.ServiceNames, "HOST/"+strings.TrimPrefix(plain, class+"/")) {
				continue
			}
			for _, v := range spn.Stored(twins, plain) {
				if !spn.Contains(a.ServiceNames, v) {
					out = append(out, v)
				}
			}
		}
	}
	return out
}
