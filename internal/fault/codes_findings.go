package fault

// Codes of findings in the directory: what audit, verify and plan see.
const (
	Unconstrained            Code = "unconstrained-delegation"
	DelegationIncomplete     Code = "delegation-incomplete"
	DelegationShortOnly      Code = "delegation-short-names-only"
	DelegationFullOnly       Code = "delegation-full-names-only"
	DelegationExtra          Code = "delegation-extra"
	DelegationStaleName      Code = "delegation-stale-name"
	DelegationWrongObject    Code = "delegation-wrong-object"
	ResourceDelegationAbsent Code = "resource-delegation-missing"
	TransitionMissing        Code = "protocol-transition-missing"
	TransitionExtra          Code = "protocol-transition-extra"
	ServiceNameMissing       Code = "service-name-missing"
	ServiceNameMisplaced     Code = "service-name-misplaced"
	ServiceNameDuplicate     Code = "service-name-duplicate"
	HostWithoutAES           Code = "host-without-aes"
	OperatorDisabled         Code = "operator-disabled"
	OperatorNotInDirectory   Code = "operator-not-in-directory"
	OperatorHidden           Code = "operator-flags-hidden"
	NotChecked               Code = "not-checked"
)

var findingCodes = []Entry{
	{Unconstrained, ClassRefused, 0, "Unconstrained delegation",
		"{account} is trusted for delegation to any service (TRUSTED_FOR_DELEGATION): whoever controls it can act as everybody who signs in to it",
		"\"Trust this computer for delegation to any service\" is not \"use Kerberos only\", although it is often mistaken for it: the account receives whole ticket-granting tickets.",
		"take it away: `Set-ADAccountControl -Identity '{account}' -TrustedForDelegation $false`, or on Samba `samba-tool delegation for-any-service '{account}' off`"},
	{DelegationIncomplete, ClassRefused, 0, "Delegation list lacks values",
		"{source} may not act for operators at {destination}: {attribute} of {account} lacks \"{values}\"",
		"The source acts for the operator at the destination under each of these names. Without one of them the controller refuses the ticket, and Windows shows 0x8009030E.",
		"add what lacks: `drover delegation plan {source} {destination} --one-way {source}:{destination} --out plan.json`, then `drover delegation apply plan.json`"},
	{DelegationShortOnly, ClassRefused, 0, "Only short names in the delegation list",
		"{source} may act at {destination} under its short name only: {attribute} of {account} lacks the full names \"{values}\"",
		"Which name is used depends on how the operator wrote the destination, so that moves work from one console and fail from another.",
		"add the full names: `drover delegation plan {source} {destination} --one-way {source}:{destination} --out plan.json`, then `drover delegation apply plan.json`"},
	{DelegationFullOnly, ClassRefused, 0, "Only full names in the delegation list",
		"{source} may act at {destination} under its full name only: {attribute} of {account} lacks the short names \"{values}\"",
		"Which name is used depends on how the operator wrote the destination, so that moves work from one console and fail from another.",
		"add the short names: `drover delegation plan {source} {destination} --one-way {source}:{destination} --out plan.json`, then `drover delegation apply plan.json`"},
	{DelegationExtra, ClassRefused, 0, "Delegation that nobody asked for",
		"{account} may act for operators at services that it need not: {attribute} has \"{values}\"",
		"Each value lets the account, and whoever controls it, act as any operator at that service.",
		"remove what is not wanted: `drover delegation plan HOST... --prune --out plan.json`, then `drover delegation apply plan.json`"},
	{DelegationStaleName, ClassRefused, 0, "Delegation to a name that is gone",
		"{attribute} of {account} has \"{values}\", which no account carries",
		"The host was renamed or removed. Whoever registers the name next can be acted at.",
		"remove it: `drover delegation plan HOST... --prune --out plan.json`, then `drover delegation apply plan.json`"},
	{DelegationWrongObject, ClassRefused, 0, "Delegation on the wrong object",
		"the delegation list is on {object}, which is no host: {attribute} has \"{values}\"",
		"The list belongs on the computer account of the source. On a user account, or on a group, it has no effect for hosts.",
		"put it where it belongs, `drover delegation plan HOST...`, and take it away there: `Set-ADObject '{object}' -Remove`, `samba-tool delegation del-service`"},
	{ResourceDelegationAbsent, ClassRefused, 0, "Destination does not allow the source",
		"{source} may not act for operators at {destination}: {attribute} of {account} does not allow \"{values}\"",
		"With resource-based delegation the destination's account lists who may act at it, by itself or through a group.",
		"add it: `drover delegation plan HOST... --model resource-based --out plan.json` (or --model group), then `drover delegation apply plan.json` (with Samba as root on the controller, with --ldapi)"},
	{TransitionMissing, ClassRefused, 0, "Protocol transition is not allowed",
		"{account} may act only for operators who signed in by Kerberos: userAccountControl lacks TRUSTED_TO_AUTH_FOR_DELEGATION",
		"\"Use Kerberos only\" is set, or nothing. Operators who come another way, such as by the local socket, cannot be delegated.",
		"set \"use any authentication protocol\": `drover delegation plan HOST... --protocol any --out plan.json`, then `drover delegation apply plan.json`"},
	{TransitionExtra, ClassRefused, 0, "Protocol transition that nobody asked for",
		"{account} may act for any operator who never signed in to it (TRUSTED_TO_AUTH_FOR_DELEGATION)",
		"\"Use any authentication protocol\" is set where the policy says Kerberos only.",
		"take it away: `drover delegation plan HOST... --protocol kerberos --prune --out plan.json`, then `drover delegation apply plan.json`"},
	{ServiceNameMissing, ClassRefused, 0, "Service name is missing",
		"no account carries \"{values}\", so nobody gets a ticket for {destination} under it",
		"Hosts register the names under which they are moved to. On a Windows host the service does so when it starts; a Linux host is enrolled.",
		"on the host `drover host enroll`, or as an administrator `drover spn add {destination}`"},
	{ServiceNameMisplaced, ClassRefused, 0, "Service name is on the wrong account",
		"\"{values}\" belongs to {destination} and is on {object}",
		"Tickets for the name are encrypted for the account that carries it, so that the host cannot read them.",
		"move it: `drover spn delete '{object}' '{values}'`, then `drover spn add {destination} '{values}'`"},
	{ServiceNameDuplicate, ClassRefused, 0, "Service name is there twice",
		"\"{values}\" is on several accounts: {objects}",
		"The controller issues no ticket for a name that is on more than one account, disabled ones included.",
		"take it from the accounts where it does not belong: `drover spn delete ACCOUNT '{values}'`"},
	{HostWithoutAES, ClassRefused, 0, "Host's account allows no AES",
		"msDS-SupportedEncryptionTypes of {account} names no AES type ({values})",
		"Without it controllers issue RC4 tickets, which Drover does not accept and newer controllers refuse.",
		"set it: `drover host enroll` on the host, or `Set-ADComputer '{account}' -KerberosEncryptionType AES128,AES256`"},
	{OperatorDisabled, ClassRefused, 0, "Operator's account is disabled",
		"the operator account {object} is disabled",
		"A disabled operator cannot sign in, and no host gets a ticket in the operator's name.",
		"enable it or take it off the policy; `drover delegation audit --policy FILE` looks again"},
	{OperatorNotInDirectory, ClassNotFound, 0, "Operator of the policy is not in the directory",
		"the directory of {domain} has neither a user nor a group {name}",
		"The account or group was deleted or renamed, or is misspelt in the policy. Nothing can be said about who it stood for.",
		"look for it with `samba-tool user list` or Get-ADUser, and correct `operators` in the policy"},
	{OperatorHidden, ClassUnknown, 0, "Operator's flags may not be read",
		"userAccountControl of the operator {object} may not be read, so whether the account is disabled or sensitive is not known",
		"A hardened directory does not show everybody the flags of users.",
		"look as somebody who may read them: `drover delegation audit --policy FILE --simple-bind USER`, or with that user's ticket"},
	{NotChecked, ClassUnknown, 0, "Not checked",
		"{source} to {destination} was not tried: {reason}",
		"Only the source can ask for a ticket in an operator's name: its agent must answer, or its key must be in the keytab.",
		"start droverd on the source and sign in (`kinit`) as somebody it takes as operator, for --operator as administrator; or give the source's key with `drover delegation verify --keytab FILE`"},
}
