package delegation

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"drover/internal/directory"
	"drover/internal/finding"
	"drover/internal/spn"
)

// Commands writes what cures a finding, in the terms of the directory at hand:
// samba-tool where the controllers are Samba's, PowerShell where they are Windows'.
type Commands struct {
	samba  bool
	server string
}

// CommandsFor the directory that a plan was made from: it goes by Kind and Server.
func CommandsFor(p *Plan) Commands {
	return Commands{p.Kind == string(directory.Samba), p.Server}
}

// typeable says that values can be part of one line.
func typeable(values ...string) bool {
	for _, v := range values {
		if strings.ContainsFunc(v, unicode.IsControl) {
			return false
		}
	}
	return true
}

// memberDN is the option of samba-tool that names a member by distinguished name.
const memberDN = "--member-dn="

// isOption says that samba-tool would take a word for an option. Whoever may create
// accounts chooses their names, and it has options that read and write files.
func isOption(word string) bool { return strings.HasPrefix(word, "-") }

func (c Commands) sambaTool(verb string, words ...string) []finding.Command {
	if !typeable(words...) || slices.ContainsFunc(words, func(w string) bool { return isOption(w) && !strings.HasPrefix(w, memberDN) }) {
		return nil
	}
	line := "samba-tool " + verb + " " + finding.Quote(finding.Shell, words...)
	if c.server != "" {
		line += " -H ldap://" + finding.Quote(finding.Shell, c.server) + " -U Administrator"
	}
	return []finding.Command{{Tool: finding.SambaTool, Line: line}}
}

// powerShell fills the verbs %s of format with quoted words.
func powerShell(format string, words ...string) []finding.Command {
	if !typeable(words...) {
		return nil
	}
	quoted := make([]any, len(words))
	for i, w := range words {
		quoted[i] = finding.Quote(finding.PowerShell, w)
	}
	return []finding.Command{{Tool: finding.PowerShell, Line: fmt.Sprintf(format, quoted...)}}
}

func drover(line string, words ...string) []finding.Command {
	if !typeable(words...) {
		return nil
	}
	return []finding.Command{{Tool: finding.Drover, Line: line + " " + finding.Quote(finding.Shell, words...)}}
}

// values adds stored values to an attribute, or else removes them.
func (c Commands) values(dn, attribute string, add bool, values []string) []finding.Command {
	if !typeable(values...) || !typeable(dn) {
		return nil
	}
	how := "Remove"
	if add {
		how = "Add"
	}
	return []finding.Command{{Tool: finding.PowerShell, Line: fmt.Sprintf("Set-ADObject -Identity %s -%s @{%s=%s}",
		finding.Quote(finding.PowerShell, dn), how, finding.Quote(finding.PowerShell, attribute), finding.Quote(finding.PowerShell, values...))}}
}

// Delegation adds stored values to a host's delegation list, or else removes them.
func (c Commands) Delegation(h Host, add bool, values []string) []finding.Command {
	if !c.samba {
		return c.values(h.DN, directory.AttributeDelegateTo, add, values)
	}
	verb := "delegation del-service"
	if add {
		verb = "delegation add-service"
	}
	var out []finding.Command
	for _, v := range values {
		out = append(out, c.sambaTool(verb, h.Account, v)...)
	}
	return out
}

// Trustee lets an account or a group act at a host, or else no more. Samba (4.17,
// 4.22) refuses the attribute over LDAP to everybody: samba-tool has to work on the
// controller's own database, as root there.
func (c Commands) Trustee(h Host, trustee string, group, add bool) []finding.Command {
	if c.samba {
		c.server = ""
		if add {
			return c.sambaTool("delegation add-principal", h.Account, trustee)
		}
		return c.sambaTool("delegation del-principal", h.Account, trustee)
	}
	get := "Get-ADComputer"
	if group {
		get = "Get-ADGroup"
	}
	// Set-ADComputer replaces the whole list.
	list := "@($c.PrincipalsAllowedToDelegateToAccount | Where-Object { $_ -ne $t })"
	if add {
		list = "(@($c.PrincipalsAllowedToDelegateToAccount) + $t)"
	}
	return powerShell("$t = ("+get+" -Identity %s).DistinguishedName; $c = Get-ADComputer -Identity %s -Properties PrincipalsAllowedToDelegateToAccount; "+
		"Set-ADComputer -Identity $c -PrincipalsAllowedToDelegateToAccount "+list, trustee, h.Account)
}

// Member adds an account, by name or distinguished name, to a group, or else
// removes it.
func (c Commands) Member(group, account string, add bool) []finding.Command {
	switch {
	case c.samba && strings.Contains(account, "="):
		verb := "group removemembers"
		if add {
			verb = "group addmembers"
		}
		return c.sambaTool(verb, group, memberDN+account)
	case c.samba && add:
		return c.sambaTool("group addmembers", group, account)
	case c.samba:
		return c.sambaTool("group removemembers", group, account)
	case add:
		return powerShell("Add-ADGroupMember -Identity %s -Members %s", group, account)
	}
	return powerShell("Remove-ADGroupMember -Identity %s -Members %s -Confirm:$false", group, account)
}

// ServiceNames adds service names to a host, or else removes them.
func (c Commands) ServiceNames(h Host, add bool, values []string) []finding.Command {
	verb := "delete"
	if add {
		verb = "add"
	}
	// drover writes a name and its twin together: asked for the name, it adds the twin
	// that lacks, and cannot delete the twin alone.
	var names []string
	for _, v := range values {
		if plain := spn.Plain(v); !slices.Contains(names, plain) && (add || !spn.IsTwin(v) || slices.Contains(values, plain)) {
			names = append(names, plain)
		}
	}
	var out []finding.Command
	if len(names) > 0 {
		out = drover("drover spn "+verb, append([]string{h.Account}, names...)...)
	}
	if !c.samba {
		return append(out, c.values(h.DN, directory.AttributeServiceNames, add, values)...)
	}
	for _, v := range values {
		out = append(out, c.sambaTool("spn "+verb, v, h.Account)...)
	}
	return out
}

// AnyProtocol sets TRUSTED_TO_AUTH_FOR_DELEGATION, or else clears it.
func (c Commands) AnyProtocol(account string, on bool) []finding.Command {
	return c.flag(account, on, "delegation for-any-protocol", "TrustedToAuthForDelegation")
}

// AnyService sets TRUSTED_FOR_DELEGATION, or else clears it.
func (c Commands) AnyService(account string, on bool) []finding.Command {
	return c.flag(account, on, "delegation for-any-service", "TrustedForDelegation")
}

// Sensitive sets NOT_DELEGATED, or else clears it.
func (c Commands) Sensitive(account string, on bool) []finding.Command {
	return c.flag(account, on, "user sensitive", "AccountNotDelegated")
}

func (c Commands) flag(account string, on bool, verb, parameter string) []finding.Command {
	if c.samba {
		return c.sambaTool(verb, account, map[bool]string{true: "on", false: "off"}[on])
	}
	return powerShell("Set-ADAccountControl -Identity %s -"+parameter+" "+map[bool]string{true: "$true", false: "$false"}[on], account)
}

// Enabled enables an account, or else disables it.
func (c Commands) Enabled(account string, on bool) []finding.Command {
	switch {
	case c.samba && on:
		return c.sambaTool("user enable", account)
	case c.samba:
		return c.sambaTool("user disable", account)
	case on:
		return powerShell("Enable-ADAccount -Identity %s", account)
	}
	return powerShell("Disable-ADAccount -Identity %s", account)
}

// AES adds AES128 and AES256, 24, to the types of msDS-SupportedEncryptionTypes. PowerShell
// leaves nothing else.
func (c Commands) AES(account string, types uint32) []finding.Command {
	if !c.samba {
		return powerShell("Set-ADComputer -Identity %s -KerberosEncryptionType AES128,AES256", account)
	}
	if !typeable(account) {
		return nil
	}
	return []finding.Command{{Tool: finding.Shell, Line: fmt.Sprintf("net ads enctypes set %s %d -U Administrator", finding.Quote(finding.Shell, account), types|directory.EncryptionAES)}}
}

// EncryptionTypes puts msDS-SupportedEncryptionTypes back to what it was.
func (c Commands) EncryptionTypes(h Host, types uint32) []finding.Command {
	switch {
	case !typeable(h.Account, h.DN):
		return nil
	case c.samba && types == 0:
		return []finding.Command{{Tool: finding.Shell, Line: "net ads enctypes delete " + finding.Quote(finding.Shell, h.Account) + " -U Administrator"}}
	case c.samba:
		return []finding.Command{{Tool: finding.Shell, Line: fmt.Sprintf("net ads enctypes set %s %d -U Administrator", finding.Quote(finding.Shell, h.Account), types)}}
	case types == 0:
		return powerShell("Set-ADObject -Identity %s -Clear %s", h.DN, directory.AttributeEncryptionTypes)
	}
	return powerShell(fmt.Sprintf("Set-ADObject -Identity %%s -Replace @{%%s=%d}", types), h.DN, directory.AttributeEncryptionTypes)
}

// planned is Drover's own way: a plan for one direction, which can be looked at,
// and applying it.
func planned(p *Plan, d Direction) []finding.Command {
	line := "drover delegation plan " + finding.Quote(finding.Shell, d.Source, d.Destination, "--one-way", d.String())
	if p.Intent.Model != Constrained {
		line += " --model " + string(p.Intent.Model)
	}
	if p.Intent.Protocol != AnyProtocol {
		line += " --protocol " + string(p.Intent.Protocol)
	}
	if s := strings.Join(p.Intent.Services, ","); s != spn.Migration+","+spn.Storage {
		line += " --services " + finding.Quote(finding.Shell, s)
	}
	if p.Intent.Model == GroupBased && p.Intent.Group != DefaultGroup {
		line += " --group " + finding.Quote(finding.Shell, p.Intent.Group)
	}
	if p.NewGroup != nil && p.Intent.GroupOU != "" {
		line += " --group-ou " + finding.Quote(finding.Shell, p.Intent.GroupOU)
	}
	return []finding.Command{{Tool: finding.Drover, Line: line + " -o json > plan.json"},
		{Tool: finding.Drover, Line: "drover delegation apply plan.json"}}
}
