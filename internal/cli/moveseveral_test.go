package cli

import (
	"strings"
	"testing"
)

const twoMoves = `
vm APP01
vm APP02
for APP01
phase transfer
progress 25
wait cancelled
end cancelled
for APP02
waiting 1 1 HV02 2
wait cancelled
end cancelled
`

func TestCtrlCAsksOnceForAllMoves(t *testing.T) {
	s, socket := startAgent(t, twoMoves)
	term := onTerminal(t, nil, "move", "APP01", "APP02", "--socket", socket, "--to", "HV02")
	term.sees("transfer  25%  3.0 GiB left")
	term.sees("queued (1 of 1, for a place among the 2 migrations of HV02)")
	term.types("\x03")
	term.sees("Cancel the 2 moves that are not over? [y/N/d=detach]")
	term.types("n\r")
	term.sees("n\r\n\rAPP01  transfer")
	for _, m := range s.agent.moves() {
		m.mu.Lock()
		if m.done["cancelled"] {
			t.Error("cancelled, although the answer was no")
		}
		m.mu.Unlock()
	}
	term.types("\x03")
	term.seesTimes("detach]", 2)
	term.types("\x03")
	term.sees("cancelling 2 moves")
	term.ends(7)
	term.sees("APP02  HV02  cancelled")
}

func TestSeveralMovesAreLeftToThemselves(t *testing.T) {
	s, socket := startAgent(t, twoMoves)
	term := onTerminal(t, nil, "move", "APP01", "APP02", "--socket", socket, "--to", "HV02")
	term.sees("transfer  25%")
	term.types("\x03")
	term.sees("detach]")
	term.types("d\r")
	term.sees("APP02  HV02  queued")
	term.ends(0)
	for _, m := range s.agent.moves() {
		if m.record().Phase.Over() {
			t.Error("a move ended, although it was left to itself")
		}
	}
}

const lateMoves = `
vm APP01
vm APP02
for APP01
refuse cancel cancel-too-late move=M1
phase handover
wait cancelled
wait cleaned
end done
for APP02
phase transfer
wait cancelled
end cancelled
`

func TestMoveThatIsNotCancelledIsNotShownAsSuch(t *testing.T) {
	s, socket := startAgent(t, lateMoves)
	term := onTerminal(t, nil, "move", "APP01", "APP02", "--socket", socket, "--to", "HV02", "--yes")
	term.sees("APP01  handover")
	term.sees("APP02  transfer")
	term.types("\x03")
	term.sees("APP01: not cancelled: move M1 is past handover and can no longer be cancelled")
	s.agent.let("cleaned")
	term.ends(7)
	term.sees("APP01  HV02  done")
	_, after, _ := strings.Cut(term.text(), "not cancelled:")
	if !strings.Contains(after, "APP01  handover  0") || strings.Contains(after, "handover (cancelling)") {
		t.Errorf("shown as:\n%s", after)
	}
}

func TestMovingAllIsAskedFor(t *testing.T) {
	for key, question := range map[string]string{"n\r": "Move 2 VMs to HV02: APP01, APP02? [y/N]", "\x03": "[y/N]"} {
		s, socket := startAgent(t, twoMoves)
		term := onTerminal(t, nil, "move", "--all", "--socket", socket, "--to", "HV02")
		term.sees(question)
		term.types(key)
		term.ends(7)
		s.agent.mu.Lock()
		if len(s.agent.children) > 0 {
			t.Errorf("%q: moves were started", key)
		}
		s.agent.mu.Unlock()
	}
	_, socket := startAgent(t, twoMoves)
	term := onTerminal(t, nil, "move", "--all", "--socket", socket, "--to", "HV02")
	term.sees("[y/N]")
	term.types("y\r")
	term.sees("transfer  25%")
	term.types("\x03")
	term.sees("detach]")
	term.types("y\r")
	term.ends(7)
	if !strings.Contains(term.text(), "cancelling 2 moves") {
		t.Error("not cancelled")
	}
}
