// Package secdesc reads and writes self-relative Windows security descriptors,
// SIDs and GUIDs as Active Directory stores them ([MS-DTYP] 2.3.4.2, 2.4.2.2,
// 2.4.4, 2.4.5, 2.4.6), and answers two questions about them: who may act on
// behalf of others (msDS-AllowedToActOnBehalfOfOtherIdentity), and who may write
// an attribute (nTSecurityDescriptor).
//
// It works on bytes only. What it does not understand it keeps as it came, so
// that a descriptor written by another program survives a change by this one.
//
// The code is our own because github.com/cloudsoda/sddl, the library that was
// found, takes object ACEs for plain ones, drops what follows a SID and exports
// no field of an ACE.
package secdesc
