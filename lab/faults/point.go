package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"drover/internal/record"
	"drover/lab"
)

// Point is a moment of a move: right after one side has journalled a phase.
type Point struct {
	Role  record.Role  `json:"role"`
	Phase record.Phase `json:"phase"`
}

func (p Point) String() string { return string(p.Role) + ":" + string(p.Phase) }

// Points are the moments of a move at which something different is journalled, in
// order. The destination journals negotiate together with authorise, and connect
// together with transfer.
func Points() []Point {
	var points []Point
	for _, phase := range []record.Phase{record.Queued, record.Negotiate, record.Authorise, record.Prepare, record.Connect,
		record.Transfer, record.Handover, record.Finish, record.Confirm} {
		points = append(points, Point{record.Source, phase})
		switch phase {
		case record.Queued, record.Negotiate, record.Connect:
		default:
			points = append(points, Point{record.Destination, phase})
		}
	}
	return points
}

// HandedOver tells whether at this point the source has given the VM away: from there
// on the destination's journal says who has it.
func (p Point) HandedOver() bool {
	return p.Phase == record.Handover || p.Phase == record.Finish || p.Phase == record.Confirm
}

// holdDir is where an agent looks for what it is asked to do, inside its host.
const holdDir = "/run/drover-hold"

// holdEnv makes an agent that is built for it look there.
const holdEnv = "DROVERD_INJECT=hold:" + holdDir

func holdFile(l *lab.Lab, host string, p Point) string {
	return filepath.Join(l.Member(host).Path(holdDir), string(p.Role)+"."+string(p.Phase))
}

// Hold has the agent of a host stand at a point the next time that it comes there.
func Hold(l *lab.Lab, host string, p Point) error {
	return os.WriteFile(holdFile(l, host, p), nil, 0o600)
}

// Standing waits until the agent stands where it was asked to.
func Standing(ctx context.Context, l *lab.Lab, host string, p Point) error {
	return until(ctx, fmt.Sprintf("%s to stand at %s", host, p), func(context.Context) error {
		_, err := os.Stat(holdFile(l, host, p) + ".here")
		return err
	})
}

// Release lets the agent go on, or takes back that it was asked to stand. Safe when
// neither is so, and when the host is gone.
func Release(l *lab.Lab, host string, p Point) error {
	var errs []error
	for _, suffix := range []string{"", ".here"} {
		if err := os.Remove(holdFile(l, host, p) + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// setClock puts the clock of a host's agent off by so much, 0 for not at all.
func setClock(l *lab.Lab, host string, off time.Duration) error {
	file := filepath.Join(l.Member(host).Path(holdDir), "clock")
	if off == 0 {
		if err := os.Remove(file); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := os.WriteFile(file+".new", []byte(off.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// until is Until, ten times a second, with an error that says what was waited for.
func until(ctx context.Context, what string, ready func(context.Context) error) error {
	if err := Until(ctx, 100*time.Millisecond, ready); err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}

// Until asks until there is no error; the last one is given when ctx ends.
func Until(ctx context.Context, every time.Duration, ask func(context.Context) error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // not that this very question was cut short
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (%w)", last, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
