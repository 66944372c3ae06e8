package directory

import (
	"fmt"
	"slices"
	"strings"
)

// ServiceName is a parsed service principal name, "CLASS/HOST" or
// "CLASS/HOST/INSTANCE".
type ServiceName struct {
	Class    string // "cifs", "Microsoft Virtual System Migration Service"
	Host     string // short or full, perhaps with a port
	Instance string // "" mostly
}

// ParseServiceName splits at "/" only: blanks are legal. Samba's escapes and a
// realm at the end are removed first.
func ParseServiceName(s string) (ServiceName, error) {
	parts := strings.Split(Normalise(s), "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return ServiceName{}, fmt.Errorf("%q is not a service name (CLASS/HOST)", s)
	}
	n := ServiceName{Class: parts[0], Host: parts[1]}
	if len(parts) == 3 {
		n.Instance = parts[2]
	}
	return n, nil
}

// String is the plain form.
func (n ServiceName) String() string {
	s := n.Class + "/" + n.Host
	if n.Instance != "" {
		s += "/" + n.Instance
	}
	return s
}

// ShortHost is the host's first label, without a port.
func (n ServiceName) ShortHost() string {
	h, _, _ := strings.Cut(n.Host, ":")
	h, _, _ = strings.Cut(h, ".")
	return h
}

// Normalise gives the plain form of a stored name: without Samba's backslashes
// and without a realm.
func Normalise(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(` \/@#`, s[i+1]) >= 0:
			i++
			b.WriteByte(s[i])
		case s[i] == '@':
			return b.String()
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// Twin is the escaped form that Samba needs beside a plain name, "" for a name
// without blanks.
func Twin(plain string) string {
	if !strings.Contains(plain, " ") {
		return ""
	}
	return strings.ReplaceAll(plain, " ", `\ `)
}

// IsTwin says that s is an escaped twin, which is no name of its own.
func IsTwin(s string) bool { return strings.Contains(s, `\ `) }

// Equal compares two stored names as Active Directory does: without regard to
// case, escapes and realm.
func Equal(a, b string) bool { return strings.EqualFold(Normalise(a), Normalise(b)) }

// Contains says that list has exactly this value, apart from case: a plain name
// does not stand for its twin.
func Contains(list []string, value string) bool {
	return slices.ContainsFunc(list, func(v string) bool { return strings.EqualFold(v, value) })
}

// Plain is list without twins and duplicates.
func Plain(list []string) []string {
	var out []string
	for _, v := range list {
		if !IsTwin(v) && !Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// Values are what has to be stored for the plain names on a controller of this
// kind: the names, and on Samba their twins.
func Values(kind Controller, plain ...string) []string {
	var out []string
	for _, n := range plain {
		out = append(out, n)
		if t := Twin(n); t != "" && kind == Samba {
			out = append(out, t)
		}
	}
	return out
}
