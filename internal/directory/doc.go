// Package directory reads Active Directory over LDAP. It is the only package that
// knows the LDAP library. It connects with SASL GSSAPI and a sealed layer on port
// 389, which is what controllers require by default; the Kerberos side of that
// comes from the caller (Security).
//
// Names of services have a second form in Samba's directories. Samba's Kerberos
// server escapes blanks before it looks a name up, so a name with blanks needs an
// escaped twin beside it, in servicePrincipalName and in msDS-AllowedToDelegateTo.
// Windows needs none. Twins are never shown as names of their own.
package directory
