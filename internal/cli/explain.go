package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/fault"
	"drover/internal/symptom"
)

// explanation is the JSON form of a registry entry. Message and hint are
// templates: {host} and the like stand for what an error fills in.
type explanation struct {
	Code       fault.Code `json:"code"`
	Title      string     `json:"title"`
	Class      string     `json:"class"`
	ExitStatus int        `json:"exit_status"`
	Message    string     `json:"message"`
	Cause      string     `json:"cause"`
	Hint       string     `json:"hint"`
}

func newExplain(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [CODE | TEXT...]",
		Short: "Explain an error: its code, its number or its text",
		Long: `Explain an error code of Drover, or list all of them. Any other text is looked up
among the messages of Windows, Hyper-V, Kerberos, libvirt, QEMU and Drover: paste a
line, a number such as 0x8009030E or -2146893042, or the number of an event.`,
		Example: `  drover explain
  drover explain delegation-missing
  drover explain 0x8009030E
  drover explain "KDC can't fulfill requested option"`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var codes []string
			for _, e := range fault.All() {
				codes = append(codes, string(e.Code)+"\t"+e.Title)
			}
			return codes, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			p.started = true
			if len(args) == 0 {
				return p.explainAll()
			}
			return p.explainText(strings.Join(args, " "))
		},
	}
}

// explainText explains a code, or what a text is recognised as.
func (p *program) explainText(text string) error {
	if e, ok := fault.Lookup(fault.Code(strings.TrimSpace(text))); ok {
		return p.explainOne(e)
	}
	found := symptom.Find(text)
	if len(found) == 0 {
		return misuse("nothing is known of %q; `drover explain` lists the error codes, docs/errors.md the messages", text)
	}
	if found[0].Entry != nil {
		return p.explainOne(*found[0].Entry)
	}
	return p.explainSymptoms(found)
}

func explained(e fault.Entry) explanation {
	return explanation{e.Code, e.Title, e.Class.String(), e.Class.ExitStatus(), e.Message, e.Cause, e.Hint}
}

func (p *program) explainAll() error {
	all := []explanation{}
	rows := [][]string{}
	for _, e := range fault.All() {
		all = append(all, explained(e))
		rows = append(rows, []string{string(e.Code), e.Class.String(), e.Title})
	}
	if p.out != table {
		return p.out.write(p.stdout, all)
	}
	return grid(p.stdout, []string{"CODE", "CLASS", "TITLE"}, rows)
}

func (p *program) explainOne(e fault.Entry) error {
	if p.out != table {
		return p.out.write(p.stdout, explained(e))
	}
	_, err := fmt.Fprintf(p.stdout, "%s: %s\n\n", e.Code, e.Title)
	if err != nil {
		return err
	}
	width, _ := p.screen.size()
	for _, part := range [][2]string{
		{"Message", e.Message}, {"Why", e.Cause}, {"What to do", e.Hint},
		{"Class", fmt.Sprintf("%s, exit status %d", e.Class, e.Class.ExitStatus())},
	} {
		if err := paragraph(p.stdout, part[0], part[1], min(width, 100)); err != nil {
			return err
		}
	}
	return nil
}

// paragraph prints a heading and text below it, wrapped at blanks.
func paragraph(w io.Writer, heading, text string, width int) error {
	_, err := fmt.Fprintf(w, "%s:\n%s", heading, wrapped(text, "  ", width))
	return err
}
