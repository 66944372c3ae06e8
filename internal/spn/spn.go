// Package spn knows service principal names: how they are written, compared and
// stored.
//
// Names of services have a second form in Samba's directories. Samba's Kerberos
// server escapes blanks before it looks a name up, so a name with blanks needs an
// escaped twin beside it, in servicePrincipalName and in msDS-AllowedToDelegateTo.
// Windows needs none. Twins are never shown as names of their own.
package spn

import (
	"fmt"
	"slices"
	"strings"
)

// Service classes under which hosts are moved to, as on Hyper-V.
const (
	Migration = "Microsoft Virtual System Migration Service"
	Storage   = "cifs"
)

// Name is a parsed service principal name, "CLASS/HOST" or
// "CLASS/HOST/INSTANCE".
type Name struct {
	Class    string // "cifs", "Microsoft Virtual System Migration Service"
	Host     string // short or full, perhaps with a port
	Instance string // "" mostly
}

// Parse splits at "/" only: blanks are legal. Samba's escapes and a realm at the
// end are removed first.
func Parse(s string) (Name, error) {
	parts := strings.Split(Plain(s), "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return Name{}, fmt.Errorf("%q is not a service name (CLASS/HOST)", s)
	}
	n := Name{Class: parts[0], Host: parts[1]}
	if len(parts) == 3 {
		n.Instance = parts[2]
	}
	return n, nil
}

// For is CLASS/HOST. Short host names are written in upper case and full ones in
// lower case, as the directory's own tools do; names are compared without regard
// to case.
func For(class, host string) string {
	if strings.Contains(host, ".") {
		return class + "/" + strings.ToLower(host)
	}
	return class + "/" + strings.ToUpper(host)
}

// Class is the part before the first "/".
func Class(name string) string {
	class, _, _ := strings.Cut(name, "/")
	return class
}

// String is the plain form.
func (n Name) String() string {
	s := n.Class + "/" + n.Host
	if n.Instance != "" {
		s += "/" + n.Instance
	}
	return s
}

// HostName is the host without a port.
func (n Name) HostName() string {
	h, _, _ := strings.Cut(n.Host, ":")
	return h
}

// ShortHost is the host's first label, without a port.
func (n Name) ShortHost() string {
	h, _, _ := strings.Cut(n.HostName(), ".")
	return h
}

// Plain gives the plain form of a stored name: without Samba's backslashes and
// without a realm.
func Plain(s string) string {
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
func Equal(a, b string) bool { return strings.EqualFold(Plain(a), Plain(b)) }

// Key is the same for names that are Equal.
func Key(s string) string { return strings.ToLower(Plain(s)) }

// Contains says that list has exactly this value, apart from case: a plain name
// does not stand for its twin.
func Contains(list []string, value string) bool {
	return slices.ContainsFunc(list, func(v string) bool { return strings.EqualFold(v, value) })
}

// PlainList is list without twins and duplicates. A twin whose name is not in the
// list is there as the name: a controller of Samba answers to it.
func PlainList(list []string) []string {
	var out []string
	for _, v := range list {
		if IsTwin(v) {
			plain := Plain(v)
			if Contains(list, plain) {
				continue
			}
			v = plain
		}
		if !Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// Stored are the values that have to be stored for plain names: the names and,
// where the controllers are Samba's, their twins.
func Stored(twins bool, plain ...string) []string {
	var out []string
	for _, n := range plain {
		out = append(out, n)
		if t := Twin(n); t != "" && twins {
			out = append(out, t)
		}
	}
	return out
}
