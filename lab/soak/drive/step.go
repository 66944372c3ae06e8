package drive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/api"
	"drover/internal/record"
	"drover/lab"
	"drover/lab/faults"
	"drover/lab/soak"
)

// attempt is one move that was asked for.
type attempt struct {
	soak.Hop
	id     string // "" when it was refused
	code   string // of the refusal
	again  bool
	beside bool
}

// step makes one step of the plan and checks what must hold after it.
func (r *run) step(ctx context.Context, p soak.Plan) error {
	r.say("%s", p)
	began := time.Now()
	s := soak.Step{Plan: p}
	tried, err := r.attempts(ctx, &s)
	if err == nil {
		err = r.conclude(ctx, &s, tried...)
	}
	if err == nil {
		err = r.again(ctx, &s, tried)
	}
	if err == nil {
		err = r.sample(ctx)
	}
	s.TookMS = time.Since(began).Milliseconds()
	r.result.Steps = append(r.result.Steps, s)
	return errors.Join(err, r.write())
}

// attempts begins the moves of a step, has the fault happen and puts it right again.
func (r *run) attempts(ctx context.Context, s *soak.Step) ([]*attempt, error) {
	p := s.Plan
	for _, m := range r.machines {
		m.watch.ResetGaps()
	}
	f, breaks := faults.ByName(string(p.Fault))
	t := &faults.Target{Lab: r.lab, Source: p.From, Destination: p.To, VM: p.VM, At: faults.Point{Role: p.Point.Role, Phase: p.Point.Phase}}
	if breaks && !p.Point.Midway {
		if err := faults.Hold(r.lab, t.Host(t.At.Role), t.At); err != nil {
			return nil, err
		}
		defer func() { _ = faults.Release(r.lab, t.Host(t.At.Role), t.At) }()
	}
	first, err := r.begin(ctx, p.Hop)
	if err != nil {
		return nil, err
	}
	tried := []*attempt{first}
	t.Move = first.id
	there := breaks && first.id != "" && r.reach(ctx, s, t)
	if p.Beside != nil {
		second, err := r.begin(ctx, *p.Beside)
		if err != nil {
			return nil, err
		}
		second.beside = true
		tried = append(tried, second)
	}
	if s.Missed = breaks && !there; !there {
		return tried, ctx.Err()
	}
	return tried, r.happen(ctx, s, f, t)
}

// begin asks for a move as the operator on the workstation.
func (r *run) begin(ctx context.Context, h soak.Hop) (*attempt, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	res, err := r.lab.Drover(ctx, lab.UserOperator, append(h.Args(), "--detach", "-o", "json")...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", h, err)
	}
	a := &attempt{Hop: h}
	var answer struct {
		ID   string `json:"id"`
		Code string `json:"code"`
	}
	if err := json.Unmarshal([]byte(res.Stdout), &answer); err != nil {
		return nil, fmt.Errorf("%s: status %d: %w\n%s%s", h, res.Status, err, res.Stdout, res.Stderr)
	}
	if a.id, a.code = answer.ID, answer.Code; a.id == "" {
		r.say("refused: %s", a.code)
	}
	r.moved[h.From]++
	r.moved[h.To]++
	return a, nil
}

// reachLimit is for a move to come to its point, or to its end.
const reachLimit = 3 * time.Minute

// reach waits until the move is at the point of the fault; false if it is over before.
func (r *run) reach(ctx context.Context, s *soak.Step, t *faults.Target) bool {
	ctx, cancel := context.WithTimeout(ctx, reachLimit)
	defer cancel()
	if s.Plan.Point.Midway {
		return r.midway(ctx, t)
	}
	over := make(chan struct{})
	standing, stop := context.WithCancel(ctx)
	go func() {
		defer close(over)
		defer stop()
		_ = faults.Until(standing, 100*time.Millisecond, func(ctx context.Context) error {
			return wanted(r.record(ctx, t.Source, t.Move))(func(rec record.Record) bool { return rec.Phase.Over() })
		})
	}()
	err := faults.Standing(standing, r.lab, t.Host(t.At.Role), t.At)
	stop()
	<-over
	return err == nil
}

// midway waits until memory has begun to arrive.
func (r *run) midway(ctx context.Context, t *faults.Target) bool {
	var last record.Record
	err := faults.Until(ctx, 20*time.Millisecond, func(ctx context.Context) (err error) {
		last, err = r.record(ctx, t.Source, t.Move)
		return wanted(last, err)(func(rec record.Record) bool {
			return rec.Phase != record.Transfer && past(rec.Phase) || rec.Progress != nil && rec.Progress.Memory.Done > 0
		})
	})
	return err == nil && last.Phase == record.Transfer
}

// past reports whether a phase comes after the transfer.
func past(p record.Phase) bool {
	return p.Over() || slices.Contains([]record.Phase{record.Handover, record.Finish, record.Confirm, record.Unknown}, p)
}

// happen brings the fault about, lets the agent go on, and after the outage puts
// everything right again.
func (r *run) happen(ctx context.Context, s *soak.Step, f faults.Fault, t *faults.Target) error {
	if err := f.Apply(ctx, t); err != nil {
		if ctx.Err() != nil {
			return err
		}
		s.Missed = true
		s.Notes = append(s.Notes, err.Error())
		r.say("%s: nothing to break: %v", f.Title, err)
	}
	if err := faults.Release(r.lab, t.Host(t.At.Role), t.At); err != nil {
		return err
	}
	if err := last(ctx, s.Plan.Outage()); err != nil {
		return err
	}
	s.Notes = append(s.Notes, t.Said()...)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	if err := faults.Until(ctx, time.Second, func(ctx context.Context) error { return f.Undo(ctx, t) }); err != nil {
		return err
	}
	return r.resume(ctx, s)
}

// resume lets a VM go on that a full disk has stopped, as its administrator would: that is
// QEMU's answer to it, and no part of a move.
func (r *run) resume(ctx context.Context, s *soak.Step) error {
	if s.Plan.Fault != soak.DiskFull {
		return nil
	}
	for _, host := range []string{s.Plan.From, s.Plan.To} {
		out, err := r.lab.Virsh(ctx, host, "domstate", "--reason", s.Plan.VM)
		if err != nil || !strings.Contains(out, "I/O error") { // most hosts do not know it
			continue
		}
		s.Notes = append(s.Notes, host+": stopped by an I/O error, virsh resume")
		if _, err := r.lab.Virsh(ctx, host, "resume", s.Plan.VM); err != nil {
			return err
		}
	}
	return nil
}

// last is how long a fault lasts: what is planned is a time, not a state to wait for.
func last(ctx context.Context, outage time.Duration) error {
	timer := time.NewTimer(outage)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// again moves the VMs on that have stayed where they were, now without a fault: a move
// that failed must not keep a VM from being moved.
func (r *run) again(ctx context.Context, s *soak.Step, tried []*attempt) error {
	for _, a := range tried {
		m := r.machine(a.VM)
		if m.at == a.To {
			continue
		}
		m.watch.ResetGaps()
		next, err := r.begin(ctx, a.Hop)
		if err != nil {
			return err
		}
		next.again = true
		if err := r.conclude(ctx, s, next); err != nil {
			return err
		}
		if m.at != a.To {
			last := s.Made[len(s.Made)-1]
			r.broken(soak.Broken{Step: s.Plan.Step, VM: a.VM, Move: next.id,
				What: fmt.Sprintf("cannot be moved to %s after a move that failed: %s, %s", a.To, last.Phase, last.Code)})
			return errStop
		}
	}
	return nil
}

func (r *run) machine(name string) *machine {
	return r.machines[slices.IndexFunc(r.machines, func(m *machine) bool { return m.Name == name })]
}

// record is a move as a host's agent knows it now.
func (r *run) record(ctx context.Context, host, id string) (record.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return r.clients[host].Move(ctx, id)
}

func (r *run) active(ctx context.Context, host string) ([]record.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return r.clients[host].Moves(ctx, api.MoveFilter{Active: true})
}

// wanted makes a record, and an error in reading it, a question.
func wanted(rec record.Record, err error) func(func(record.Record) bool) error {
	return func(ok func(record.Record) bool) error {
		if err == nil && !ok(rec) {
			err = fmt.Errorf("move %s is in %s", rec.ID, rec.Phase)
		}
		return err
	}
}
