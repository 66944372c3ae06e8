package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/fault"
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

| code | class | exit status | title |
|---|---|---|---|
`)
	for _, e := range fault.All() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s | %d | %s |\n", e.Code, e.Code, e.Class, e.Class.ExitStatus(), e.Title)
	}
	for _, e := range fault.All() {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n- Message: %s\n- Why: %s\n- What to do: %s\n", e.Code, e.Title, literal(e.Message), literal(e.Cause), literal(e.Hint))
	}
	_, err := io.WriteString(w, b.String())
	return err
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
