package cli

import (
	"bytes"
	"strings"
	"testing"

	"drover/internal/symptom"
)

// What a symptom tells to run is there to be copied.
func TestCommandsOfSymptomsAreUnderstood(t *testing.T) {
	for _, s := range symptom.All() {
		for _, line := range s.Run {
			words := strings.Fields(strings.ReplaceAll(line, "'", ""))
			if words[0] != "drover" {
				continue
			}
			args, err := cmdletLine(words[1:])
			if err != nil {
				t.Errorf("%s: %s: %v", s.ID, line, err)
				continue
			}
			root := newRoot(newProgram(nil, &bytes.Buffer{}, &bytes.Buffer{}))
			cmd, rest, err := root.Find(args)
			if err != nil || cmd == root {
				t.Errorf("%s: %s is no verb: %v", s.ID, line, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s: %s: %v", s.ID, line, err)
			}
		}
	}
}
