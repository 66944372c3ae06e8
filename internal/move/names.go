package move

import "drover/internal/record"

// The vocabulary of a move lives in package record, which clients use without
// linking this one. Here, where it is on every line, it goes by its own names.
type (
	Phase       = record.Phase
	Role        = record.Role
	Request     = record.Request
	Record      = record.Record
	Event       = record.Event
	EventKind   = record.EventKind
	Progress    = record.Progress
	Item        = record.Item
	Summary     = record.Summary
	StreamProof = record.StreamProof
)

// Phases, roles and kinds of events: see package record.
const (
	Queued    = record.Queued
	Negotiate = record.Negotiate
	Authorise = record.Authorise
	Prepare   = record.Prepare
	Connect   = record.Connect
	Transfer  = record.Transfer
	Handover  = record.Handover
	Finish    = record.Finish
	Confirm   = record.Confirm
	Done      = record.Done
	Failed    = record.Failed
	Cancelled = record.Cancelled
	Unknown   = record.Unknown

	Source      = record.Source
	Destination = record.Destination

	EventPhase    = record.EventPhase
	EventPlan     = record.EventPlan
	EventProgress = record.EventProgress
	EventNotice   = record.EventNotice
	EventEnd      = record.EventEnd
)
