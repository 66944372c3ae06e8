package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"drover/internal/doctor"
	"drover/internal/finding"
)

// inFull is how many causes are shown with everything; -o json and --report have all.
const inFull = 8

// printReport shows what the doctor found: causes with all that cures them, their
// consequences beneath, and what was not looked at.
func printReport(w io.Writer, r *doctor.Report, width int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", clean(reportHead(r)))
	if r.Origin != nil {
		b.WriteString(wrapped(clean(originText(r.Origin)), "", width))
	}
	for i, c := range r.Causes {
		writeCause(&b, i+1, c, width, i < inFull)
	}
	if r.Origin != nil && len(r.Causes) == 0 {
		b.WriteString("\n")
		writeLabel(&b, "to do", originAdvice(r.Origin), width)
	}
	writeVM(&b, r.VM, width)
	writeNotChecked(&b, r.NotChecked, width)
	fmt.Fprintf(&b, "\n%s\n", clean(reportFoot(r)))
	_, err := io.WriteString(w, b.String())
	return err
}

// reportHead says what was looked at, from where and as whom.
func reportHead(r *doctor.Report) string {
	head := "Looked at " + some(r.Hosts)
	if len(r.Hosts) == 0 {
		head = "Looked at no host"
	}
	if r.Machine != "" {
		head += " from " + r.Machine
	}
	if r.Operator != "" {
		head += ", for " + r.Operator
	}
	if r.Server != "" {
		head += ", asking " + r.Server
	}
	return head
}

// reportFoot sums up. Nothing found is not the same as all well.
func reportFoot(r *doctor.Report) string {
	n := map[finding.Severity]int{}
	for _, f := range r.Findings() {
		n[f.Severity]++
	}
	foot := "nothing found"
	if len(r.Causes) > 0 {
		foot = summaryText(n)
		if more := len(r.Findings()) - len(r.Causes); more > 0 {
			foot += ", " + count(len(r.Causes), "cause")
		}
	}
	foot += fmt.Sprintf("; %s in %.1f s", count(len(r.Checked), "check"), r.Seconds)
	if n := len(r.NotChecked); n > 0 {
		foot += fmt.Sprintf(", %d not made", n)
	}
	return foot
}

// labelWidth is that of the longest name of a line of a finding.
const labelWidth = 10

// writeLabel writes one named line of a finding, wrapped.
func writeLabel(b *strings.Builder, label, text string, width int) {
	if text == "" {
		return
	}
	indent := strings.Repeat(" ", labelWidth+4)
	b.WriteString("  " + label + strings.Repeat(" ", labelWidth+2-len(label)) + strings.TrimPrefix(wrapped(clean(text), indent, width), indent))
}

func writeCause(b *strings.Builder, n int, c doctor.Cause, width int, full bool) {
	title := fmt.Sprintf("%d. %s: ", n, c.Severity)
	b.WriteString("\n" + listedAt(title, clean(c.Message), width))
	if len(c.Directions) > 1 {
		writeLabel(b, "concerns", directionsText(c), width)
	}
	if full {
		writeLabel(b, "why", c.Why, width)
		writeLabel(b, "object", objectText(c.Finding), width)
		writeLabel(b, "evidence", evidenceText(c.Finding), width)
		writeCommands(b, "fix", c.Fix)
		if len(c.Fix) == 0 {
			writeLabel(b, "to do", c.Hint, width)
		}
		writeCommands(b, "undo", c.Undo)
		writeLabel(b, "effect", c.Effect, width)
	} else {
		writeLabel(b, "evidence", evidenceText(c.Finding), width)
		writeCommands(b, "fix", firstTool(c.Fix))
	}
	writeLabel(b, "code", fmt.Sprintf("%s (%s)", c.Code, c.Page), width)
	if len(c.Consequences) > 0 {
		writeLabel(b, "explains", count(len(c.Consequences), "more finding"), width)
		for _, f := range c.Consequences {
			b.WriteString(listedAt("    - ", fmt.Sprintf("%s: %s (%s)", f.Severity, clean(f.Message), f.Code), width))
		}
	}
}

// listedAt is text with a mark before its first line.
func listedAt(mark, text string, width int) string {
	indent := strings.Repeat(" ", len(mark))
	return mark + strings.TrimPrefix(wrapped(text, indent, width), indent)
}

// firstTool are the commands of the tool that comes first.
func firstTool(cs []finding.Command) []finding.Command {
	cs = byTool(cs)
	i := slices.IndexFunc(cs, func(c finding.Command) bool { return c.Tool != cs[0].Tool })
	if i < 0 {
		return cs
	}
	return cs[:i]
}

func directionsText(c doctor.Cause) string {
	var out []string
	for _, d := range c.Directions {
		out = append(out, d.String())
	}
	return some(out)
}

// objectText is the object with its distinguished name, and the attribute.
func objectText(f finding.Finding) string {
	out := f.Object
	if f.DN != "" && f.DN != f.Object {
		out += " (" + f.DN + ")"
	}
	if f.Attribute != "" {
		out += ", attribute " + f.Attribute
	}
	return out
}

// evidenceText is what was read, where and when.
func evidenceText(f finding.Finding) string {
	out := f.Evidence
	if f.ReadFrom != "" {
		out += " (" + f.ReadFrom
		if !f.ReadAt.IsZero() {
			out += ", " + moment(f.ReadAt)
		}
		out += ")"
	}
	return strings.TrimSpace(out)
}

// byTool puts the commands of each tool together, in their order: they are one way to
// do it, and those of another tool another.
func byTool(cs []finding.Command) []finding.Command {
	out := slices.Clone(cs)
	first := func(t finding.Tool) int {
		return slices.IndexFunc(cs, func(c finding.Command) bool { return c.Tool == t })
	}
	slices.SortStableFunc(out, func(a, b finding.Command) int { return cmp.Compare(first(a.Tool), first(b.Tool)) })
	return out
}

// mostLines is how many commands of one tool are shown for a finding.
const mostLines = 6

// writeCommands shows what to type. Commands are not wrapped, because they are there
// to be copied; LDIF begins at the left edge, because a blank there continues a line.
func writeCommands(b *strings.Builder, label string, commands []finding.Command) {
	commands = byTool(commands)
	lines := 0 // of this tool
	for i, c := range commands {
		name := label
		if i == 0 || commands[i-1].Tool != c.Tool {
			lines = 0
		}
		switch {
		case i > 0 && commands[i-1].Tool == c.Tool:
			name = ""
		case i > 0:
			name = "or"
		}
		if lines++; lines > mostLines {
			if lines == mostLines+1 {
				fmt.Fprintf(b, "  %-*s and more, which -o json and --report show\n", labelWidth+1, "")
			}
			continue
		}
		if c.Tool == finding.LDIF {
			fmt.Fprintf(b, "  %-*s as LDIF, for ldapmodify or ldifde:\n", labelWidth+1, name)
			for line := range strings.SplitSeq(strings.TrimRight(c.Line, "\n"), "\n") {
				fmt.Fprintf(b, "%s\n", clean(line))
			}
			b.WriteString("\n")
			continue
		}
		fmt.Fprintf(b, "  %-*s %s\n", labelWidth+1, name, oneCell(c.Line))
	}
}

// writeNotChecked lists what could not be looked at, alike ones together.
func writeNotChecked(b *strings.Builder, checks []doctor.Check, width int) {
	if len(checks) == 0 {
		return
	}
	b.WriteString("\nNot checked, which says nothing about whether it is right:\n")
	for _, g := range alike(checks) {
		text := g.What
		if len(g.Objects) > 0 {
			text += " of " + some(g.Objects)
		}
		if g.Reason != "" {
			text += ": " + g.Reason
		}
		b.WriteString(listedAt("  - ", clean(text), width))
	}
}

// group is what could not be looked at for one reason.
type group struct {
	doctor.Check
	Objects []string
}

// alike puts together checks that differ in their object only.
func alike(checks []doctor.Check) []*group {
	var out []*group
	for _, c := range checks {
		i := slices.IndexFunc(out, func(g *group) bool { return g.Area == c.Area && g.What == c.What && g.Reason == c.Reason })
		if i < 0 {
			i = len(out)
			out = append(out, &group{Check: c})
		}
		if c.Object != "" && !slices.Contains(out[i].Objects, c.Object) {
			out[i].Objects = append(out[i].Objects, c.Object)
		}
	}
	return out
}
