package fault

// Codes of the directory: reaching it, planning, applying and undoing changes.
const (
	DirectoryUnreachable  Code = "directory-unreachable"
	DirectorySignIn       Code = "directory-sign-in-refused"
	DirectoryAccessDenied Code = "directory-access-denied"
	DirectoryChanged      Code = "directory-changed"
	DirectoryObjectGone   Code = "directory-object-gone"
	DirectoryLimit        Code = "directory-limit"
	DirectoryFailed       Code = "directory-failed"

	HostNotInDirectory  Code = "host-not-in-directory"
	HostNameIsAddress   Code = "host-name-is-address"
	HostIsUser          Code = "host-is-user"
	HostIsCluster       Code = "host-is-cluster"
	HostNameAmbiguous   Code = "host-name-ambiguous"
	HostAccountDisabled Code = "host-account-disabled"

	DelegationTooLarge    Code = "delegation-too-large"
	DelegationModel       Code = "delegation-model-unavailable"
	DelegationCrossDomain Code = "delegation-cross-domain"

	PlanMalformed     Code = "plan-malformed"
	PlanStale         Code = "plan-stale"
	PlanOtherDomain   Code = "plan-other-domain"
	PlanPartlyApplied Code = "plan-partly-applied"
	PlanNotPrintable  Code = "plan-not-printable"

	BaselineMalformed   Code = "baseline-malformed"
	BaselineOtherDomain Code = "baseline-other-domain"
	BaselineNotWritten  Code = "baseline-not-written"
	PolicyMalformed     Code = "policy-malformed"

	ServiceNameMalformed Code = "service-name-malformed"
	ServiceNameTaken     Code = "service-name-taken"

	HostWithoutDNSName         Code = "host-without-dns-name"
	ResourceDelegationUnusable Code = "resource-delegation-unusable"
)

var directoryCodes = []Entry{
	{DirectoryUnreachable, ClassUnavailable, 0, "No domain controller answers over LDAP",
		"no domain controller of {domain} answers over LDAP: {reason}",
		"Controllers are found through the DNS record _ldap._tcp.dc._msdcs.DOMAIN, or named by --server, and asked on port 389 (636 with --ldaps).",
		"test it: `dig _ldap._tcp.dc._msdcs.{domain} SRV`, `nc -vz CONTROLLER 389` (636 with --ldaps), or name one with --server; --ca-file names the authority of a certificate that is not trusted"},
	{DirectorySignIn, ClassAuth, 0, "The directory refused the sign-in",
		"{server} refused the sign-in of {principal}: {reason}",
		"The controller did not take the ticket or the password, or demands more protection of the connection than was offered.",
		"see who you are with `klist`; the default, Kerberos with a sealed connection on port 389, is what controllers accept"},
	{DirectoryAccessDenied, ClassAuth, 0, "No right to change the directory",
		"{principal} may not write {attribute} of {object}; {writers}",
		"Delegation is changed by domain administrators, or by whoever was given the right on the object; on Windows it also takes the privilege SeEnableDelegationPrivilege. A host may write its own service names, and nothing of its own delegation.",
		"run it as somebody who may, or hand over the script of `drover delegation apply PLAN --print powershell`"},
	{DirectoryChanged, ClassRefused, 0, "The directory changed meanwhile",
		"{attribute} of {object} is no longer what was read: {reason}",
		"Somebody else changed the attribute between the reading and the writing. Nothing of this object was changed.",
		"look again: `drover delegation plan`"},
	{DirectoryObjectGone, ClassNotFound, 0, "Object is not in the directory",
		"the directory has no object {object}",
		"It was deleted or renamed, or it belongs to another domain.",
		"look again: `drover delegation plan`"},
	{DirectoryLimit, ClassRefused, 0, "Attribute is full",
		"{attribute} of {object} holds no more values",
		"An unlinked attribute holds roughly 1,200 values.",
		"use one group in place of lists: `drover delegation plan --model group`"},
	{DirectoryFailed, ClassRefused, 0, "The directory refused",
		"{server} refused the request for {object}: {reason}",
		"The controller answered with an error that has no code of its own here.",
		"look the LDAP result up, and see the controller's log: `journalctl -u samba-ad-dc`, Event Viewer"},

	{HostNotInDirectory, ClassNotFound, 0, "Host is not in the directory",
		"the directory of {domain} has no computer account for {name}",
		"The host is not joined to this domain, or its account has another name.",
		"list accounts with `drover spn find '*/{name}*'`; join the host with `realm join`"},
	{HostNameIsAddress, ClassUsage, 0, "An address is no name",
		"{name} is an address; the directory knows hosts by name",
		"Kerberos tickets are for names. A ticket for an address does not exist unless somebody registered one.",
		"give the host's name, such as HV01; `getent hosts {name}` may know it"},
	{HostIsUser, ClassUsage, 0, "That is a user, not a host",
		"{name} is the user account {object}, not a computer's",
		"Delegation belongs on the computer account of the source. On a user account it has no effect for hosts.",
		"name the computer account, such as HV01; `drover spn find '*/{name}*'` shows what has the name"},
	{HostIsCluster, ClassUsage, 0, "That is a cluster's name, not a host",
		"{name} is the account {object} of a cluster or a cluster service, which has no hypervisor of its own",
		"Failover clusters have accounts for their names beside those of their nodes. Delegation is between nodes.",
		"name the nodes; on one of them `Get-ClusterNode` lists them"},
	{HostNameAmbiguous, ClassUsage, 0, "Name stands for several accounts",
		"{name} stands for several accounts: {objects}",
		"A short name can be in use in more than one domain, or a DNS name on more than one account.",
		"give the distinguished name of the one that is meant; `drover spn duplicates` shows names that are there twice"},
	{HostAccountDisabled, ClassRefused, 0, "Host's account is disabled",
		"the account {object} of {name} is disabled",
		"A disabled account gets no tickets and none are issued for it, so that nothing can be delegated from it or to it.",
		"enable it (`samba-tool user enable '{object}'`, Enable-ADAccount) or leave it out"},

	{DelegationTooLarge, ClassRefused, 0, "Too many hosts for lists",
		"{attribute} of {object} would hold {values} values; it holds roughly {limit}, so a full mesh of {hosts} hosts cannot be stored this way",
		"Constrained delegation takes several values per destination on every source (short and full name of each service). An unlinked attribute holds roughly 1,200 values, which is reached at about 300 hosts; a resource-based list is a security descriptor of at most 64 KiB.",
		"use one group that holds the hosts: `drover delegation plan --model group`"},
	{DelegationModel, ClassRefused, 0, "The controller does not take this model over the network",
		"{server} does not take --model {model} this way: {reason}",
		"Resource-based delegation needs Windows Server 2012 or Samba 4.19. Samba lets only programs on the controller itself change the attribute.",
		"as root on the controller: `drover delegation apply PLAN --ldapi`; or use --model constrained"},
	{DelegationCrossDomain, ClassRefused, 0, "Constrained delegation ends at the domain",
		"{source} and {destination} belong to different domains; constrained delegation does not reach across",
		"A list on the source's account works only towards services of the same domain (MS-SFU 3.2.5.2). Resource-based delegation reaches across between Hyper-V hosts; Drover's own moves stay within a domain.",
		"for Hyper-V hosts use `drover delegation plan --model resource-based`"},

	{PlanMalformed, ClassUsage, 0, "Not a plan",
		"{name} is not a plan: {reason}",
		"A plan is the JSON that `drover delegation plan -o json` prints.",
		"make a new one: `drover delegation plan HOST... -o json > plan.json`"},
	{PlanStale, ClassRefused, 0, "Plan is out of date",
		"{attribute} of {object} has changed since the plan was made",
		"Somebody changed the attribute after the plan was read and before it was applied. Nothing of this object was changed.",
		"make a new plan and look at it: `drover delegation plan`"},
	{PlanOtherDomain, ClassRefused, 0, "Plan is for another domain",
		"the plan is for {domain} ({want}), and {server} is a controller of {have}",
		"Plans and baselines name objects of the domain that they were made from.",
		"name a controller of that domain: `drover delegation apply PLAN --server CONTROLLER`"},
	{PlanPartlyApplied, ClassRefused, 0, "Plan was applied in part",
		"{done} of {total} accounts are as planned; {failed} failed, {left} were not tried",
		"Each account is changed by itself, so that one failure does not stop the others. What was done and what was not is listed above.",
		"cure the cause and apply again, which does the rest only; or go back with `drover delegation rollback {baseline}`"},
	{PlanNotPrintable, ClassRefused, 0, "Plan cannot be written in this form",
		"the plan cannot be written as {script}: {reason}",
		"LDIF has no way to name the security identifier of a group that does not exist yet, and samba-tool no way to write some attributes.",
		"print it as another script, for example `drover delegation apply PLAN --print powershell`"},

	{BaselineMalformed, ClassUsage, 0, "Not a baseline",
		"{name} is not a baseline of Drover: {reason}",
		"A baseline is the LDIF that `drover delegation apply` writes before it changes anything.",
		"give the file that `drover delegation apply` named at its end; without --baseline it lies in ~/.local/state/drover"},
	{BaselineOtherDomain, ClassRefused, 0, "Baseline of another domain",
		"the baseline was taken from {domain} ({want}), and {server} is a controller of {have}",
		"Values of one domain have no meaning in another.",
		"name a controller of that domain: `drover delegation rollback BASELINE --server CONTROLLER`"},
	{BaselineNotWritten, ClassRefused, 0, "No baseline, no change",
		"the old values could not be saved in {path}, so nothing was changed",
		"Nothing is changed before the values to go back to are safe on disk.",
		"name a new file in a directory that can be written: `drover delegation apply PLAN --baseline FILE`"},
	{PolicyMalformed, ClassUsage, 0, "Not a policy",
		"{name} is not a policy: {reason}",
		"A policy is a YAML file that says which hosts may delegate to which, and what else is allowed (docs/directory.md).",
		"start from dist/policy.yaml, whose keys docs/directory.md explains, and check it with `drover delegation audit --policy FILE`"},

	{ServiceNameMalformed, ClassUsage, 0, "Not a service name",
		"{name} is not a service name",
		"Service principal names are CLASS/HOST or CLASS/HOST/INSTANCE; blanks are allowed, addresses and escapes are not.",
		"write it like `cifs/hv01.example.org`"},
	{ServiceNameTaken, ClassRefused, 0, "Service name belongs to another account",
		"{name} is on {owner} already",
		"A service name must be on one account only; with two, the controller issues no ticket for it at all.",
		"take it from the other account first, if it does not belong there: `drover spn delete '{account}' '{name}'`"},

	{HostWithoutDNSName, ClassRefused, 0, "Host's account has no DNS name",
		"{account} has no dNSHostName, so only its short names can be listed",
		"Joining writes the attribute. Without it nobody knows the host's full name, and operators who use it are refused.",
		"set it: `Set-ADComputer '{account}' -DNSHostName NAME.DOMAIN`, or join the host again with `realm join`"},
	{ResourceDelegationUnusable, ClassRefused, 0, "Security descriptor cannot be added to",
		"{attribute} of {account} is left as it is: {reason}",
		"The value is no security descriptor, or one of its entries denies an account what the plan would allow. Drover takes no entry away that it does not know.",
		"look at it: `Get-ADComputer '{account}' -Properties PrincipalsAllowedToDelegateToAccount`, or on Samba `samba-tool delegation show '{account}'`"},
}
