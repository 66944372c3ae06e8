package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"drover/internal/fault"
	"drover/internal/finding"
)

// WriteReport writes what Run, and RunScale where there is a file of it, have found as a
// page of Markdown. Of a case that is in several files that of the last counts.
func WriteReport(in []string, scale, out string) error {
	m, s := new(Matrix), new(Scale)
	for _, path := range in {
		next := new(Matrix)
		if err := load(path, next); err != nil {
			return err
		}
		m.merge(next)
	}
	switch err := load(scale, s); {
	case errors.Is(err, fs.ErrNotExist):
		s = nil
	case err != nil:
		return err
	}
	return os.WriteFile(out, []byte(m.markdown(s)), 0o644)
}

func load(path string, into any) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("report %s: %w", path, err)
	}
	return nil
}

// merge takes over what another run has found.
func (m *Matrix) merge(o *Matrix) {
	m.runs++
	m.Time, m.Versions, m.Quick, m.Healthy, m.Seconds = o.Time, o.Versions, m.Quick || o.Quick, append(m.Healthy, o.Healthy...), max(m.Seconds, o.Seconds)
	if m.Hosts == 0 || o.Hosts < m.Hosts {
		m.Hosts = o.Hosts
	}
	m.Outcomes = latest(append(m.Outcomes, o.Outcomes...), func(o Outcome) string { return o.Case })
	m.Couples = latest(append(m.Couples, o.Couples...), func(c Couple) string { return c.Case })
}

// latest leaves of those with one name the last, where the first was.
func latest[T any](all []T, name func(T) string) (out []T) {
	at := map[string]int{}
	for _, x := range all {
		if i, seen := at[name(x)]; seen {
			out[i] = x
			continue
		}
		at[name(x)] = len(out)
		out = append(out, x)
	}
	return out
}

// page is Markdown, line by line.
type page struct{ strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

func (m *Matrix) markdown(s *Scale) string {
	p := new(page)
	p.line("# What the doctor finds")
	p.line("")
	p.line("Written by `drover-lab doctor-report` from what `make doctor-matrix` found. In a lab of four hosts, a Samba domain controller")
	p.line("and a workstation one thing at a time is broken, with other tools than Drover; `drover doctor` has to name it first and")
	p.line("nothing else; then what it proposes is typed as it is printed, in the forms that can be run here, and it has to find")
	p.line("nothing any more. Where an undo is printed it is typed, too: the same has to be found again, and the cure is made once more.")
	p.line("At the end a running guest is moved between two hosts, one of them that of the case, there and back. What takes a person is put")
	p.line("right by the lab before that. PowerShell is not run: there is no Windows in the lab.")
	p.line("")
	m.summary(p)
	p.line("")
	p.line("| broken | first finding | besides | cure | undo | moved | s |")
	p.line("|---|---|---|---|---|---|---:|")
	for _, o := range m.Outcomes {
		p.line("| %s | %s | %s | %s | %s | %s | %.1f |", cell(o.Case), mark(string(o.First), o.First == o.Expected), cell(strings.Join(o.False, "; ")),
			cell(o.cureText()), cell(o.undoText()), o.moveText(), o.Seconds)
	}
	m.couples(p)
	s.markdown(p)
	return p.String()
}

func (m *Matrix) summary(p *page) {
	first, wrong, cures, cured, person, undos, undone, moves, moved := 0, 0, 0, 0, 0, 0, 0, 0, 0
	for _, o := range m.Outcomes {
		first += count(o.First == o.Expected)
		wrong += len(o.False)
		person += count(o.Person != "")
		cures += count(o.Person == "")
		cured += count(o.Person == "" && o.Cured())
		undos += count(len(o.Undone) > 0)
		undone += count(len(o.Undone) > 0 && worked(o.Undone))
		moves += count(o.Moved != nil)
		moved += count(o.Moved != nil && *o.Moved)
	}
	p.line("- %d faults, %d of them named first; %d false findings.", len(m.Outcomes), first, wrong)
	p.line("- On the healthy lab of %d hosts, before and after all that: %d findings, at most %.1f s.", m.Hosts, len(m.Healthy), m.Seconds)
	tried := "every form"
	if m.Quick {
		tried = "the form that was tried, of those that there are the first"
	}
	p.line("- %d cures, %d of them work as printed in %s; %d take a person.", cures, cured, tried, person)
	p.line("- %d cures were taken back as printed, after which the same was found first in %d, and made again.", undos, undone)
	p.line("- After %d cases a guest was to be moved there and back: it was in %d.", moves, moved)
	in := ""
	if m.runs > 1 {
		in = fmt.Sprintf(", in %d runs", m.runs)
	}
	p.line("- %s, %s%s", strings.TrimSpace(m.Versions["drover"]+" "+m.Versions["commit"]), m.Time.Format("2006-01-02"), in)
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// couples shows two faults at once.
func (m *Matrix) couples(p *page) {
	if len(m.Couples) == 0 {
		return
	}
	passed := 0
	for _, c := range m.Couples {
		passed += count(c.Passed())
	}
	p.line("")
	p.line("## Two at once")
	p.line("")
	p.line("The twenty faults that are most common, each together with four others. Both have to be causes, and nothing else may be one:")
	p.line("%d of %d.", passed, len(m.Couples))
	p.line("")
	p.line("| broken | causes, in their order | missed | besides | s |")
	p.line("|---|---|---|---|---:|")
	for _, c := range m.Couples {
		p.line("| %s | %s | %s | %s | %.1f |", cell(strings.TrimPrefix(c.Case, couplePrefix)), codeCell(c.Found), codeCell(c.Missed), cell(strings.Join(c.False, "; ")), c.Seconds)
	}
}

// markdown shows what many hosts take.
func (s *Scale) markdown(p *page) {
	if s == nil {
		return
	}
	p.line("")
	p.line("## Many hosts")
	p.line("")
	p.line("`drover-lab doctor-scale`: %d hosts that are in the directory and in DNS only, all of which may delegate to one another (%d values in their", s.Hosts, s.Values)
	p.line("lists together). The whole of `drover doctor` from the workstation, by the clock on the wall; %s, %s.", s.Version, s.Time.Format("2006-01-02"))
	p.line("")
	p.line("| state | findings | checks | s |")
	p.line("|---|---:|---:|---:|")
	for _, l := range s.Looks {
		wanted := ""
		if !sameCodes(l.Found, l.Wanted) {
			wanted = fmt.Sprintf(", **%d are right**", len(l.Wanted))
		}
		p.line("| %s | %d%s | %d | %.1f |", cell(l.Name), len(l.Found), wanted, l.Checked, l.Seconds)
	}
}

func codeCell(codes []fault.Code) string {
	var out []string
	for _, c := range codes {
		if text := "`" + string(c) + "`"; !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, ", ")
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
	return byTool(o.Fixed, "none")
}

// undoText says in which forms the cure was taken back, or why in none.
func (o Outcome) undoText() string {
	if o.Person != "" || o.First != o.Expected {
		return ""
	}
	return byTool(o.Undone, o.NoUndo)
}

func (o Outcome) moveText() string {
	switch {
	case o.Moved == nil:
		return ""
	case *o.Moved:
		return "yes"
	}
	return "**no**"
}

func byTool(worked map[finding.Tool]bool, none string) string {
	var parts []string
	for _, tool := range []finding.Tool{finding.Drover, finding.SambaTool, finding.LDIF, finding.Shell} {
		if ok, tried := worked[tool]; tried {
			parts = append(parts, string(tool)+map[bool]string{true: "", false: " FAILS"}[ok])
		}
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return none
	}
	return strings.Join(parts, ", ")
}
