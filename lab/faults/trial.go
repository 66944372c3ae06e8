package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"drover/internal/api"
	"drover/internal/record"
	"drover/lab"
)

// trial is one case being tried.
type trial struct {
	*site
	Result
	fault  Fault
	target *Target
	guard  *Guard
	hosts  []string // those that live
	asked  sync.WaitGroup
	expect Expectation
}

// Limits of a trial's steps. They are for a machine that is busy with other things.
const (
	standLimit  = 90 * time.Second
	applyLimit  = 45 * time.Second
	settleLimit = 150 * time.Second
	tidyLimit   = 45 * time.Second
	verifyLimit = 2 * time.Minute
)

// try goes through one case. What it leaves undone, a lab that is broken, the caller
// finds out by whole.
func (s *site) try(ctx context.Context, c Case) Result {
	start := time.Now()
	f, _ := ByName(c.Fault)
	t := &trial{site: s, fault: f, expect: Expect(c), hosts: []string{s.at, s.other()},
		target: &Target{Lab: s.Lab, Source: s.at, Destination: s.other(), VM: vmName, At: c.At},
		Result: Result{Case: c, Began: start.UTC().Format(time.RFC3339), Expected: Expect(c).Lives}}
	if err := t.run(ctx); err != nil {
		t.Problem = err.Error()
	}
	t.Effect = t.target.Said()
	t.Took = seconds(time.Since(start))
	return t.Result
}

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// run applies the fault while the move stands at the point, repairs it, waits for the
// end and judges. An error is about the lab.
func (t *trial) run(ctx context.Context) (err error) {
	if t.guard, err = NewGuard(ctx, t.Lab, vmName); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.guard.Close()) }()
	asking, stop := context.WithCancel(ctx)
	defer t.asked.Wait()
	defer stop() // who asked a machine that is gone would wait for its answer
	host := t.target.Host(t.At.Role)
	if err := Hold(t.Lab, host, t.At); err != nil {
		return err
	}
	defer func() {
		if t.lives(host) {
			err = errors.Join(err, Release(t.Lab, host, t.At))
		}
	}()
	if err := t.begin(ctx, asking, host); err != nil {
		return err
	}
	if err := t.strike(ctx, host); err != nil {
		return err
	}
	t.patience(ctx)
	if err := within(ctx, applyLimit, t.target, t.fault.Undo); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	repaired := time.Now()
	if err := t.settle(ctx); err != nil {
		return err
	}
	t.tidy(ctx)
	t.Settled = seconds(time.Since(repaired))
	return t.judge(ctx)
}

func within(ctx context.Context, limit time.Duration, t *Target, do action) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx, t)
}

func (t *trial) lives(host string) bool {
	for _, h := range t.hosts {
		if h == host {
			return true
		}
	}
	return false
}

// begin starts the move, which is asked for until asking ends, and returns when it
// stands at the point.
func (t *trial) begin(ctx, asking context.Context, host string) error {
	before, err := t.newest(ctx, t.target.Source)
	if err != nil {
		return err
	}
	args := []string{"move", vmName, "--host", t.target.Source, "--to", t.target.Destination, "--detach"}
	if t.Storage {
		args = append(args, "--include-storage")
	}
	ctx, cancel := context.WithTimeout(ctx, standLimit)
	refused := make(chan lab.Result, 1)
	t.asked.Go(func() { // in queued the agent stands before it answers
		if r, err := t.Drover(asking, lab.UserOperator, args...); err == nil && r.Status != 0 {
			refused <- r
		}
	})
	defer cancel()
	err = Standing(ctx, t.Lab, host, t.At)
	if err != nil {
		why := t.last(context.WithoutCancel(ctx), before)
		select {
		case r := <-refused:
			why += fmt.Sprintf("; drover move: status %d: %s%s", r.Status, r.Stdout, r.Stderr)
		default:
		}
		return fmt.Errorf("%w; %s", err, why)
	}
	id, err := t.newest(ctx, t.target.Source)
	if err == nil && id == before {
		err = fmt.Errorf("%s has no record of the move", t.target.Source)
	}
	t.target.Move = id
	return err
}

// last says how the newest move stands, for a case that came to nothing.
func (t *trial) last(ctx context.Context, before string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var words []string
	for _, h := range t.hosts {
		recs, err := t.moves(ctx, h, api.MoveFilter{Limit: 1})
		switch {
		case err != nil:
			words = append(words, err.Error())
		case len(recs) == 0 || recs[0].ID == before:
			words = append(words, h+" has no move")
		case recs[0].Error != nil:
			words = append(words, fmt.Sprintf("%s: %s, %v", h, recs[0].Phase, recs[0].Error))
		default:
			words = append(words, fmt.Sprintf("%s: %s", h, recs[0].Phase))
		}
	}
	return strings.Join(words, "; ")
}

// strike applies the fault and lets the agent go on. In the source's transfer it is
// applied in the middle of the data, which a slow link makes last.
func (t *trial) strike(ctx context.Context, host string) error {
	if t.At == (Point{record.Source, record.Transfer}) {
		if err := t.flow(ctx, host); err != nil {
			return err
		}
		defer func() {
			if t.lives(t.target.Source) {
				_ = t.SetSendRate(ctx, t.target.Source, lab.Migration, 0)
			}
		}()
	}
	if t.fault.Fatal {
		gone := t.target.Source
		if t.Fault == DestinationGone {
			gone = t.target.Destination
		}
		t.guard.Forget(gone)
		t.hosts = remove(t.hosts, gone)
	}
	if err := within(ctx, applyLimit, t.target, t.fault.Apply); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if !t.lives(host) {
		return nil
	}
	return Release(t.Lab, host, t.At)
}

func remove(hosts []string, gone string) (rest []string) {
	for _, h := range hosts {
		if h != gone {
			rest = append(rest, h)
		}
	}
	return rest
}

// In the transfer: so slow, and so much of it.
const (
	trickle = 40_000_000
	begun   = 1 << 20
)

// flow lets the transfer begin and returns when some of it is over.
func (t *trial) flow(ctx context.Context, host string) error {
	source := t.Member(t.target.Source)
	if err := t.SetSendRate(ctx, t.target.Source, lab.Migration, trickle); err != nil {
		return err
	}
	before, err := source.Counters(lab.Migration)
	if err != nil {
		return err
	}
	if err := Release(t.Lab, host, t.At); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, standLimit)
	defer cancel()
	return until(ctx, "data to flow", func(context.Context) error {
		now, err := source.Counters(lab.Migration)
		if err == nil && now.Sent < before.Sent+begun {
			err = fmt.Errorf("%d bytes", now.Sent-before.Sent)
		}
		return err
	})
}

// patience waits until those who live have noticed, so that the repair does not come
// before the fault has had its effect; or as long as the fault has to last.
func (t *trial) patience(ctx context.Context) {
	if t.fault.Lasts > 0 {
		select {
		case <-time.After(t.fault.Lasts):
		case <-ctx.Done():
		}
		return
	}
	limit := 6 * time.Second
	switch t.Fault {
	case CutMigration, CutManagement, CutBoth, DeafSource, DeafDestination, ClockJump, Cancel:
		limit = time.Minute
	case DiskFull: // the journal cannot say that it is over
		limit = 12 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_ = until(ctx, "the agents to notice", func(ctx context.Context) error {
		for _, h := range t.hosts {
			recs, err := t.moves(ctx, h, api.MoveFilter{Active: true})
			if err == nil && len(recs) > 0 && recs[0].Phase != record.Unknown {
				return fmt.Errorf("%s is in %s", h, recs[0].Phase)
			}
		}
		return nil
	})
}

// moves asks a host's agent itself, past all networks.
func (t *trial) moves(ctx context.Context, host string, f api.MoveFilter) ([]record.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := t.Local(host)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Moves(ctx, f)
}

func (t *trial) newest(ctx context.Context, host string) (string, error) {
	recs, err := t.moves(ctx, host, api.MoveFilter{Limit: 1, Role: record.Source})
	if err != nil || len(recs) == 0 {
		return "", err
	}
	return recs[0].ID, nil
}
