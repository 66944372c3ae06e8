package symptom

import "drover/internal/fault"

// Causes that several errors of Kerberos share.
var (
	oldKey = because("the host's keytab has not the key of the directory, after a re-join or a reset of the account", fault.KeytabStale)
	onTwo  = because("the service name is on two accounts", fault.ServiceNameDuplicate)
	notOn  = because("no account carries the service name", fault.ServiceNameMissing, fault.ServiceUnknown)
	noAES  = because("the account allows no AES, and RC4 is refused", fault.HostWithoutAES)
	expiry = because("the ticket's life is over", fault.TicketExpired)
)

// protocol are errors of the protocol, with the texts that the MIT libraries show.
var protocol = []Symptom{
	{ID: "KDC_ERR_BADOPTION", Origin: Kerberos, Kerberos: 13, Title: "KDC_ERR_BADOPTION", Texts: []string{"KDC can't fulfill requested option", "KDC_ERR_BADOPTION(13)"},
		Means:  "The controller refuses to let the host act for the operator; it answers nearly every case of it by this error.",
		Causes: []Cause{listLacks, noTransition, wrongObject, noCIFS, sensitive, because("the operator's ticket is not forwardable", fault.EvidenceNotForward), notYet, because("the host's account is disabled", fault.HostAccountDisabled)},
		Run:    []string{runVerify, runDoctor}, Source: rfc4120 + "; MS-SFU 3.2.5.2; docs/directory.md"},
	{ID: "KDC_ERR_S_PRINCIPAL_UNKNOWN", Origin: Kerberos, Kerberos: 7, Title: "KDC_ERR_S_PRINCIPAL_UNKNOWN", Texts: []string{"Server not found in Kerberos database", "Server * not found in Kerberos database"},
		Means: "The directory has no account for the service that was asked for, or has two.", Causes: []Cause{notOn, onTwo, because("the host is named by its address, or by an alias without a service name", fault.HostNameIsAddress), because("the host is not in the directory", fault.HostNotInDirectory)},
		Run: []string{"drover spn list DESTINATION", "drover spn duplicates", runDoctor}, Source: rfc4120},
	{ID: "KDC_ERR_C_PRINCIPAL_UNKNOWN", Origin: Kerberos, Kerberos: 6, Title: "KDC_ERR_C_PRINCIPAL_UNKNOWN", Texts: []string{"Client not found in Kerberos database", "Client * not found in Kerberos database"},
		Means: "The directory does not know who asks.", Causes: []Cause{because("the user's name is misspelt or the account gone", fault.OperatorUnknown, fault.LoginFailed), because("the host's account is gone or has another name", fault.HostNotInDirectory)},
		Run: []string{runDoctor}, Source: rfc4120},
	{ID: "KDC_ERR_PRINCIPAL_NOT_UNIQUE", Origin: Kerberos, Kerberos: 8, Title: "KDC_ERR_PRINCIPAL_NOT_UNIQUE", Texts: []string{"Principal has multiple entries in Kerberos database"},
		Means: "The name is on more than one account.", Causes: []Cause{onTwo}, Run: []string{"drover spn duplicates"}, Source: rfc4120},
	{ID: "KDC_ERR_POLICY", Origin: Kerberos, Kerberos: 12, Title: "KDC_ERR_POLICY", Texts: []string{"KDC policy rejects request"},
		Means: "A policy of the domain refuses the request.", Causes: []Cause{sensitive, because("the operator's account is restricted", fault.OperatorDisabled, fault.DelegationRefused)}, Run: []string{runVerify}, Source: rfc4120},
	{ID: "KDC_ERR_ETYPE_NOSUPP", Origin: Kerberos, Kerberos: 14, Title: "KDC_ERR_ETYPE_NOSUPP", Texts: []string{"KDC has no support for encryption type", "KDC_ERR_ETYPE_NOTSUPP"},
		Means: "Client, account and controller have no encryption type in common.", Causes: []Cause{noAES, because("the account's password is from before the domain knew AES and has to be set anew", fault.OperatorWithoutAES)},
		Run: []string{runDoctor, "Get-ADComputer HOST -Properties msDS-SupportedEncryptionTypes"}, Source: rfc4120},
	{ID: "KDC_ERR_CLIENT_REVOKED", Origin: Kerberos, Kerberos: 18, Title: "KDC_ERR_CLIENT_REVOKED", Texts: []string{"Client's credentials have been revoked", "Clients credentials have been revoked"},
		Means: "The account of who asks is disabled, locked or expired.", Causes: []Cause{because("the operator's account is disabled, locked or expired", fault.OperatorDisabled, fault.OperatorLocked, fault.OperatorExpired, fault.LoginFailed), because("the host's account is disabled", fault.HostAccountDisabled)},
		Run: []string{runDoctor}, Source: rfc4120},
	{ID: "KDC_ERR_KEY_EXPIRED", Origin: Kerberos, Kerberos: 23, Title: "KDC_ERR_KEY_EXPIRED", Texts: []string{"Password has expired"},
		Means: "The password has to be changed first.", Causes: []Cause{because("the operator's password has expired", fault.OperatorPassword, fault.LoginFailed)}, Run: []string{"kpasswd USER@REALM"}, Source: rfc4120},
	{ID: "KDC_ERR_PREAUTH_FAILED", Origin: Kerberos, Kerberos: 24, Title: "KDC_ERR_PREAUTH_FAILED", Texts: []string{"Preauthentication failed", "Pre-authentication failed"},
		Means: "The password or key is not the account's.", Causes: []Cause{because("wrong password", fault.LoginFailed), oldKey}, Run: []string{"kinit USER@REALM", "kinit -k 'HOST$@REALM'"}, Source: rfc4120},
	{ID: "KRB_AP_ERR_BAD_INTEGRITY", Origin: Kerberos, Kerberos: 31, Title: "KRB_AP_ERR_BAD_INTEGRITY", Texts: []string{"Decrypt integrity check failed"},
		Means: "What was received was encrypted with another key.", Causes: []Cause{oldKey, because("the service name is on another account", fault.ServiceNameMisplaced, fault.ServiceNameDuplicate), because("wrong password", fault.LoginFailed)},
		Run: []string{"klist -ke /etc/krb5.keytab", "kvno HOST/NAME", runDoctor}, Source: rfc4120},
	{ID: "KRB_AP_ERR_TKT_EXPIRED", Origin: Kerberos, Kerberos: 32, Title: "KRB_AP_ERR_TKT_EXPIRED", Texts: []string{"Ticket expired", "The referenced context has expired", "The referenced credential has expired"},
		Means: "The ticket is no longer good.", Causes: []Cause{expiry, clocks}, Run: []string{"kinit", "klist"}, Source: rfc4120},
	{ID: "KRB_AP_ERR_TKT_NYV", Origin: Kerberos, Kerberos: 33, Title: "KRB_AP_ERR_TKT_NYV", Texts: []string{"Ticket not yet valid"},
		Means: "The ticket begins later than the clock of the other side shows.", Causes: []Cause{clocks}, Run: []string{runDoctor, "chronyc tracking"}, Source: rfc4120},
	{ID: "KRB_AP_ERR_REPEAT", Origin: Kerberos, Kerberos: 34, Title: "KRB_AP_ERR_REPEAT", Texts: []string{"Request is a replay", "Message is a replay"},
		Means: "The same authenticator came twice.", Causes: []Cause{because("a request was sent again, or somebody replays traffic", fault.Replay)}, Run: []string{runEvents}, Source: rfc4120},
	{ID: "KRB_AP_ERR_NOT_US", Origin: Kerberos, Kerberos: 35, Title: "KRB_AP_ERR_NOT_US", Texts: []string{"The ticket isn't for us", "Wrong principal in request"},
		Means: "The host has no key for the name that the ticket was made for.", Causes: []Cause{because("the keytab lacks the name", fault.KeytabStale, fault.AgentNoKeytab), wrongAddress, because("the service name is on another account", fault.ServiceNameMisplaced)},
		Run: []string{"klist -ke /etc/krb5.keytab", runDoctor}, Source: rfc4120},
	{ID: "KRB_AP_ERR_BADMATCH", Origin: Kerberos, Kerberos: 36, Title: "KRB_AP_ERR_BADMATCH", Texts: []string{"Ticket/authenticator don't match", "Requested server and ticket don't match"},
		Means: "Ticket and sender do not belong together.", Causes: []Cause{because("the account was renamed after its ticket was made", fault.AuthRefused)}, Run: []string{"kdestroy; kinit"}, Source: rfc4120},
	{ID: "KRB_AP_ERR_SKEW", Origin: Kerberos, Kerberos: 37, Title: "KRB_AP_ERR_SKEW", Texts: []string{"Clock skew too great", "Clock skew too great in KDC reply"},
		Means: "The clocks differ by more than Kerberos allows, five minutes.", Causes: []Cause{clocks}, Run: []string{runDoctor, "chronyc tracking"}, Source: rfc4120},
	{ID: "KRB_AP_ERR_MODIFIED", Origin: Kerberos, Kerberos: 41, Title: "KRB_AP_ERR_MODIFIED", Texts: []string{"Message stream modified"},
		Means: "The host could not read the ticket: it was made for another account's key.", Causes: []Cause{because("the service name is on another account, or on two", fault.ServiceNameMisplaced, fault.ServiceNameDuplicate), oldKey, because("the name leads to another host: an old DNS record", fault.DNSAddressStale, fault.DNSAddressShared, fault.HostsFileOverrides)},
		Run: []string{runDoctor, "drover spn find '*/DESTINATION'"}, Source: rfc4120},
	{ID: "KRB_AP_ERR_BADKEYVER", Origin: Kerberos, Kerberos: 44, Title: "KRB_AP_ERR_BADKEYVER", Texts: []string{"Key version number for principal in key table is incorrect", "kvno * not found in keytab", "keytab is likely out of date"},
		Means: "The ticket was made with a key of another version than the keytab has.", Causes: []Cause{oldKey, because("the ticket is older than the last change of the account's password", fault.AuthRefused)},
		Run: []string{"klist -ke /etc/krb5.keytab", "drover host enroll"}, Source: rfc4120},
	{ID: "KRB_AP_ERR_NOKEY", Origin: Kerberos, Kerberos: 45, Title: "KRB_AP_ERR_NOKEY", Texts: []string{"Service key not available", "No key table entry found", "Cannot find key for * in keytab", "No keys in keytab"},
		Means: "The host has no key to read the ticket.", Causes: []Cause{because("there is no keytab, or not one of this account", fault.AgentNoKeytab), oldKey}, Run: []string{"klist -ke /etc/krb5.keytab", "drover host enroll"}, Source: rfc4120},
	{ID: "KRB_ERR_RESPONSE_TOO_BIG", Origin: Kerberos, Kerberos: 52, Title: "KRB_ERR_RESPONSE_TOO_BIG", Texts: []string{"Response too big for UDP, retry with TCP"},
		Means: "The answer does not fit into UDP; it is asked for by TCP then, which port 88 must take as well.", Causes: []Cause{because("TCP port 88 of the controller is filtered", fault.KDCWithoutTCP)}, Run: []string{"nc -vz CONTROLLER 88"}, Source: rfc4120},
	{ID: "KDC_ERR_WRONG_REALM", Origin: Kerberos, Kerberos: 68, Title: "KDC_ERR_WRONG_REALM", Texts: []string{"Realm not local to KDC"},
		Means: "The controller that was asked is not one of that realm.", Causes: []Cause{because("realm or controllers are wrong in krb5.conf or DNS", fault.RealmMapping, fault.KDCUnreachable)}, Run: []string{"dig _kerberos._tcp.REALM SRV"}, Source: rfc4120},
}

// gssapi are messages of the Kerberos libraries that are no error of the protocol.
var gssapi = []Symptom{
	{ID: "cannot-contact-kdc", Origin: Kerberos, Title: "Cannot contact any KDC for realm", Texts: []string{"Cannot contact any KDC for requested realm"},
		Means: "No controller of the realm answers on port 88.", Causes: []Cause{noDC, because("krb5.conf or DNS names controllers that are gone", fault.DNSServiceStale, fault.KDCUnreachable)}, Run: []string{runDoctor, "dig _kerberos._tcp.REALM SRV"}, Source: mit},
	{ID: "cannot-find-kdc", Origin: Kerberos, Title: "Cannot find KDC for realm", Texts: []string{"Cannot find KDC for requested realm", "Cannot resolve network address for KDC in requested realm", "Cannot resolve network address for KDC in realm"},
		Means: "Neither krb5.conf nor DNS tells a controller of the realm.", Causes: []Cause{because("the realm is misspelt, or DNS has no SRV records of it", fault.DNSServiceMissing, fault.KDCUnreachable)}, Run: []string{"dig _kerberos._tcp.REALM SRV", "cat /etc/krb5.conf"}, Source: mit},
	{ID: "no-default-realm", Origin: Kerberos, Title: "Configuration file does not specify default realm", Texts: []string{"Cannot determine realm for host", "Cannot determine realm for numeric host address"},
		Means: "krb5.conf does not say which realm a host is of.", Causes: []Cause{because("default_realm or domain_realm is missing", fault.RealmMapping, fault.KerberosFailed), because("the host is named by its address", fault.HostNameIsAddress)}, Run: []string{"cat /etc/krb5.conf"}, Source: mit},
	{ID: "no-credentials", Origin: Kerberos, Title: "No Kerberos credentials available", Texts: []string{"No credentials cache found", "Credential cache is empty", "No credentials were supplied, or the credentials were unavailable or inaccessible", "Credentials cache file * not found", "No ticket granting ticket"},
		Means: "You have no ticket.", Causes: []Cause{because("nobody signed in, or the ticket is in another cache (KRB5CCNAME)", fault.NoTicket), expiry}, Run: []string{"klist", "drover login USER@REALM"}, Source: mit},
	{ID: "not-forwardable", Origin: Kerberos, Title: "Requesting ticket can't get forwardable tickets", Texts: []string{"KDC_ERR_BADOPTION * forwardable", "ticket is not forwardable"},
		Means: "The ticket may not be passed on.", Causes: []Cause{because("it was asked for without -f, or krb5.conf says forwardable = false", fault.EvidenceNotForward), sensitive}, Run: []string{"kinit -f USER@REALM", "klist -f"}, Source: mit},
	{ID: "channel-bindings", Origin: Kerberos, Title: "Incorrect channel bindings were supplied",
		Means: "The sign-in does not belong to the TLS connection by which it came.", Causes: []Cause{because("something opens the TLS connection on its way", fault.BindingMismatch)}, Run: []string{"openssl s_client -connect HOST:6601 </dev/null"}, Source: mit},
	{ID: "keytab-unreadable", Origin: Kerberos, Title: "Bad format in keytab", Texts: []string{"Unsupported key table format version number", "Key table file * not found"},
		Means: "The keytab cannot be read.", Causes: []Cause{because("it is damaged or not there", fault.AgentNoKeytab)}, Run: []string{"klist -ke /etc/krb5.keytab", "drover host enroll"}, Source: mit},
}
