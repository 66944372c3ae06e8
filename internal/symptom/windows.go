package symptom

import "drover/internal/fault"

// Causes that several messages of Windows share.
var (
	listLacks = because("the source may not act for the operator at the destination: its delegation list lacks the migration service of the destination, or has only its short or only its full name",
		fault.DelegationIncomplete, fault.DelegationMissing, fault.DelegationShortOnly, fault.DelegationFullOnly, fault.ResourceDelegationAbsent)
	wrongObject  = because("the list is on another account than the source's computer account", fault.DelegationWrongObject)
	noTransition = because("\"use Kerberos only\" is set where the host has to ask for the ticket itself; Hyper-V needs \"use any authentication protocol\" from Windows Server 2016 on",
		fault.TransitionMissing, fault.DelegationNoProtocol)
	noCIFS    = because("storage moves along, and the list lacks cifs of the destination", fault.DelegationNoStorage)
	sensitive = because("the operator may not be delegated: marked sensitive, or a member of Protected Users", fault.OperatorSensitive)
	nameOf    = because("the destination's service name is missing, on another account or on two", fault.ServiceNameMissing, fault.ServiceNameMisplaced, fault.ServiceNameDuplicate)
	notYet    = because("the change of the list has not reached the controller that was asked, or the host still holds the answer from before it: about 15 minutes on Windows", fault.DelegationRefused, fault.ReplicationPending, fault.TicketBeforeChange)
	credSSP   = because("the hosts authenticate by CredSSP and the operator is not signed in at the source; Windows Server 2025 has Credential Guard on, which rules CredSSP out", fault.AuthenticationDiffers)
	clocks    = because("a clock is off by more than five minutes", fault.ClockSkew)
	noDC      = because("no domain controller answers, or DNS does not tell where they are", fault.KDCUnreachable, fault.DirectoryUnreachable, fault.DNSServiceMissing, fault.DNSServiceStale, fault.DNSServerSilent)
)

// What empties the memory of a host: of Windows, and of Drover.
const (
	purge       = "klist purge -li 0x3e7"
	purgeTicket = "drover ticket purge --host SOURCE"
)

// security are status codes of authentication (MS-ERREF).
var security = []Symptom{
	{ID: "0x8009030E", Origin: Windows, Number: 0x8009030E, Title: "No credentials are available in the security package",
		Texts: []string{"SEC_E_NO_CREDENTIALS", "failed to authenticate the connection for a virtual machine migration at the source host * no suitable credentials available",
			"im Sicherheitspaket * sind keine Anmeldeinformationen verf\u00fcgbar"},
		Means:  "The source could not get a ticket for the destination in the operator's name.",
		Causes: []Cause{listLacks, noTransition, wrongObject, noCIFS, sensitive, nameOf, notYet, credSSP, because("you have no ticket yourself", fault.NoTicket)},
		Run:    []string{runDoctor, runVerify, purge, purgeTicket}, Source: erref + "; " + kb + "; " + howto},
	{ID: "0x8009030D", Origin: Windows, Number: 0x8009030D, Title: "The credentials supplied to the package were not recognized",
		Texts:  []string{"SEC_E_UNKNOWN_CREDENTIALS"},
		Means:  "The source has no credentials of the operator that it could use at the destination.",
		Causes: []Cause{credSSP, listLacks, noTransition, sensitive, notYet},
		Run:    []string{runDoctor, runVerify, purge, purgeTicket}, Source: erref + "; " + kb},
	{ID: "0x8009030C", Origin: Windows, Number: 0x8009030C, Title: "The logon attempt failed", Texts: []string{"SEC_E_LOGON_DENIED"},
		Means: "The other side refused who signs in.",
		Causes: []Cause{because("the account is disabled, locked, expired or its password is wrong", fault.LoginFailed, fault.OperatorDisabled, fault.OperatorLocked, fault.OperatorExpired, fault.OperatorPassword, fault.HostAccountDisabled),
			because("the host cannot read the ticket, because its key is not the directory's", fault.KeytabStale), clocks},
		Run: []string{runDoctor}, Source: erref},
	{ID: "0x80090322", Origin: Windows, Number: 0x80090322, Title: "The target principal name is incorrect", Texts: []string{"SEC_E_WRONG_PRINCIPAL"},
		Means: "The host that answered is not the one for whose account the ticket was made.",
		Causes: []Cause{because("the name leads to another host: an old DNS record, the hosts file, or the address of another network", fault.DNSAddressStale, fault.DNSAddressShared, fault.HostsFileOverrides, fault.ShortNameElsewhere),
			because("the service name is on the wrong account, or on two", fault.ServiceNameMisplaced, fault.ServiceNameDuplicate),
			because("the host's key is not the directory's", fault.KeytabStale)},
		Run: []string{runDoctor, "drover spn find '*/DESTINATION'", "nslookup DESTINATION"}, Source: erref + "; " + kb},
	{ID: "0x80090324", Origin: Windows, Number: 0x80090324, Title: "The clocks on the client and server machines are skewed", Texts: []string{"SEC_E_TIME_SKEW"},
		Means: "Kerberos takes no request that is more than five minutes off.", Causes: []Cause{clocks},
		Run: []string{runDoctor, "chronyc tracking", "w32tm /query /status"}, Source: erref},
	{ID: "0x80090303", Origin: Windows, Number: 0x80090303, Title: "The specified target is unknown or unreachable", Texts: []string{"SEC_E_TARGET_UNKNOWN"},
		Means:  "The directory has no account for the service that was asked for.",
		Causes: []Cause{because("nobody carries the service name, or two accounts do", fault.ServiceNameMissing, fault.ServiceUnknown, fault.ServiceNameDuplicate), because("the host is not in the directory", fault.HostNotInDirectory), noDC},
		Run:    []string{runDoctor, "drover spn list DESTINATION"}, Source: erref},
	{ID: "0x80090311", Origin: Windows, Number: 0x80090311, Title: "No authority could be contacted for authentication", Texts: []string{"SEC_E_NO_AUTHENTICATING_AUTHORITY", "STATUS_NO_LOGON_SERVERS"},
		Means: "No domain controller could be asked for a ticket.", Causes: []Cause{noDC},
		Run: []string{runDoctor, "nltest /dsgetdc:DOMAIN"}, Source: erref},
	{ID: "0x80090342", Origin: Windows, Number: 0x80090342, Title: "The encryption type requested is not supported by the KDC", Texts: []string{"SEC_E_KDC_UNKNOWN_ETYPE"},
		Means: "Both sides allow no common encryption type for the ticket.", Causes: []Cause{because("the account allows RC4 only, or has no AES key yet", fault.HostWithoutAES, fault.OperatorWithoutAES)},
		Run: []string{runDoctor, "Get-ADComputer HOST -Properties msDS-SupportedEncryptionTypes"}, Source: erref},
	{ID: "0x80090345", Origin: Windows, Number: 0x80090345, Title: "The computer must be trusted for delegation and the current user account must be configured to allow delegation", Texts: []string{"SEC_E_DELEGATION_REQUIRED", "must be trusted for delegation"},
		Means: "What was asked for needs delegation, and the computer or the user does not allow it.", Causes: []Cause{listLacks, sensitive, noTransition},
		Run: []string{runVerify}, Source: erref},
	{ID: "0x80090346", Origin: Windows, Number: 0x80090346, Title: "Client's supplied Security Support Provider Interface (SSPI) channel bindings were incorrect", Texts: []string{"SEC_E_BAD_BINDINGS", "SSPI channel bindings were incorrect"},
		Means: "The sign-in does not belong to the TLS connection by which it came.", Causes: []Cause{because("something opens the TLS connection on its way", fault.BindingMismatch)},
		Run: []string{"openssl s_client -connect HOST:6601 </dev/null"}, Source: erref},
	{ID: "0x80090350", Origin: Windows, Number: 0x80090350, Title: "The system detected a possible attempt to compromise security", Texts: []string{"SEC_E_DOWNGRADE_DETECTED", "STATUS_DOWNGRADE_DETECTED"},
		Means: "Kerberos was not to be had, and falling back was refused; that no controller answers is enough for it.", Causes: []Cause{noDC, nameOf},
		Run: []string{runDoctor}, Source: erref},
	{ID: "0x80090357", Origin: Windows, Number: 0x80090357, Title: "Kerberos-constrained delegation request for a target outside the server's realm", Texts: []string{"SEC_E_CROSSREALM_DELEGATION_FAILURE"},
		Means: "A delegation list works within one domain only.", Causes: []Cause{because("source and destination are of different domains", fault.DelegationCrossDomain)},
		Run: []string{runDoctor, "drover delegation plan SOURCE DESTINATION --model resource-based"}, Source: erref + "; MS-SFU 3.2.5.2"},
	{ID: "0x8009035E", Origin: Windows, Number: 0x8009035E, Title: "The client policy does not allow credential delegation to the target server",
		Texts: []string{"SEC_E_DELEGATION_POLICY", "CredSSP authentication is currently disabled", "Credential Guard does not allow"},
		Means: "CredSSP may not hand the operator's password on.", Causes: []Cause{because("policy or Credential Guard (on by default in Windows Server 2025) forbids CredSSP; use Kerberos"), listLacks},
		Run: []string{"Set-VMHost -VirtualMachineMigrationAuthenticationType Kerberos", runDoctor}, Source: erref + "; " + howto},
	{ID: "0xC00000BB", Origin: Windows, Number: 0xC00000BB, Title: "STATUS_NOT_SUPPORTED in a refusal of delegation", Texts: []string{"STATUS_NOT_SUPPORTED"},
		Means: "The controller does not find the service in the source's delegation list.", Causes: []Cause{listLacks, wrongObject, noCIFS},
		Run: []string{runVerify}, Source: "MS-SFU 3.2.5.2"},
	{ID: "0xC000006E", Origin: Windows, Number: 0xC000006E, Title: "Account restrictions are preventing this user from signing in", Texts: []string{"STATUS_ACCOUNT_RESTRICTION"},
		Means: "The operator's ticket may not be forwarded, or a restriction forbids the sign-in.", Causes: []Cause{sensitive, because("the ticket is not forwardable", fault.EvidenceNotForward), noTransition},
		Run: []string{runVerify}, Source: erref + "; MS-SFU 3.2.5.2"},
	{ID: "0xC0000133", Origin: Windows, Number: 0xC0000133, Title: "There is a time and/or date difference between the client and server", Texts: []string{"STATUS_TIME_DIFFERENCE_AT_DC", "NT_STATUS_TIME_DIFFERENCE_AT_DC"},
		Means: "The clock differs from the controller's by more than Kerberos allows.", Causes: []Cause{clocks}, Run: []string{runDoctor}, Source: erref},
	{ID: "0x8007052E", Origin: Windows, Number: 0x8007052E, Title: "The user name or password is incorrect", Texts: []string{"ERROR_LOGON_FAILURE", "STATUS_LOGON_FAILURE", "NT_STATUS_LOGON_FAILURE", "unknown user name or bad password"},
		Means: "The directory refused the sign-in.", Causes: []Cause{because("wrong password, or the account is disabled or locked", fault.LoginFailed, fault.DirectorySignIn, fault.OperatorDisabled, fault.OperatorLocked)},
		Run: []string{"kinit USER@REALM"}, Source: erref},
	{ID: "0x80070005", Origin: Windows, Number: 0x80070005, Title: "General access denied error", Texts: []string{"E_ACCESSDENIED", "Access is denied"},
		Means: "Whoever asked is known, and may not.", Causes: []Cause{because("the operator is in none of the groups that may move, on the source or on the destination", fault.RoleMissing), because("the directory does not let the caller change the attribute", fault.DirectoryAccessDenied)},
		Run: []string{runDoctor}, Source: erref},
	{ID: "0x80070569", Origin: Windows, Number: 0x80070569, Title: "Logon failure: the user has not been granted the requested logon type at this computer", Texts: []string{"ERROR_LOGON_TYPE_NOT_GRANTED", "Failed to create Planned Virtual Machine at migration destination: Logon failure"},
		Means:  "On the Hyper-V host the virtual machines' own identity lacks the right \"Log on as a service\".",
		Causes: []Cause{because("a group policy took \"Log on as a service\" from NT VIRTUAL MACHINE\\Virtual Machines; gpupdate /force may bring it back for a time. Delegation has no part in it")},
		Run:    []string{"gpresult /h policy.html", "gpupdate /force"}, Source: "Microsoft KB 2779204"},
	{ID: "0x8007052F", Origin: Windows, Number: 0x8007052F, Title: "Account restrictions are preventing this user from signing in (0x8007052F)", Texts: []string{"ERROR_ACCOUNT_RESTRICTION"},
		Means: "A restriction of the account forbids the sign-in.", Causes: []Cause{because("on a Hyper-V host, the same as 0x80070569"), because("the operator's account is disabled or restricted", fault.OperatorDisabled)},
		Run: []string{"gpresult /h policy.html"}, Source: "Microsoft KB 2779204"},
}
