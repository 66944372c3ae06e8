package agent

import (
	"errors"
	"io"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/fault"
	"drover/internal/move"
)

// notRefusals end a connection without anything having been refused by this host,
// or are told elsewhere.
var notRefusals = map[fault.Code]bool{fault.PeerGone: true, fault.PeerSilent: true, fault.ShuttingDown: true, fault.Cancelled: true,
	fault.Deadline: true, fault.MigrationLimit: true}

// connectionRefused records a migration connection that did not prove that it may.
func (r *recorder) connectionRefused(remote string, err error) {
	f := fault.From(err)
	if notRefusals[f.Code] || errors.Is(err, io.EOF) {
		return
	}
	id := eventlog.ConnectionRefused
	a := eventlog.About{Code: f.Code, Actor: f.Args["operator"]}
	data := finding(err, eventlog.Data{"remote": remote})
	switch f.Code {
	case fault.RoleMissing:
		id = eventlog.RoleMissing
		data["role"], data["request"] = f.Args["role"], "an incoming move"
	case fault.NotDelegated:
		id, a.Actor = eventlog.NotDelegated, f.Args["caller"]
	}
	r.refused(id, a, data)
}

// incomingRefused records an authenticated connection whose request was refused
// before there was a move.
func (r *recorder) incomingRefused(c move.Caller, err error) {
	var f *fault.Error
	if !errors.As(err, &f) || notRefusals[f.Code] {
		return
	}
	r.incomingTurnedAway(c, f)
}

// incomingTurnedAway records the same whatever the reason is.
func (r *recorder) incomingTurnedAway(c move.Caller, err error) {
	f := fault.From(err)
	a := eventlog.About{Code: f.Code, Actor: c.Principal}
	if f.Code == fault.NotDelegated {
		r.refused(eventlog.NotDelegated, a, finding(err, nil))
		return
	}
	r.refused(eventlog.IncomingMoveRefused, a, finding(err, eventlog.Data{"source": c.Peer, "delegated_by": c.DelegatedBy}))
}

// requestRefused records a sign-in or a request that the API refused.
func (r *recorder) requestRefused(x api.Refusal) {
	f := fault.From(x.Err)
	data := finding(x.Err, eventlog.Data{"remote": x.Remote})
	if f.Code != fault.RoleMissing {
		r.refused(eventlog.SignInRefused, eventlog.About{Code: f.Code}, data)
		return
	}
	data["role"], data["request"] = f.Args["role"], x.Request
	r.refused(eventlog.RoleMissing, eventlog.About{Code: f.Code, Actor: x.Caller.Name()}, data)
}

// moveRefused records a request for a move that the source refused. A limit is
// told by waits.
func (r *recorder) moveRefused(actor string, req move.Request, err error) {
	f := fault.From(err)
	if f.Code == fault.MigrationLimit && f.Host == r.host {
		return
	}
	r.refused(eventlog.MoveRefused, eventlog.About{Code: f.Code, Actor: actor, VM: req.VM}, finding(err, eventlog.Data{"destination": req.Destination}))
}

// settingsRefused records a change that was not made.
func (r *recorder) settingsRefused(actor string, err error) {
	r.refused(eventlog.SettingsRefused, eventlog.About{Code: fault.From(err).Code, Actor: actor}, finding(err, nil))
}
