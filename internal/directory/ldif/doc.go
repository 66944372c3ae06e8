// Package ldif reads and writes LDIF (RFC 2849) as far as Drover keeps and prints
// it: records with or without a change type, base64, folded lines and comments.
//
// It is our own because github.com/go-ldap/ldif, the library that was found, opens
// any file that a "<" value names, which a file given by somebody else must not
// make us do; carries a change type over to the records that follow; refuses empty
// values; drops comments, in which a baseline says what it was taken from; and
// puts the attributes of a record into a map, which loses their order.
//
// Not read, and refused by name: values from URLs, controls, and renaming.
package ldif
