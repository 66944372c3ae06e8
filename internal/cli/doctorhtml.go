package cli

import (
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"

	"drover/internal/doctor"
	"drover/internal/finding"
)

//go:embed report.html
var reportPage string

var reportTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"moment": moment, "origin": func(o *doctor.Origin) string { return clean(originText(o)) },
	"onHosts": func(vm *doctor.VM) string { return clean(onHosts(vm)) }, "canMove": func(m doctor.Move) string { return clean(canMove(m)) }, "plan": planText, "clean": clean,
	"evidence": evidenceText, "tool": toolName, "parts": hintParts, "byTool": joined,
	"add":  func(i int) int { return i + 1 },
	"join": func(s []string) string { return strings.Join(s, ", ") },
}).Parse(reportPage))

// toolName is what a command is for, for people.
func toolName(t finding.Tool) string {
	switch t {
	case finding.Drover:
		return "Drover"
	case finding.PowerShell:
		return "PowerShell"
	case finding.LDIF:
		return "LDIF, for ldapmodify or ldifde"
	case finding.Shell:
		return "shell"
	}
	return string(t)
}

// hintPart is a part of a hint: text, or what was between backticks.
type hintPart struct {
	Text string
	Code bool
}

func hintParts(hint string) (out []hintPart) {
	for i, s := range strings.Split(hint, "`") {
		if s != "" {
			out = append(out, hintPart{s, i%2 == 1})
		}
	}
	return out
}

// joined are the lines of each tool in one piece.
func joined(cs []finding.Command) (out []finding.Command) {
	for _, c := range byTool(cs) {
		c.Line = strings.TrimRight(c.Line, "\n")
		n := len(out) - 1
		if n < 0 || out[n].Tool != c.Tool {
			out = append(out, c)
			continue
		}
		if c.Tool == finding.LDIF {
			out[n].Line += "\n" // an empty line ends a record
		}
		out[n].Line += "\n" + c.Line
	}
	return out
}

// page is what the template of the report is filled with.
type page struct {
	Title, Head, Foot   string
	Report              *doctor.Report
	Checked, NotChecked []*group
}

// writeHTML writes the report as one page that needs nothing else: no script, no
// other file and no network.
func writeHTML(w io.Writer, r *doctor.Report) error {
	p := page{Title: "Live migration: what the doctor found", Head: clean(reportHead(r)), Foot: clean(reportFoot(r)), Report: visibleReport(r),
		Checked: alike(visibleChecks(r.Checked)), NotChecked: alike(visibleChecks(r.NotChecked))}
	return reportTemplate.Execute(w, p)
}

// visibleReport makes control characters of names visible, those that reorder text
// among them: a command of the page is there to be copied.
func visibleReport(r *doctor.Report) *doctor.Report {
	c := *r
	c.Causes = slices.Clone(r.Causes)
	for i := range c.Causes {
		visibleFinding(&c.Causes[i].Finding)
		c.Causes[i].Consequences = slices.Clone(c.Causes[i].Consequences)
		for j := range c.Causes[i].Consequences {
			visibleFinding(&c.Causes[i].Consequences[j])
		}
		c.Causes[i].Directions = slices.Clone(c.Causes[i].Directions)
		for j := range c.Causes[i].Directions {
			d := &c.Causes[i].Directions[j]
			d.Source, d.Destination = clean(d.Source), clean(d.Destination)
		}
	}
	return &c
}

func visibleFinding(f *finding.Finding) {
	for _, s := range []*string{&f.Object, &f.DN, &f.Attribute, &f.Message, &f.Hint, &f.Why, &f.Evidence, &f.ReadFrom, &f.Effect} {
		*s = clean(*s)
	}
	f.Values = slices.Clone(f.Values)
	for i := range f.Values {
		f.Values[i] = clean(f.Values[i])
	}
	f.Fix, f.Undo = visibleLines(f.Fix), visibleLines(f.Undo)
}

func visibleChecks(cs []doctor.Check) []doctor.Check {
	out := slices.Clone(cs)
	for i := range out {
		out[i].What, out[i].Object, out[i].Reason = clean(out[i].What), clean(out[i].Object), clean(out[i].Reason)
	}
	return out
}

func visibleLines(cs []finding.Command) []finding.Command {
	out := slices.Clone(cs)
	for i := range out {
		var lines []string
		for line := range strings.SplitSeq(out[i].Line, "\n") {
			lines = append(lines, clean(line))
		}
		out[i].Line = strings.Join(lines, "\n")
	}
	return out
}
