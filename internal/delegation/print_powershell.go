package delegation

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"drover/internal/directory"
)

// editTrustees is the function that the script needs to change a security
// descriptor: Set-ADComputer -PrincipalsAllowedToDelegateToAccount would replace it.
//
//go:embed print_trustees.ps1
var editTrustees string

// powerShell writes for Windows PowerShell 5.1 or later with the module
// ActiveDirectory. All of it is ASCII.
func (p *Plan) powerShell() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	for _, l := range p.header() {
		line("# %s", ascii(l))
	}
	line("# run: powershell -File FILE, where the module ActiveDirectory is installed")
	line("$ErrorActionPreference = 'Stop'")
	line("Import-Module ActiveDirectory")
	line("$server = %s", powerShellWords(p.Server))
	if slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Attribute == directory.AttributeActOnBehalf }) {
		line("\n%s", strings.TrimSpace(editTrustees))
	}
	if g := p.NewGroup; g != nil {
		name, parent := splitDN(g.DN)
		line("\nNew-ADGroup -Server $server -Name %s -SamAccountName %s -Path %s -GroupScope Global -GroupCategory Security%s",
			powerShellWords(name), powerShellWords(g.Name), powerShellWords(parent), description(*g))
		line("$group = Get-ADGroup -Server $server -Identity %s", powerShellWords(g.DN))
		if len(g.Members) > 0 {
			line("Add-ADGroupMember -Server $server -Identity $group -Members %s", powerShellWords(g.Members...))
		}
	}
	for _, changes := range p.byObject() {
		line("\n# %s", ascii(changes[0].Account))
		for _, c := range changes {
			b.WriteString(c.powerShell())
		}
	}
	return b.String()
}

// ascii is for comments.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r > 126 {
			return '?'
		}
		return r
	}, s)
}

func description(g directory.NewGroup) string {
	if g.Description == "" {
		return ""
	}
	return " -Description " + powerShellWords(g.Description)
}

func (c Change) powerShell() string {
	var b strings.Builder
	dn := powerShellWords(c.DN)
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch c.Attribute {
	case "":
		line("Remove-ADObject -Server $server -Identity %s -Confirm:$false", dn)
	case directory.AttributeDelegateTo:
		for _, part := range []struct {
			verb   string
			values []string
		}{{"Remove", c.Delete}, {"Add", c.Add}} {
			if len(part.values) > 0 {
				line("Set-ADObject -Server $server -Identity %s -%s @{%s=@(%s)}", dn, part.verb, powerShellWords(c.Attribute), powerShellWords(part.values...))
			}
		}
	case directory.AttributeFlags:
		for _, f := range powerShellFlags {
			switch {
			case slices.Contains(c.Add, f.flag):
				line("Set-ADAccountControl -Server $server -Identity %s -%s $true", dn, f.parameter)
			case slices.Contains(c.Delete, f.flag):
				line("Set-ADAccountControl -Server $server -Identity %s -%s $false", dn, f.parameter)
			}
		}
	case directory.AttributeMember:
		if len(c.Delete) > 0 {
			line("Remove-ADGroupMember -Server $server -Identity %s -Members %s -Confirm:$false", dn, powerShellWords(c.Delete...))
		}
		if len(c.Add) > 0 {
			line("Add-ADGroupMember -Server $server -Identity %s -Members %s", dn, powerShellWords(c.Add...))
		}
	case directory.AttributeActOnBehalf:
		switch {
		case c.Remove:
			line("Set-ADObject -Server $server -Identity %s -Clear %s", dn, powerShellWords(c.Attribute))
		case c.Raw != nil:
			line("Set-Descriptor %s ([Convert]::FromBase64String('%s'))", dn, base64.StdEncoding.EncodeToString(c.Raw))
		default:
			line("Edit-Trustees %s -Add @(%s) -Remove @(%s)", dn, powerShellTrustees(c.Add), powerShellTrustees(c.Delete))
		}
	}
	return b.String()
}

var powerShellFlags = []struct{ flag, parameter string }{
	{TrustedToAuth, "TrustedToAuthForDelegation"},
	{"TRUSTED_FOR_DELEGATION", "TrustedForDelegation"},
	{"NOT_DELEGATED", "AccountNotDelegated"},
}

func powerShellTrustees(trustees []string) string {
	var out []string
	for _, t := range trustees {
		if t == GroupTrustee {
			out = append(out, "$group.SID.Value")
		} else {
			out = append(out, powerShellWords(t))
		}
	}
	return strings.Join(out, ",")
}
