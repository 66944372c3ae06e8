package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/cmdlet"
)

// cmdletInfo is a cmdlet as `drover cmdlets -o json` lists it.
type cmdletInfo struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
	Short   string   `json:"short"`
	Native  string   `json:"native"`
	// CarriedOut is false for those that only tell what to use in their place.
	CarriedOut bool `json:"carried_out"`
}

func newCmdlets(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "cmdlets", Short: "List the cmdlets of Hyper-V that drover understands, setspn and klist",
		Long: `The command lines by which Hyper-V is administered work after "drover" as well. A
cmdlet does what a verb of drover does; -Verbose tells which. Upper and lower case
are the same, and parameters may be shortened as in PowerShell.

A shell takes some characters for itself, so quote them, or the whole line:

  drover Get-VMHost '|' fl '*Migration*'
  drover 'Get-VMHost | fl *Migration*'
  drover Set-VMHost -UseAnyNetworkForMigration true
  drover 'Set-VMHost -UseAnyNetworkForMigration $true'

After "|" there may be Select-Object, Format-List, Format-Table and ConvertTo-Json.

` + cmdletTable(),
		Example: "  drover cmdlets\n  drover help Move-VM",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			if p.out == table {
				_, err := fmt.Fprint(p.stdout, cmdletTable())
				return err
			}
			var all []cmdletInfo
			for _, c := range cmdlet.All() {
				all = append(all, cmdletInfo{c.Name, c.Aliases, c.Short, c.Native, c.Instead == nil})
			}
			return p.out.write(p.stdout, all)
		},
	}
}

func cmdletTable() string {
	var rows [][]string
	for _, c := range cmdlet.All() {
		native := c.Native
		if c.Instead != nil {
			native = "not carried out; use " + native
		}
		rows = append(rows, []string{c.Name, native})
	}
	var b strings.Builder
	_ = grid(&b, []string{"CMDLET", "VERB OF DROVER"}, rows) // a Builder takes everything
	return b.String()
}

// cmdletHelp is the usage of one cmdlet, in PowerShell's form.
func cmdletHelp(c *cmdlet.Cmdlet) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", c.Short)
	switch {
	case c.Instead != nil:
		fmt.Fprintf(&b, "Use in its place:\n  %s\n", c.Native)
		return b.String()
	case c.Tool != nil:
		fmt.Fprintf(&b, "The same as:\n  %s\n\nExamples:\n", c.Native)
	default:
		fmt.Fprintf(&b, "Usage:\n%s\nThe same as:\n  %s\n\nParameters:\n%s\nExamples:\n", cmdletUsage(c), c.Native, cmdletParameters(c))
	}
	for _, e := range c.Examples {
		if strings.HasPrefix(e, "'") {
			fmt.Fprintf(&b, "  drover %s\n", e)
			continue
		}
		fmt.Fprintf(&b, "  drover %s\n", e)
	}
	b.WriteString("\nOptions of drover, such as -o json, --host and --socket, may follow.\n")
	return b.String()
}

func cmdletUsage(c *cmdlet.Cmdlet) string {
	line := "drover " + c.Name
	for _, p := range c.Parameters {
		if p.Absent != "" {
			continue
		}
		word := "-" + p.Name
		if p.Position > 0 {
			word = "[" + word + "]"
		}
		if v := valueOf(p.Kind); v != "" {
			word += " " + v
		}
		if !p.Required {
			word = "[" + word + "]"
		}
		line += " " + strings.ReplaceAll(word, " ", "\u00a0")
	}
	return strings.ReplaceAll(wrapped(line, "  ", 90), "\u00a0", " ")
}

func valueOf(k cmdlet.Kind) string {
	switch k {
	case cmdlet.Text:
		return "VALUE"
	case cmdlet.List:
		return "A,B"
	case cmdlet.Number:
		return "N"
	case cmdlet.Bool:
		return "true|false"
	}
	return ""
}

func cmdletParameters(c *cmdlet.Cmdlet) string {
	width := 0
	for _, p := range c.Parameters {
		if p.Absent == "" {
			width = max(width, len(p.Name)+1)
		}
	}
	var b strings.Builder
	for _, p := range c.Parameters {
		if p.Absent == "" {
			fmt.Fprintf(&b, "  %-*s  %s\n", width, "-"+p.Name, p.Help)
		}
	}
	return b.String()
}

// completeCmdlets offers cmdlets to who begins one; they are too many to be among the
// verbs.
func completeCmdlets(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var found []string
	for _, c := range cmdlet.All() {
		if len(args) == 0 && typed != "" && len(typed) <= len(c.Name) && strings.EqualFold(c.Name[:len(typed)], typed) {
			found = append(found, c.Name+"\t"+c.Short)
		}
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func completeParameters(c *cmdlet.Cmdlet) cobra.CompletionFunc {
	return func(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		var found []string
		for _, p := range c.Parameters {
			name := "-" + p.Name
			if p.Absent == "" && strings.HasPrefix(typed, "-") && len(typed) <= len(name) && strings.EqualFold(name[:len(typed)], typed) {
				found = append(found, name+"\t"+p.Help)
			}
		}
		return found, cobra.ShellCompDirectiveNoFileComp
	}
}
