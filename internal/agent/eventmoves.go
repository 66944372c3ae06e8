package agent

import (
	"fmt"

	"drover/internal/api"
	"drover/internal/eventlog"
	"drover/internal/record"
	"drover/internal/wire"
)

func about(rec record.Record) eventlog.About {
	a := eventlog.About{VM: rec.VM, Move: rec.ID, Actor: rec.Operator}
	if rec.Error != nil {
		a.Code = rec.Error.Code
	}
	return a
}

// by is what c did to a move.
func by(c api.Caller, rec record.Record) eventlog.About {
	return eventlog.About{VM: rec.VM, Move: rec.ID, Actor: c.Name()}
}

// other names the other host of a move, under the word that this side has for it.
func other(rec record.Record, data eventlog.Data) eventlog.Data {
	if rec.Role == record.Destination {
		data["source"] = rec.Peer
	} else {
		data["destination"] = rec.Peer
	}
	return data
}

// asked is what was asked for.
func asked(rec record.Record) eventlog.Data {
	return other(rec, eventlog.Data{"kind": rec.Kind, "include_storage": rec.Request.IncludeStorage, "priority": rec.Request.Priority})
}

// happened records what a move has come to; its end is ended's.
func (r *recorder) happened(rec record.Record, ev record.Event) {
	switch {
	case ev.Kind == record.EventPhase:
		r.setPhase(rec, string(ev.Phase))
		switch {
		case ev.Phase == record.Unknown:
			r.record(eventlog.MoveUnknown, about(rec), finding(rec.Error, other(rec, eventlog.Data{"kind": rec.Kind})))
		case ev.Seq == 1 && !rec.Request.DryRun:
			r.began(rec)
		}
	case ev.Kind == record.EventPlan && rec.Plan != nil:
		r.planned(rec)
	case ev.Kind == record.EventNotice && rec.Phase == record.Confirm && rec.Error != nil:
		r.record(eventlog.MoveNotice, about(rec), other(rec, eventlog.Data{"text": ev.Text, "phase": rec.Phase}))
	}
}

// began records that the journal has the move.
func (r *recorder) began(rec record.Record) {
	if rec.Role == record.Source {
		r.record(eventlog.MoveQueued, about(rec), asked(rec))
		return
	}
	r.record(eventlog.IncomingStarted, about(rec), eventlog.Data{"source": rec.Peer, "include_storage": rec.Request.IncludeStorage})
	r.record(eventlog.DelegationAccepted, about(rec), eventlog.Data{"source": rec.Peer, "delegated_by": rec.DelegatedBy, "sign_in": rec.SignIn,
		"storage": rec.Request.IncludeStorage})
}

// planned records on whose behalf the source acted, and what the move will do.
func (r *recorder) planned(rec record.Record) {
	p := rec.Plan
	r.record(eventlog.DelegationUsed, about(rec), eventlog.Data{"destination": rec.Peer, "account": p.Delegation.Account,
		"service": p.Delegation.Service, "storage_service": p.Delegation.StorageService, "method": p.Delegation.Method})
	if rec.Request.DryRun {
		return
	}
	data := asked(rec)
	var copied, passed, nets []string
	for _, d := range p.Disks {
		if d.Action == wire.Copy {
			copied = append(copied, d.Target)
		}
	}
	for _, n := range p.Passed {
		passed = append(passed, fmt.Sprintf("%s: %s", n.Subnet, n.Reason))
	}
	for _, n := range p.Networks {
		nets = append(nets, n.Subnet.String())
	}
	for k, v := range (eventlog.Data{"vm_memory_bytes": p.MemoryBytes, "copied_disks": copied, "networks": nets, "passed_over": passed,
		"performance_option": p.Performance, "codec": p.Codec, "encryption": p.Encryption, "connections": p.Connections, "notes": p.Notes}) {
		data[k] = v
	}
	if p.Prediction != nil {
		data["predicted_total_ms"] = p.Prediction.TotalMS.High
	}
	r.record(eventlog.MoveStarted, about(rec), data)
}

// ended records how a move ended, with all figures.
func (r *recorder) ended(rec record.Record) {
	reached := r.setPhase(rec, "")
	type ids struct{ done, failed, cancelled, checked eventlog.ID }
	id := ids{eventlog.MoveDone, eventlog.MoveFailed, eventlog.MoveCancelled, eventlog.MoveChecked}
	if rec.Role == record.Destination {
		id = ids{eventlog.IncomingDone, eventlog.IncomingFailed, eventlog.IncomingCancelled, eventlog.IncomingChecked}
	}
	switch rec.Phase {
	case record.Done:
		switch {
		case rec.Request.DryRun && rec.Role == record.Source:
			r.record(id.checked, about(rec), asked(rec))
		case rec.Request.DryRun:
			r.record(id.checked, about(rec), other(rec, eventlog.Data{}))
		default:
			a := about(rec)
			a.Code = "" // of what was tried again, and was done
			r.record(id.done, a, r.figures(rec))
		}
	case record.Failed, record.Cancelled:
		data := other(rec, eventlog.Data{"kind": rec.Kind, "phase": reached})
		if rec.Ended != nil {
			data["total_ms"] = rec.Ended.Sub(rec.Created).Milliseconds()
		}
		which := id.failed
		if rec.Phase == record.Cancelled {
			which = id.cancelled
		} else if rec.Role == record.Source && rec.Progress != nil {
			data["wire_bytes"] = rec.Progress.WireBytes
		}
		if rec.Error != nil {
			data = finding(rec.Error, data)
		}
		r.record(which, about(rec), data)
	}
}

// figures are those of a move that was done. One that was settled after a restart
// has no summary.
func (r *recorder) figures(rec record.Record) eventlog.Data {
	data := other(rec, eventlog.Data{"kind": rec.Kind})
	if rec.Ended != nil {
		data["total_ms"] = rec.Ended.Sub(rec.Created).Milliseconds()
	}
	if s := rec.Summary; s != nil {
		for k, v := range (eventlog.Data{"total_ms": s.TotalMS, "blackout_ms": s.BlackoutMS, "memory_bytes": s.MemoryBytes, "disk_bytes": s.DiskBytes,
			"wire_bytes": s.WireBytes, "streams": len(s.Streams), "network": s.Network, "encrypted": s.Encrypted, "delegated_by": s.DelegatedBy, "sign_in": s.SignIn}) {
			data[k] = v
		}
		for _, st := range s.Streams {
			data["cipher"] = st.Cipher
		}
	}
	if rec.Role == record.Destination {
		return data
	}
	if s := rec.Summary; s != nil {
		data["removed"], data["retained"] = s.Removed, s.Retained
		if s.Score != nil {
			data["predicted_total_ms"], data["prediction_ratio"] = s.Score.PredictedTotalMS, s.Score.Ratio
		}
	}
	if p := rec.Plan; p != nil {
		data["account"], data["service"], data["storage_service"], data["method"] = p.Delegation.Account, p.Delegation.Service, p.Delegation.StorageService, p.Delegation.Method
		data["performance_option"] = p.Performance
	}
	return data
}

// waits records that a move begins to wait, or that this host's limit refused it.
func (r *recorder) waits(rec record.Record) {
	w := rec.Waiting
	if w == nil {
		if rec.Error != nil {
			r.refused(eventlog.LimitReached, about(rec), finding(rec.Error, eventlog.Data{"waits": false}))
		}
		return
	}
	r.record(eventlog.MoveWaiting, about(rec), eventlog.Data{"destination": rec.Peer, "for": w.For, "limit_of": w.Host, "position": w.Position, "of": w.Of})
	if w.Host == r.host {
		r.record(eventlog.LimitReached, about(rec), eventlog.Data{"reason": "waits for " + w.For, "waits": true, "found_by": w.Host})
	}
}

// takenUp records a move that the journal has as unfinished when the agent starts.
func (r *recorder) takenUp(rec record.Record) {
	id := eventlog.MoveTakenUp
	if rec.Role == record.Destination {
		id = eventlog.IncomingTakenUp
	}
	r.setPhase(rec, string(rec.Phase))
	r.record(id, about(rec), other(rec, eventlog.Data{"kind": rec.Kind, "phase": rec.Phase}))
}

// setPhase remembers how far a move has come and gives how far it had; "" forgets it.
func (r *recorder) setPhase(rec record.Record, p string) (before string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := string(rec.Role) + " " + rec.ID
	before = r.phases[key]
	if p == "" {
		delete(r.phases, key)
	} else {
		r.phases[key] = p
	}
	return before
}
