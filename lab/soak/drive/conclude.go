package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/lab"
	"drover/lab/faults"
	"drover/lab/soak"
)

const (
	// settleLimit is for moves to end once nothing is broken any more.
	settleLimit = 5 * time.Minute
	// tidyLimit is for what goes away by itself.
	tidyLimit   = time.Minute
	verifyLimit = 3 * time.Minute
)

// conclude waits until the moves are over and checks all that is promised then.
func (r *run) conclude(ctx context.Context, s *soak.Step, tried ...*attempt) error {
	began := time.Now()
	if err := r.settle(ctx, s); err != nil {
		return err
	}
	if ms := time.Since(began).Milliseconds(); !tried[0].again {
		s.SettledMS = ms
	}
	for _, a := range tried {
		if err := r.locate(ctx, s, a); err != nil {
			return err
		}
	}
	for _, a := range tried {
		made, err := r.outcome(ctx, s, a)
		if err != nil {
			return err
		}
		s.Made = append(s.Made, made)
		if made.Phase != record.Done && (s.Plan.Fault == soak.None || s.Missed && len(s.Notes) == 0 && !a.beside) {
			r.broken(soak.Broken{Step: s.Plan.Step, VM: a.VM, Move: a.id, What: fmt.Sprintf("failed without a fault: %s %s", made.Code, made.Error)})
		}
		r.say("  %s: %s %s, on %s, silent for %d ms, settled after %.1f s", a.VM, made.Phase, made.Code, made.Host, made.BlackoutMS, float64(s.SettledMS)/1000)
	}
	if err := r.tidy(ctx, s); err != nil {
		return err
	}
	return r.sound(ctx, s, tried)
}

// settle waits until no agent has an unfinished move.
func (r *run) settle(ctx context.Context, s *soak.Step) error {
	limited, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	err := faults.Until(limited, 50*time.Millisecond, func(ctx context.Context) error {
		for _, m := range r.lab.Hosts() {
			active, err := r.active(ctx, m.Name)
			if err != nil {
				return err
			}
			if len(active) > 0 {
				return fmt.Errorf("%s: move %s of %s is in %s (%v)", m.Name, active[0].ID, active[0].VM, active[0].Phase, active[0].Error)
			}
		}
		return nil
	})
	if err == nil || ctx.Err() != nil {
		return err
	}
	r.broken(soak.Broken{Step: s.Plan.Step, What: "not settled: " + err.Error()})
	return errStop
}

// locate finds the one host on which a VM runs.
func (r *run) locate(ctx context.Context, s *soak.Step, a *attempt) error {
	limited, cancel := context.WithTimeout(ctx, tidyLimit)
	defer cancel()
	var on []string
	err := faults.Until(limited, 200*time.Millisecond, func(ctx context.Context) error {
		on = nil
		for _, m := range r.lab.Hosts() {
			list, err := r.lab.Virsh(ctx, m.Name, "list", "--name", "--state-running")
			if err != nil {
				return err
			}
			if slices.Contains(strings.Fields(list), a.VM) {
				on = append(on, m.Name)
			}
		}
		if len(on) != 1 {
			return fmt.Errorf("runs on %v by the word of the libvirts", on)
		}
		return nil
	})
	if ctx.Err() != nil {
		return err
	}
	if err != nil || on[0] != a.From && on[0] != a.To {
		r.broken(soak.Broken{Step: s.Plan.Step, VM: a.VM, Move: a.id, What: fmt.Sprintf("it runs on %v: %v", on, err)})
		return errStop
	}
	r.machine(a.VM).at = on[0]
	return nil
}

// outcome reads how a move ended, and holds both journals against where the VM is.
func (r *run) outcome(ctx context.Context, s *soak.Step, a *attempt) (soak.Made, error) {
	m := r.machine(a.VM)
	made := soak.Made{ID: a.id, VM: a.VM, Again: a.again, Beside: a.beside, Phase: record.Failed, Code: a.code, Host: m.at,
		BlackoutMS: m.watch.Snapshot().Blackout.Milliseconds()}
	if a.id == "" {
		return made, nil
	}
	moved := m.at == a.To
	for _, side := range []struct {
		role record.Role
		host string
	}{{record.Source, a.From}, {record.Destination, a.To}} {
		rec, err := r.record(ctx, side.host, a.id)
		var coded *fault.Error
		if errors.As(err, &coded) && coded.Code == fault.MoveNotFound && side.role == record.Destination && !moved {
			continue // it was not reached
		}
		if err != nil && ctx.Err() != nil {
			return made, err
		}
		wrong := ""
		switch {
		case err != nil:
			wrong = err.Error()
		case moved != (rec.Phase == record.Done), moved != (rec.Error == nil):
			wrong = fmt.Sprintf("%s, %v", rec.Phase, rec.Error)
		}
		if wrong != "" {
			r.broken(soak.Broken{Step: s.Plan.Step, VM: a.VM, Move: a.id,
				What: fmt.Sprintf("the VM is on %s, and the journal of %s, the %s, says: %s", m.at, side.host, side.role, wrong)})
		}
		if err == nil && side.role == record.Source {
			if made.Phase = rec.Phase; rec.Error != nil {
				made.Code, made.Error = string(rec.Error.Code), rec.Error.Error()
			}
		}
	}
	return made, nil
}

// tidy waits until no host has anything but its VMs.
func (r *run) tidy(ctx context.Context, s *soak.Step) error {
	limited, cancel := context.WithTimeout(ctx, tidyLimit)
	defer cancel()
	left := map[string]faults.Leftovers{}
	err := faults.Until(limited, 500*time.Millisecond, func(ctx context.Context) error {
		for _, m := range r.lab.Hosts() {
			found, err := faults.Inspect(ctx, r.lab, m.Name, r.base[m.Name], r.residents(m.Name)...)
			if err != nil {
				return err
			}
			if left[m.Name] = found; len(found.Ours) > 0 {
				return errors.New(strings.Join(found.Ours, "; "))
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for host, l := range left {
		for _, what := range l.Ours {
			err = nil
			r.broken(soak.Broken{Step: s.Plan.Step, What: "left on " + host + ": " + what})
		}
	}
	return err // it could not even be looked for
}

func (r *run) residents(host string) (vms []*lab.VM) {
	for _, m := range r.machines {
		if m.at == host {
			vms = append(vms, m.vm)
		}
	}
	return vms
}

// sound has the guests that moved check their memory and disks, and looks at what was
// seen of all.
func (r *run) sound(ctx context.Context, s *soak.Step, tried []*attempt) error {
	broken := false
	for _, m := range r.machines {
		var errs []error
		if slices.ContainsFunc(tried, func(a *attempt) bool { return a.VM == m.Name }) {
			limited, cancel := context.WithTimeout(ctx, verifyLimit)
			_, err := m.watch.VerifyNow(limited)
			cancel()
			errs = append(errs, err)
		}
		errs = append(errs, m.watch.Snapshot().Sound(), r.counted(m))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := errors.Join(errs...); err != nil {
			r.broken(soak.Broken{Step: s.Plan.Step, VM: m.Name, What: err.Error()})
			broken = true
		}
	}
	if broken {
		return errStop
	}
	return nil
}

// counted is an error when more than one copy of a VM ran at any instant.
func (r *run) counted(m *machine) error {
	seen, err := m.guard.Seen()
	if err != nil {
		return err
	}
	r.result.Copies = max(r.result.Copies, seen.Copies)
	r.result.Heartbeats = 0
	for _, each := range r.machines {
		r.result.Heartbeats += each.watch.Snapshot().Answered
	}
	if seen.Copies > 1 {
		return fmt.Errorf("%d copies ran: %s", seen.Copies, seen.Evidence)
	}
	return nil
}
