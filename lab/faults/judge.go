package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"drover/internal/api"
	"drover/internal/guest"
	"drover/internal/record"
	"drover/lab"
)

// settle waits until no agent has an unfinished move any more. Where the facts leave
// the decision to a person, that is made with the command that the agent prints.
func (t *trial) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	err := until(ctx, "the end of the move", func(ctx context.Context) error {
		for _, h := range t.hosts {
			active, err := t.moves(ctx, h, api.MoveFilter{Active: true})
			if err != nil {
				return err
			}
			if len(active) == 0 {
				continue
			}
			if active[0].Phase == record.Unknown && t.expect.Person && t.Person == "" {
				if err := t.resolve(ctx, active[0]); err != nil {
					return err
				}
			}
			return fmt.Errorf("%s: move %s is in %s", h, active[0].ID, active[0].Phase)
		}
		return nil
	})
	if err != nil && ctx.Err() != nil && context.Cause(ctx) == context.DeadlineExceeded {
		t.breaks("not settled after %s: %v", settleLimit, err)
		return nil
	}
	return err
}

// resolve runs the command that an unknown move's hint prints, as an administrator
// types it.
func (t *trial) resolve(ctx context.Context, rec record.Record) error {
	if rec.Error == nil {
		return errors.New("an unknown move without an error")
	}
	command := printed(rec.Error.Hint(), "source")
	if command == nil {
		t.breaks("the hint of an unknown move has no command: %s", rec.Error.Hint())
		t.Person = "none printed"
		return nil
	}
	t.Person = strings.Join(command, " ")
	// Without --yes it asks, on a terminal.
	r, err := t.Drover(ctx, lab.UserAdmin, append(command[1:], "--yes")...)
	if err == nil && r.Status != 0 {
		t.breaks("%s: status %d: %s%s", t.Person, r.Status, r.Stdout, r.Stderr)
	}
	return err
}

// printed finds the command to resolve a move in a hint, and fills in which side is kept.
func printed(hint, keep string) []string {
	for _, piece := range strings.Split(hint, "`") {
		if words := strings.Fields(piece); len(words) > 3 && strings.HasPrefix(piece, "drover move resolve ") {
			for i, w := range words {
				if strings.Contains(w, "source|destination") || i > 0 && words[i-1] == "--keep" {
					words[i] = keep
				}
			}
			return words
		}
	}
	return nil
}

// tidy waits until nothing of Drover's is left. A VM that its host's full disk has
// stopped is let go on, as its administrator would.
func (t *trial) tidy(ctx context.Context) {
	if t.Fault == DiskFull {
		t.resumeStopped(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, tidyLimit)
	defer cancel()
	_ = until(ctx, "no leftovers", func(ctx context.Context) error {
		var left Leftovers
		for _, h := range t.hosts {
			var residents []*lab.VM
			if known, err := t.knows(ctx, h); err != nil || known {
				residents = append(residents, t.vm)
			}
			found, err := Inspect(ctx, t.Lab, h, t.bases[h], residents...)
			if err != nil {
				return err
			}
			for _, o := range found.Ours {
				left.Ours = append(left.Ours, h+": "+o)
			}
			for _, o := range found.Forgotten {
				left.Forgotten = append(left.Forgotten, h+": "+o)
			}
		}
		t.Left = left
		if len(left.Ours) > 0 {
			return errors.New(strings.Join(left.Ours, "; "))
		}
		return nil
	})
	if len(t.Left.Ours) > 0 {
		t.breaks("left: %s", strings.Join(t.Left.Ours, "; "))
	}
}

func (t *trial) knows(ctx context.Context, host string) (bool, error) {
	ids, err := domains(ctx, t.Lab, host)
	_, known := ids[vmName]
	return known, err
}

func (t *trial) resumeStopped(ctx context.Context) {
	for _, h := range t.hosts {
		out, err := t.Virsh(ctx, h, "domstate", "--reason", vmName)
		if err == nil && strings.Contains(out, "I/O error") {
			t.Person = "virsh resume " + vmName
			if _, err := t.Virsh(ctx, h, "resume", vmName); err != nil {
				t.breaks("%s: %v", t.Person, err)
			}
		}
	}
}

func (t *trial) breaks(format string, args ...any) {
	t.Broken = append(t.Broken, fmt.Sprintf(format, args...))
}

// judge holds what is there against what is promised.
func (t *trial) judge(ctx context.Context) error {
	if err := t.whereabouts(ctx); err != nil {
		return err
	}
	if !t.expect.allows(t.Lives) {
		t.breaks("the VM lives at %s, expected %v", t.Lives, t.Expected)
	}
	if err := t.journals(ctx); err != nil {
		return err
	}
	if t.Lives != Nowhere {
		t.verify(ctx)
	}
	if t.expect.Person && t.Person == "" {
		t.breaks("it settled by itself where only a person can know")
	}
	seen, err := t.guard.Seen()
	if err != nil {
		return err
	}
	t.Copies, t.Evidence = seen.Copies, seen.Evidence
	if t.Copies > 1 {
		t.breaks("%d copies ran at once: %s", t.Copies, t.Evidence)
	}
	return nil
}

// whereabouts finds where the VM runs, and that it is known to its host alone.
func (t *trial) whereabouts(ctx context.Context) error {
	running, err := t.running(ctx, t.hosts)
	if err != nil {
		return err
	}
	t.Lives = Nowhere
	switch {
	case len(running) > 1:
		t.breaks("it runs on %v", running)
	case len(running) == 1 && running[0] == t.target.Source:
		t.Lives = AtSource
	case len(running) == 1:
		t.Lives = AtDestination
	}
	known := 0
	for _, h := range t.hosts {
		if knows, err := t.knows(ctx, h); err != nil {
			return err
		} else if knows {
			known++
		}
	}
	if want := len(running); known > max(1, want) || known < want {
		t.breaks("%d hosts know the VM and %d run it", known, want)
	}
	// The only copy was ended from outside: its definition and its disk are there still,
	// unless they were on a machine that is gone.
	if t.Lives == Nowhere && !t.fault.Fatal && known != 1 {
		t.breaks("the VM has ended, and %d hosts have its definition", known)
	}
	return nil
}

// journals compares what both sides have written with where the VM is.
func (t *trial) journals(ctx context.Context) error {
	for _, side := range []struct {
		role record.Role
		end  *End
	}{{record.Source, &t.Source}, {record.Destination, &t.Destination}} {
		host := t.target.Host(side.role)
		if !t.lives(host) {
			side.end.Gone = true
			continue
		}
		recs, err := t.moves(ctx, host, api.MoveFilter{})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(recs, func(r record.Record) bool { return r.ID == t.target.Move })
		if i >= 0 {
			side.end.Phase = recs[i].Phase
			if recs[i].Error != nil {
				side.end.Code = string(recs[i].Error.Code)
			}
		} else if side.role == record.Source {
			t.breaks("%s has no record of the move", host)
		}
		done := side.end.Phase == record.Done
		switch {
		case t.Lives == AtDestination && !done && i >= 0, t.Lives == AtSource && done:
			t.breaks("the VM lives at %s, and the %s's journal says %s", t.Lives, side.role, side.end.Phase)
		case t.Lives == AtDestination && i < 0:
			t.breaks("the VM lives at the destination, and the %s's journal has no such move", side.role)
		}
	}
	return nil
}

// verify has the guest check all it has, and holds what was seen of it against one
// machine that ran on.
func (t *trial) verify(ctx context.Context) {
	if t.expect.Risk { // another copy has used the numbers of its answers
		if err := t.observe(ctx); err != nil {
			t.breaks("%v", err)
			return
		}
	}
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	from := t.watch.Snapshot().Sent
	if _, err := t.watch.Wait(ctx, func(s guest.Status) bool { return s.Seq > from+5 }); err != nil {
		t.breaks("the guest does not answer: %v", err)
		return
	}
	_, err := t.watch.VerifyNow(ctx)
	if err == nil {
		err = t.watch.Snapshot().Sound()
	}
	t.Verified = err == nil
	if err != nil && !t.expect.Risk {
		t.breaks("%v", err)
	}
	if err != nil && t.expect.Risk {
		t.target.say("as the command warned: %v", err)
	}
}
