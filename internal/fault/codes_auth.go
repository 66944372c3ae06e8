package fault

import "net/http"

// Codes of authentication, authorisation and delegation.
const (
	NoTicket             Code = "no-ticket"
	TicketExpired        Code = "ticket-expired"
	LoginFailed          Code = "login-failed"
	KDCUnreachable       Code = "kdc-unreachable"
	KerberosFailed       Code = "kerberos-failed"
	ClockSkew            Code = "clock-skew"
	AgentNoKeytab        Code = "agent-without-keytab"
	KeytabStale          Code = "keytab-stale"
	ServiceUnknown       Code = "service-name-unknown"
	AuthRequired         Code = "authentication-required"
	AuthRefused          Code = "authentication-refused"
	BindingMismatch      Code = "tls-binding-mismatch"
	Replay               Code = "ticket-replayed"
	RoleMissing          Code = "role-missing"
	LocalUserUnmapped    Code = "local-user-unmapped"
	OperatorUnknown      Code = "operator-unknown"
	DelegationMissing    Code = "delegation-missing"
	DelegationNoStorage  Code = "delegation-missing-storage"
	DelegationNoProtocol Code = "delegation-protocol-transition"
	EvidenceNotForward   Code = "evidence-not-forwardable"
	OperatorSensitive    Code = "operator-sensitive"
	DelegationRefused    Code = "delegation-refused"
	NotDelegated         Code = "not-delegated"
)

var auth = []Entry{
	{NoTicket, ClassAuth, 0, "No Kerberos ticket",
		"no Kerberos ticket in {cache} (0x8009030E, No credentials are available in the security package)",
		"Drover signs in with the ticket of whoever runs it, and found none.",
		"get one with `kinit USER@REALM` or `drover login`"},
	{TicketExpired, ClassAuth, 0, "Kerberos ticket expired",
		"the ticket of {principal} expired at {expired}",
		"A ticket-granting ticket lives for some hours; this one is over.",
		"get a new one with `kinit {principal}` or `drover login`"},
	{LoginFailed, ClassAuth, 0, "Sign-in failed",
		"the domain controller refused the sign-in of {principal}: {reason}",
		"Wrong password, unknown, locked or disabled account, or an account that must change its password first.",
		"try again, or look at the account: `samba-tool user show`, Active Directory Users and Computers"},
	{KDCUnreachable, ClassUnavailable, 0, "No domain controller answers",
		"no Kerberos KDC of {realm} answers {host}",
		"The controllers named in krb5.conf or in DNS do not answer on port 88.",
		"test it: `nc -vz CONTROLLER 88`, `dig _kerberos._tcp.{realm} SRV`, and look at /etc/krb5.conf"},
	{KerberosFailed, ClassAuth, 0, "Kerberos refused",
		"the domain controller refused {host} a ticket for {service}: {reason}",
		"The KDC answered with an error that has no code of its own here.",
		"look the Kerberos error up; `KRB5_TRACE=/dev/stderr kvno '{service}'` shows the exchange"},
	{ClockSkew, ClassAuth, 0, "Clocks differ too much",
		"the clock of {host} and the clock of {peer} differ by {skew}; Kerberos allows 5 minutes",
		"Kerberos accepts no request whose time stamp is more than five minutes off.",
		"set both clocks: `chronyc tracking`, `timedatectl set-ntp true`"},
	{AgentNoKeytab, ClassAuth, http.StatusServiceUnavailable, "Agent has no keytab",
		"droverd on {host} has no usable key in {keytab}",
		"The agent accepts and delegates tickets with the key of its computer account, which lies in the keytab. It runs without, and reads the keytab when it is there; no restart is needed.",
		"join the domain or write the keytab again on {host}: `realm join` or `adcli update --computer-password-lifetime=0`"},
	{KeytabStale, ClassAuth, http.StatusServiceUnavailable, "Keytab does not match the directory",
		"the key of {account} in {keytab} on {host} is not the one that the directory holds",
		"The computer account's password was changed (a re-join, a reset) and the keytab was not renewed.",
		"give the account a new key, on {host}: `adcli join -U Administrator`, or `net ads keytab create -U Administrator`"},
	{ServiceUnknown, ClassAuth, 0, "Service name is not in the directory",
		"the directory knows no service name {service}",
		"No account carries this servicePrincipalName, so the KDC can issue no ticket for it. Samba's KDC looks names with blanks up in an escaped form, which must be stored beside the plain one.",
		"add it to the computer account of the host: `setspn -S \"{service}\" ACCOUNT` or `samba-tool spn add '{service}' 'ACCOUNT$'`"},
	{AuthRequired, ClassAuth, http.StatusUnauthorized, "Sign-in needed",
		"{host} answers nobody who has not signed in",
		"The management API takes Kerberos (SPNEGO) over TLS, or the local unix socket.",
		"use `drover`, which signs in with your ticket"},
	{AuthRefused, ClassAuth, http.StatusUnauthorized, "Sign-in refused",
		"{host} refused the sign-in: {reason}",
		"The ticket could not be verified.",
		"get fresh tickets (`kdestroy; kinit`) and see `journalctl -u droverd` on {host}"},
	{BindingMismatch, ClassAuth, http.StatusUnauthorized, "Somebody is in the middle",
		"the sign-in to {host} does not belong to this TLS connection",
		"Both ends prove that they see the same TLS session. They do not, so there is something between them: a proxy that opens TLS, or an attack.",
		"see who answers: `openssl s_client -connect {host}:6601 </dev/null`; connect without a TLS-intercepting proxy; if there is none, treat it as an attack"},
	{Replay, ClassAuth, http.StatusUnauthorized, "Ticket was used before",
		"{host} has seen this authenticator before",
		"Each authenticator is good for one use within the time that clocks may differ.",
		"run the command again; if it happens again, somebody replays captured traffic"},
	{RoleMissing, ClassAuth, 0, "Not allowed",
		"{operator} is not {role} on {host}",
		"Roles are given per host, to directory groups by SID, and both hosts of a move must give one.",
		"add {operator} to a group listed under roles.{role} in /etc/drover/drover.yaml on {host}, then sign in again (`kinit`), because group membership is in the ticket"},
	{LocalUserUnmapped, ClassAuth, 0, "Local user has no principal",
		"local user {user} on {host} stands for no Kerberos principal, so nobody can be delegated",
		"A move is always done as an operator that the directory knows. The local socket knows only a Unix user.",
		"map the user under local_users in /etc/drover/drover.yaml on {host}, or run `drover move --host {host}` with a ticket"},
	{OperatorUnknown, ClassAuth, 0, "Operator is not in the directory",
		"the directory knows no user {operator}, or the account is disabled",
		"The source host asked for a ticket in the operator's name and the KDC does not know the name.",
		"look for the account with `samba-tool user list` or Get-ADUser, and enable it or correct the name; for the local socket the name comes from local_users in /etc/drover/drover.yaml"},
	{DelegationMissing, ClassAuth, 0, "Delegation is missing",
		"{account} may not act for {operator} at {destination}: {attribute} of {account} lacks \"{values}\" (0x8009030E, No credentials are available in the security package)",
		"The source host acts for the operator at the destination by Kerberos constrained delegation. The list on the source's computer account does not name the destination's migration service.",
		"let a domain administrator add the values to {attribute} of {account}: Set-ADObject -Add, or `{command}`"},
	{DelegationNoStorage, ClassAuth, 0, "Delegation for storage is missing",
		"{account} may not act for {operator} for storage at {destination}: {attribute} of {account} lacks \"{values}\" (0x8009030E, No credentials are available in the security package)",
		"Moving storage needs the service cifs of the destination in the delegation list as well, as on Hyper-V. Moves without storage are not affected.",
		"let a domain administrator add the values to {attribute} of {account}: Set-ADObject -Add, or `{command}`"},
	{DelegationNoProtocol, ClassAuth, 0, "Delegation is for Kerberos only",
		"{account} may delegate only operators who signed in by Kerberos, and {operator} came otherwise: userAccountControl of {account} lacks TRUSTED_TO_AUTH_FOR_DELEGATION (0x8009030E, No credentials are available in the security package)",
		"The operator used the local socket. The host can then only ask for a ticket in the operator's name (protocol transition), for which its account needs \"Use any authentication protocol\".",
		"run `drover move --host {host}` from a workstation with a ticket, or set \"Use any authentication protocol\": `{command}`"},
	{EvidenceNotForward, ClassAuth, 0, "Ticket may not be forwarded",
		"the ticket of {operator} is not forwardable, so {account} cannot act for {operator} (0x8009030E, No credentials are available in the security package)",
		"The operator's ticket-granting ticket was asked for without the forwardable flag.",
		"get one that is: `kinit -f {operator}`, and set forwardable = true in /etc/krb5.conf"},
	{OperatorSensitive, ClassAuth, 0, "Operator may not be delegated",
		"{operator} may not be delegated: {reason} (0x8009030E, No credentials are available in the security package)",
		"The account is marked \"sensitive and cannot be delegated\" (NOT_DELEGATED) or is a member of Protected Users. Both forbid what constrained delegation does.",
		"use another operator account for moves: `kinit OTHER@REALM`; this is a protection, think before you lift it"},
	{DelegationRefused, ClassAuth, 0, "Delegation was refused",
		"the domain controller refused {account} a ticket for \"{service}\" in the name of {operator}, and the directory shows no reason: {reason} (0x8009030E, No credentials are available in the security package)",
		"The delegation list has the value and the flags look right. A change that has not reached this controller, or a policy, can be why.",
		"wait for replication (`repadmin /syncall`, `samba-tool drs replicate`), empty the agent's cache (`drover ticket purge --host {host}`) and try again"},
	{NotDelegated, ClassAuth, 0, "Caller is not a delegated host",
		"{caller} came to the migration port of {host} without delegation by a host",
		"Port 6600 takes moves only from hosts that act for an operator by constrained delegation.",
		"operators use port 6601: `drover move VM --host SOURCE --to {host}`"},
}
