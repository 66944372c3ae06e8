package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"drover/internal/fault"
	"drover/internal/symptom"
)

//go:generate sh -c "go run ../../cmd/drover errors-md > ../../docs/errors.md"

func newErrorsMD(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "errors-md", Short: "Print docs/errors.md", Hidden: true,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			return writeErrorsMD(p.stdout)
		},
	}
}

// writeErrorsMD prints the registry as the page docs/errors.md.
func writeErrorsMD(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`# Error codes

Made from the registry (internal/fault) by ` + "`go generate ./internal/cli`" + `; do not edit.

Every failure of Drover has a code. Codes are stable: scripts may rely on them,
and a code is never used again for something else. ` + "`drover explain CODE`" + ` prints
the same text as this page. Words in braces, such as {host}, are filled in.
Exit statuses are explained in [scripting.md](scripting.md).

Messages of other programs, such as 0x8009030E, are in [the second half](#messages-of-other-programs); ` + "`drover explain TEXT`" + `
looks them up.

| code | class | exit status | title |
|---|---|---|---|
`)
	for _, e := range fault.All() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d | %s |\n", e.Code, e.Code, e.Class, e.Class.ExitStatus(), e.Title)
	}
	for _, e := range fault.All() {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n- Message: %s\n- Why: %s\n- What to do: %s\n", e.Code, e.Title, literal(e.Message), literal(e.Cause), literal(e.Hint))
	}
	writeSymptomsMD(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// writeSymptomsMD adds the messages that lead to codes.
func writeSymptomsMD(b *strings.Builder) {
	b.WriteString(`
## Messages of other programs

What people paste when a move does not work, and where it leads. Each message has its likely causes, the likeliest first, and
the codes by which ` + "`drover doctor`" + ` and other verbs report them.

| message | shown by | means |
|---|---|---|
`)
	for _, s := range symptom.All() {
		fmt.Fprintf(b, "| [%s](#%s) | %s | %s |\n", literal(heading(s)), anchor(heading(s)), s.Origin, literal(s.Means))
	}
	for _, s := range symptom.All() {
		fmt.Fprintf(b, "\n### %s\n\n%s\n\n", literal(heading(s)), literal(s.Means))
		for i, c := range s.Causes {
			fmt.Fprintf(b, "%d. %s", i+1, literal(c.Text))
			for j, code := range c.Codes {
				separator := ", "
				if j == 0 {
					separator = ": "
				}
				fmt.Fprintf(b, "%s[%s](#%s)", separator, code, code)
			}
			b.WriteString("\n")
		}
		fmt.Fprintf(b, "\n- Run: `%s`\n- Known from: %s\n", strings.Join(s.Run, "`, `"), s.Source)
	}
}

// anchor is how a heading is linked to.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// literal keeps Markdown from taking angle brackets, stars and underscores
// outside of code for its own.
func literal(s string) string {
	parts := strings.Split(s, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("<", `\<`, "*", `\*`, "_", `\_`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}
