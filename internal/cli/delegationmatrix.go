package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"drover/internal/doctor"
	"drover/internal/finding"
)

// Above wideMatrix hosts the columns have numbers in place of names, and above
// mostMatrix there is a line per source in place of a matrix.
const (
	wideMatrix = 8
	mostMatrix = 24
)

// printVerification shows who was tried, the matrix, and each finding once.
func (p *program) printVerification(m *doctor.Matrix, methods []string) error {
	w := cleanWriter{p.stdout}
	var b strings.Builder
	fmt.Fprintf(&b, "Asked %s, for %s by %s\n\n", m.Server, m.Operator, strings.Join(methods, " and "))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if err := p.printMatrix(m); err != nil {
		return err
	}
	b.Reset()
	b.WriteString("\n" + tally(m) + "\n")
	for _, f := range folded(m) {
		f.write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func tally(m *doctor.Matrix) string {
	n := map[doctor.VerifyState]int{}
	for _, pair := range m.Pairs {
		n[pair.State]++
	}
	s := fmt.Sprintf("%d of %s ok", n[doctor.Passed], count(len(m.Pairs), "direction"))
	if n[doctor.FailedPair] > 0 {
		s += fmt.Sprintf(", %d failed", n[doctor.FailedPair])
	}
	if n[doctor.Unchecked] > 0 {
		s += fmt.Sprintf(", %d not checked", n[doctor.Unchecked])
	}
	return s
}

// cells are the states of a matrix, how they are written, and their colours.
var cells = map[doctor.VerifyState][2]string{doctor.Passed: {"ok", green}, doctor.FailedPair: {"FAIL", red}, doctor.Unchecked: {"?", yellow}}

// printMatrix prints rows of sources and columns of destinations. A direction that
// is not wanted is left blank.
func (p *program) printMatrix(m *doctor.Matrix) error {
	states := map[string]doctor.VerifyState{}
	for _, pair := range m.Pairs {
		states[pair.Direction.String()] = pair.State
	}
	if len(m.Hosts) > mostMatrix {
		return p.printRows(m)
	}
	heads, labels, width := columns(m.Hosts)
	paint := p.paintOut()
	var b strings.Builder
	fmt.Fprintf(&b, "%-*s", width, "")
	for _, h := range heads {
		fmt.Fprintf(&b, "  %-4s", clean(h))
	}
	endLine(&b)
	for i, source := range m.Hosts {
		fmt.Fprintf(&b, "%-*s", width, clean(labels[i]))
		for j, destination := range m.Hosts {
			text, colour := cells[states[source+":"+destination]][0], cells[states[source+":"+destination]][1]
			if i == j {
				text = "-"
			}
			pad := strings.Repeat(" ", max(len(heads[j]), 4)-len(text))
			b.WriteString("  " + paint(colour, text) + pad)
		}
		endLine(&b)
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// endLine ends a line without blanks before its end.
func endLine(b *strings.Builder) {
	s := strings.TrimRight(b.String(), " ")
	b.Reset()
	b.WriteString(s + "\n")
}

// columns gives the heads of the columns, the labels of the rows and their width.
func columns(hosts []string) (heads, labels []string, width int) {
	for i, h := range hosts {
		head, label := h, h
		if len(hosts) > wideMatrix {
			head = strconv.Itoa(i + 1)
			label = fmt.Sprintf("%2s %s", head, h)
		}
		heads, labels, width = append(heads, head), append(labels, label), max(width, len(clean(label)))
	}
	return heads, labels, width
}

// printRows is for meshes whose matrix is wider than any screen: a line per source
// with what is not right.
func (p *program) printRows(m *doctor.Matrix) error {
	var rows [][]string
	for _, source := range m.Hosts {
		ok, lists := 0, map[doctor.VerifyState][]string{}
		for _, pair := range m.Pairs {
			switch {
			case pair.Source != source:
			case pair.State == doctor.Passed:
				ok++
			default:
				lists[pair.State] = append(lists[pair.State], pair.Destination)
			}
		}
		rows = append(rows, []string{source, strconv.Itoa(ok), some(lists[doctor.FailedPair]), some(lists[doctor.Unchecked])})
	}
	return grid(p.stdout, []string{"SOURCE", "OK", "FAILED", "NOT CHECKED"}, rows)
}

// some lists a few of many.
func some(names []string) string {
	const most = 6
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// paintOut colours what goes to stdout, when that is a terminal, too.
func (p *program) paintOut() func(colour, text string) string {
	f, ok := p.stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func(_, text string) string { return text }
	}
	return p.screen.paint
}

// fold is one finding with the directions that it concerns.
type fold struct {
	finding.Finding
	directions []string
}

// folded gives each finding of a matrix once, the worst first.
func folded(m *doctor.Matrix) []*fold {
	var out []*fold
	at := map[string]*fold{}
	add := func(f finding.Finding, direction string) {
		f.Source, f.Destination = "", ""
		x, seen := at[f.Key()]
		if !seen {
			x = &fold{Finding: f}
			at[f.Key()] = x
			out = append(out, x)
		}
		if direction != "" {
			x.directions = append(x.directions, direction)
		}
	}
	for _, severity := range []finding.Severity{finding.Critical, finding.Error, finding.Warning, finding.Info} {
		for _, f := range m.Findings {
			if f.Severity == severity {
				add(f, "")
			}
		}
		for _, pair := range m.Pairs {
			for _, f := range pair.Findings {
				if f.Severity == severity {
					add(f, pair.Direction.String())
				}
			}
		}
	}
	return out
}

// mostFixes is how many lines of a cure are shown; -o json has all.
const mostFixes = 4

func (f *fold) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s: %s\n", clean(string(f.Severity)), oneCell(f.Message)) // of a plan's file, perhaps
	if len(f.directions) > 0 {
		fmt.Fprintf(b, "  concerns %s\n", clean(some(f.directions)))
	}
	for i, c := range f.Fix {
		if i == mostFixes {
			fmt.Fprintf(b, "  and %d more lines, which -o json shows\n", len(f.Fix)-mostFixes)
			break
		}
		fmt.Fprintf(b, "  fix (%s): %s\n", clean(string(c.Tool)), oneCell(c.Line))
	}
	if len(f.Fix) == 0 && f.Hint != "" {
		fmt.Fprintf(b, "  hint: %s\n", oneCell(f.Hint))
	}
	fmt.Fprintf(b, "  code: %s\n", clean(string(f.Code)))
}
