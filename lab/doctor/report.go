package doctor

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"drover/internal/finding"
)

// WriteReport writes what Run has found as a page of Markdown.
func WriteReport(in, out string) error {
	raw, err := os.ReadFile(in)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	m := new(Matrix)
	if err := json.Unmarshal(raw, m); err != nil {
		return fmt.Errorf("report %s: %w", in, err)
	}
	return os.WriteFile(out, []byte(m.markdown()), 0o644)
}

func (m *Matrix) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	first, wrong, cures, cured, person := 0, 0, 0, 0, 0
	for _, o := range m.Outcomes {
		if o.First == o.Expected {
			first++
		}
		wrong += len(o.False)
		switch {
		case o.Person != "":
			person++
		default:
			cures++
			if o.Cured() {
				cured++
			}
		}
	}
	line("# What the doctor finds")
	line("")
	line("Written by `drover-lab doctor-report` from what `make doctor-matrix` found. In a lab of three hosts, a Samba domain controller")
	line("and a workstation one thing at a time is broken, with other tools than Drover; `drover doctor` has to name it first and")
	line("nothing else; then what it proposes is typed as it is printed, in the forms that can be run here, and it has to find")
	line("nothing any more. PowerShell is not run: there is no Windows in the lab.")
	line("")
	line("- %d faults, %d of them named first; %d false findings. On the healthy lab: %d findings, %.1f s.", len(m.Outcomes), first, wrong, len(m.Healthy), m.Seconds)
	tried := "every form"
	if m.Quick {
		tried = "the form that was tried, of those that there are the first"
	}
	line("- %d cures, %d of them work as printed in %s; %d take a person.", cures, cured, tried, person)
	line("- %s, %s", m.Versions["drover"], m.Time.Format("2006-01-02"))
	line("")
	line("| broken | first finding | besides | cure | s |")
	line("|---|---|---|---|---:|")
	for _, o := range m.Outcomes {
		line("| %s | %s | %s | %s | %.1f |", cell(o.Case), mark(string(o.First), o.First == o.Expected), cell(strings.Join(o.False, "; ")), cell(o.cureText()), o.Seconds)
	}
	return b.String()
}

func mark(s string, ok bool) string {
	if s == "" {
		s = "nothing"
	}
	if ok {
		return "`" + s + "`"
	}
	return "**" + s + "**"
}

// cell must have no line break.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}

func (o Outcome) cureText() string {
	if o.Person != "" {
		return "a person: " + o.Person
	}
	var parts []string
	for _, tool := range []finding.Tool{finding.Drover, finding.SambaTool, finding.LDIF, finding.Shell} {
		if ok, tried := o.Fixed[tool]; tried {
			parts = append(parts, string(tool)+map[bool]string{true: "", false: " FAILS"}[ok])
		}
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
