package audit

import (
	"fmt"
	"strings"
	"unicode"

	"drover/internal/directory"
	"drover/internal/finding"
)

// commands writes what cures a finding, in the terms of the directory at hand:
// samba-tool where the controllers are Samba's, PowerShell where they are Windows'.
type commands struct {
	samba  bool
	server string
}

// typeable leaves out what cannot be part of one line.
func typeable(stored []string) []string {
	var out []string
	for _, v := range stored {
		if !strings.ContainsFunc(v, unicode.IsControl) {
			out = append(out, v)
		}
	}
	return out
}

func (c commands) samTool(verb string, words ...string) finding.Command {
	line := "samba-tool " + verb + " " + finding.Quote(finding.SambaTool, words...)
	if c.server != "" {
		line += " -H ldap://" + finding.Quote(finding.SambaTool, c.server) + " -U Administrator"
	}
	return finding.Command{Tool: finding.SambaTool, Line: line}
}

func powerShell(format string, words ...string) finding.Command {
	quoted := make([]any, len(words))
	for i, w := range words {
		quoted[i] = finding.Quote(finding.PowerShell, w)
	}
	return finding.Command{Tool: finding.PowerShell, Line: fmt.Sprintf(format, quoted...)}
}

func drover(line string, words ...string) finding.Command {
	for _, w := range words {
		line += " " + finding.Quote(finding.Drover, w)
	}
	return finding.Command{Tool: finding.Drover, Line: line}
}

// delegation adds (or else removes) stored values of an account's delegation list.
func (c commands) delegation(a *directory.Account, add bool, stored []string) []finding.Command {
	if stored = typeable(stored); len(stored) == 0 {
		return nil
	}
	if !c.samba {
		return []finding.Command{changeValues(a, add, directory.AttributeDelegateTo, stored)}
	}
	verb := "delegation del-service"
	if add {
		verb = "delegation add-service"
	}
	var out []finding.Command
	for _, v := range stored {
		out = append(out, c.samTool(verb, a.Name, v))
	}
	return out
}

// serviceNames adds (or else removes) stored service names, with Drover and with
// the controller's own tool.
func (c commands) serviceNames(a *directory.Account, add bool, plain string, stored []string) []finding.Command {
	if stored = typeable(stored); len(stored) == 0 {
		return nil
	}
	verb := "delete"
	if add {
		verb = "add"
	}
	out := []finding.Command{drover("drover spn "+verb, a.Name, plain)}
	if !c.samba {
		return append(out, changeValues(a, add, directory.AttributeServiceNames, stored))
	}
	for _, v := range stored {
		out = append(out, c.samTool("spn "+verb, v, a.Name))
	}
	return out
}

func changeValues(a *directory.Account, add bool, attribute string, values []string) finding.Command {
	how := "Remove"
	if add {
		how = "Add"
	}
	return finding.Command{Tool: finding.PowerShell, Line: fmt.Sprintf("Set-ADObject -Identity %s -%s @{%s=%s}",
		finding.Quote(finding.PowerShell, a.DN), how, finding.Quote(finding.PowerShell, attribute), finding.Quote(finding.PowerShell, values...))}
}

// anyService sets (or else clears) TRUSTED_FOR_DELEGATION.
func (c commands) anyService(a *directory.Account, on bool) finding.Command {
	return c.flag(a, on, "delegation for-any-service", "TrustedForDelegation")
}

// sensitive sets (or else clears) NOT_DELEGATED.
func (c commands) sensitive(a *directory.Account, on bool) finding.Command {
	return c.flag(a, on, "user sensitive", "AccountNotDelegated")
}

func (c commands) flag(a *directory.Account, on bool, verb, parameter string) finding.Command {
	if c.samba {
		return c.samTool(verb, a.Name, map[bool]string{true: "on", false: "off"}[on])
	}
	return powerShell("Set-ADAccountControl -Identity %s -"+parameter+" "+map[bool]string{true: "$true", false: "$false"}[on], a.Name)
}

// enabled enables (or else disables) an account.
func (c commands) enabled(a *directory.Account, on bool) finding.Command {
	switch {
	case c.samba && on:
		return c.samTool("user enable", a.Name)
	case c.samba:
		return c.samTool("user disable", a.Name)
	case on:
		return powerShell("Enable-ADAccount -Identity %s", a.Name)
	}
	return powerShell("Disable-ADAccount -Identity %s", a.Name)
}

// member adds (or else removes) an account to a group.
func (c commands) member(group string, a *directory.Account, add bool) finding.Command {
	switch {
	case c.samba && add:
		return c.samTool("group addmembers", group, a.Name)
	case c.samba:
		return c.samTool("group removemembers", group, a.Name)
	case add:
		return powerShell("Add-ADGroupMember -Identity %s -Members %s", group, a.Name)
	}
	return powerShell("Remove-ADGroupMember -Identity %s -Members %s", group, a.Name)
}

// aes sets msDS-SupportedEncryptionTypes to AES128 and AES256, 24.
func (c commands) aes(a *directory.Account) finding.Command {
	if c.samba {
		return finding.Command{Tool: finding.Shell, Line: "net ads enctypes set " + finding.Quote(finding.Shell, a.Name) + " 24 -U Administrator"}
	}
	return powerShell("Set-ADComputer -Identity %s -KerberosEncryptionType AES128,AES256", a.Name)
}
