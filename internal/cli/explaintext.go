package cli

import (
	"fmt"
	"io"
	"strings"

	"drover/internal/fault"
	"drover/internal/symptom"
)

// recognised is the JSON form of what a text was recognised as, the best first.
type recognised struct {
	Matches []recognisedAs `json:"matches"`
}

// recognisedAs is one of symptom and code.
type recognisedAs struct {
	Symptom *symptom.Symptom `json:"symptom,omitempty"`
	Code    *explanation     `json:"code,omitempty" doc:"when the text is of a code of Drover"`
}

// mostSymptoms is how many of them are shown in full; the rest is named.
const mostSymptoms = 1

func (p *program) explainSymptoms(found []symptom.Match) error {
	if p.out != table {
		var r recognised
		for _, m := range found {
			as := recognisedAs{Symptom: m.Symptom}
			if m.Entry != nil {
				e := explained(*m.Entry)
				as.Code = &e
			}
			r.Matches = append(r.Matches, as)
		}
		return p.out.write(p.stdout, r)
	}
	columns, _ := p.screen.size()
	width := min(columns, 100)
	var also []string
	for i, m := range found {
		if i < mostSymptoms {
			if err := printSymptom(p.stdout, *m.Symptom, width); err != nil {
				return err
			}
			continue
		}
		also = append(also, matchName(m))
	}
	if len(also) == 0 {
		return nil
	}
	return paragraph(p.stdout, "Also in the text, or like it", strings.Join(also, "; "), width)
}

// matchName is a match in one line.
func matchName(m symptom.Match) string {
	if m.Entry != nil {
		return string(m.Entry.Code)
	}
	return heading(*m.Symptom)
}

// heading is the number or name of a message, with its words where they differ.
func heading(s symptom.Symptom) string {
	if s.Number != 0 || s.Event != 0 {
		return strings.Replace(s.ID, "event-", "Event ", 1) + ": " + s.Title
	}
	if s.Kerberos != 0 && len(s.Texts) > 0 {
		return s.ID + ": " + s.Texts[0]
	}
	return s.Title
}

func printSymptom(w io.Writer, s symptom.Symptom, width int) error {
	if _, err := fmt.Fprintf(w, "%s%s", wrapped(fmt.Sprintf("%s (%s)", heading(s), s.Origin), "", width), "\n"); err != nil {
		return err
	}
	if err := paragraph(w, "Means", s.Means, width); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("Causes, the likeliest first:\n")
	for i, c := range s.Causes {
		b.WriteString(listedAt(fmt.Sprintf("  %d. ", i+1), c.Text, width))
		if len(c.Codes) > 0 {
			b.WriteString(wrapped("codes: "+codeList(c.Codes), "     ", width))
		}
	}
	b.WriteString("Run:\n")
	for _, line := range s.Run {
		fmt.Fprintf(&b, "  %s\n", line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func codeList(codes []fault.Code) string {
	var out []string
	for _, c := range codes {
		out = append(out, string(c))
	}
	return strings.Join(out, ", ")
}
