// Package directory reads and writes Active Directory over LDAP. It is the only
// package that knows the LDAP library. It signs in with SASL GSSAPI and a sealed
// layer on port 389, which is what controllers require by default, or over TLS;
// the Kerberos side comes from the caller (Security).
//
// It knows attributes, controls and what controllers answer, and decides nothing:
// what ought to be in the directory is package delegation's and package audit's.
package directory
