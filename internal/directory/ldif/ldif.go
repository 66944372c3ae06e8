package ldif

import (
	"strings"

	"drover/internal/directory"
)

// ChangeType is what a record does to its object.
type ChangeType string

// Change types. A record without one is an object as it is.
const (
	Content ChangeType = ""
	Add     ChangeType = "add"
	Delete  ChangeType = "delete"
	Modify  ChangeType = "modify"
)

// Record is one object, or one change to one.
type Record struct {
	// Comments are the comment lines above the record, without "#" and one blank.
	Comments []string
	DN       string
	Change   ChangeType
	// Mods are the changes of a Modify. In a Content or an Add record they are the
	// attributes with their values, in their order, with Op directory.Add; a Delete
	// has none.
	Mods []directory.Mod
}

// MaxSize is how much Read reads, in bytes.
const MaxSize = 64 << 20

// foldAt is the length of a line in bytes, without its end (RFC 2849 note 10 leaves
// it open; OpenLDAP's tools fold there).
const foldAt = 76

// safe says that a value can be written as it is (RFC 2849, SAFE-STRING, and note 8
// for a blank at the end).
func safe(value []byte) bool {
	for i, c := range value {
		switch {
		case c == 0 || c == '\n' || c == '\r' || c > 127:
			return false
		case i == 0 && (c == ' ' || c == ':' || c == '<'):
			return false
		case i == len(value)-1 && c == ' ':
			return false
		}
	}
	return true
}

// validAttribute says that a is an attribute's name or number, with options or
// without (RFC 2849, AttributeDescription), or with a range of Active Directory.
func validAttribute(a string) bool {
	for i := range len(a) {
		c := a[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("-;.=", rune(c))) {
			return false
		}
	}
	return a != ""
}
