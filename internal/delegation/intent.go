package delegation

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"drover/internal/fault"
	"drover/internal/spn"
)

// maxGroupName is the most characters of a group's name: rangeUpper of the
// attribute cn, which the group's distinguished name is made of.
const maxGroupName = 64

// WithDefaults fills in what is not set, and refuses what has no meaning. Whether
// the hosts of OneWay exist is for NewPlan to say. Faults: usage.
func (in Intent) WithDefaults() (Intent, error) {
	if in.Model == "" {
		in.Model = Constrained
	}
	if !slices.Contains(Models, in.Model) {
		return in, usage("there is no model %q; there are %s", in.Model, list(Models))
	}
	if in.Protocol == "" {
		in.Protocol = AnyProtocol
	}
	if protocols := []Protocol{AnyProtocol, KerberosOnly}; !slices.Contains(protocols, in.Protocol) {
		return in, usage("there is no protocol %q; there are %s", in.Protocol, list(protocols))
	}
	services, err := serviceClasses(in.Services)
	if err != nil {
		return in, err
	}
	in.Services = services
	if in.Model != GroupBased {
		if in.Group != "" || in.GroupOU != "" {
			return in, usage("a group is for the model %q only", GroupBased)
		}
		return in, nil
	}
	if in.Group == "" {
		in.Group = DefaultGroup
	}
	return in, checkGroupName(in.Group)
}

// serviceClasses checks the classes and drops repeated ones.
func serviceClasses(classes []string) ([]string, error) {
	if len(classes) == 0 {
		return []string{spn.Migration, spn.Storage}, nil
	}
	var out []string
	for _, c := range classes {
		if !isServiceClass(c) {
			return nil, usage("%q is not a service class such as %q", c, spn.Storage)
		}
		if !spn.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out, nil
}

// isServiceClass: Samba escapes \, /, @, # and blanks, so that only blanks can be
// in a class that is to be found again.
func isServiceClass(c string) bool {
	return c != "" && c == strings.TrimSpace(c) && utf8.ValidString(c) &&
		!strings.ContainsAny(c, `/\@#`) && !strings.ContainsFunc(c, unicode.IsControl)
}

// checkGroupName allows what needs no escape, neither in a sAMAccountName
// (MS-ADTS 3.1.1.6, MS-SAMR 3.1.1.6) nor in a distinguished name (RFC 4514).
func checkGroupName(name string) error {
	bad := name != strings.TrimSpace(name) || name == "" || utf8.RuneCountInString(name) > maxGroupName || !utf8.ValidString(name) ||
		strings.HasPrefix(name, "#") || strings.HasSuffix(name, ".") ||
		strings.ContainsAny(name, `"/\[]:;|=,+*?<>@`) || strings.ContainsFunc(name, unicode.IsControl)
	if bad {
		return usage("%q cannot be the name of a group: 1 to %d characters, none of \"/\\[]:;|=,+*?<>@", name, maxGroupName)
	}
	return nil
}

func usage(format string, args ...any) error {
	return fault.New(fault.Usage, "", "problem", fmt.Sprintf(format, args...))
}

func list[T ~string](values []T) string {
	var out []string
	for _, v := range values {
		out = append(out, string(v))
	}
	return strings.Join(out, ", ")
}
