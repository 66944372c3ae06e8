// Package eventlog is the vocabulary of the host's event log: the stable
// numbers, levels and words of what an operator would look for. It is data only.
package eventlog

import (
	"encoding/json"
	"slices"
	"time"

	"drover/internal/fault"
)

// ID is the stable number of a kind of event.
type ID int

// Level says how much an event matters.
type Level string

// The levels, in the words of the Windows event log.
const (
	Information Level = "information"
	Warning     Level = "warning"
	Error       Level = "error"
)

// Levels are all of them, the least first.
var Levels = []Level{Information, Warning, Error}

// Known reports whether l is a level.
func (l Level) Known() bool { return slices.Contains(Levels, l) }

// Entry is one record of the event log.
type Entry struct {
	// Seq is the record's number on this host, given by the log.
	Seq   int64     `json:"seq" doc:"number of the record on this host"`
	Time  time.Time `json:"time"`
	ID    ID        `json:"id" doc:"stable number of the kind of event"`
	Name  string    `json:"name" doc:"name of the kind of event, as stable as its number"`
	Level Level     `json:"level" enum:"information,warning,error"`
	// Code is the fault's code, where the event is one.
	Code    fault.Code `json:"code,omitempty"`
	VM      string     `json:"vm,omitempty"`
	Move    string     `json:"move,omitempty" doc:"id of the move"`
	Actor   string     `json:"actor,omitempty" doc:"principal or local user"`
	Message string     `json:"message"`
	// Data has the figures: strings and numbers by name.
	Data json.RawMessage `json:"data,omitempty"`
}
