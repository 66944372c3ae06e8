package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"drover/internal/eventlog"
)

//go:generate sh -c "go run ../../cmd/drover events-md > ../../docs/events.md"

func newEventsMD(p *program) *cobra.Command {
	return &cobra.Command{
		Use: "events-md", Short: "Print docs/events.md", Hidden: true,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			p.started = true
			return writeEventsMD(p.stdout)
		},
	}
}

const eventsHead = `# Event log

Made from the registry (internal/eventlog) by ` + "`go generate ./internal/cli`" + `; do not edit.

Each host keeps a log of what an operator would look for: ` + "`drover events`" + ` shows it, the API has it at
` + "`GET /v1/events`" + ` and, as it grows, at ` + "`GET /v1/events/stream`" + `. It is kept in the journal of the agent for as long as
[drover.yaml](drover.yaml.md) says (` + "`events.max_age`, `events.max_entries`" + `, and never more than 64 MiB). Where systemd
runs, its journal has each entry as well: ` + "`journalctl -u droverd`, `journalctl DROVER_EVENT=2003`" + `, with the fields
DROVER_EVENT, DROVER_NAME, DROVER_CODE, DROVER_MOVE, DROVER_VM, DROVER_ACTOR, DROVER_SEQ and DROVER_DATA (JSON).

Numbers and names are stable: scripts may rely on them, and a number is never used again for something else. The same
holds for the members of ` + "`data`" + `; members are added, and absent where nothing is known. ` + "`message`" + ` is made from them, is
for people and may be reworded. ` + "`code`" + `, where an entry has one, is one of [errors.md](errors.md).

An entry that cannot be written fails nothing: it is told in the log of droverd, in ` + "`/healthz`" + ` (event-log) and in the metric
` + "`drover_event_log_failures_total`" + `. Refusals are logged one by one up to 60 in a row and then one a minute; 3006 says how
many were left out.

| number | name | level | title |
|---|---|---|---|
`

// writeEventsMD prints the registry as the page docs/events.md.
func writeEventsMD(w io.Writer) error {
	var b strings.Builder
	b.WriteString(eventsHead)
	for _, k := range eventlog.All() {
		fmt.Fprintf(&b, "| [%d](#%d-%s) | %s | %s | %s |\n", k.ID, k.ID, k.Name, k.Name, k.Level, k.Title)
	}
	for _, k := range eventlog.All() {
		fmt.Fprintf(&b, "\n## %d %s\n\n%s.\n\n- Level: %s\n- Message: `%s`\n- What it says: %s\n", k.ID, k.Name, k.Title, k.Level, k.Message, literal(k.Says))
		if k.Windows != 0 {
			fmt.Fprintf(&b, "- On Windows: %d in Microsoft-Windows-Hyper-V-VMMS-Admin\n", k.Windows)
		}
		fmt.Fprintf(&b, "- MESSAGE_ID: %s\n", k.ID.MessageID())
		if len(k.Data) == 0 {
			continue
		}
		b.WriteString("\n| data | meaning | unit |\n|---|---|---|\n")
		for _, m := range k.Data {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, literal(m.Meaning), m.Unit)
		}
	}
	b.WriteString("\nIn a message, words in braces are filled in, and what stands in brackets is left out where nothing is known.\n")
	_, err := io.WriteString(w, b.String())
	return err
}
