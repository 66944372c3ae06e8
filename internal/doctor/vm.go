package doctor

import (
	"context"

	"drover/internal/eventlog"
	"drover/internal/record"
)

// Origin is the event that a question comes from.
type Origin struct {
	Host  string         `json:"host" doc:"whose event log it is in"`
	Entry eventlog.Entry `json:"entry"`
}

// VM is what was found about the VM of the question.
type VM struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts" doc:"those that have it, of those that could be asked"`
	Moves []Move   `json:"moves" doc:"those that were compared"`
}

// Move is one move of the VM that the hosts were asked about.
type Move struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Possible    bool   `json:"possible" doc:"nothing is in the way of the command"`
	Command     string `json:"command" doc:"the move with all options that cure"`
	// Comparisons are the answers, first without options, then with those that the
	// answer before named as cures; the last has the plan where the move is possible.
	Comparisons []record.Comparison `json:"comparisons"`
	// Error is why the hosts were not asked once more.
	Error error `json:"-"`
}

// Machines asks agents about VMs.
type Machines interface {
	// Has tells whether a host has the VM.
	Has(ctx context.Context, host, vm string) (bool, error)
	// Compare asks both hosts for all that is in the way of a move, and again with what
	// cures it. The error is about the first answer.
	Compare(ctx context.Context, vm, source, destination string) (Move, error)
}
