package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"time"

	"drover/internal/version"
	"drover/lab"
)

// Options say what to run.
type Options struct {
	Lab    lab.Options
	Cases  string // a regular expression; "" is all
	Quick  bool   // cure in one form only
	Moves  bool   // move a guest after each cure
	Out    string // file for the report
	Stderr io.Writer
}

// Matrix is what doctor-matrix writes.
type Matrix struct {
	Time     time.Time         `json:"time"`
	Versions map[string]string `json:"versions"`
	// Healthy is what was found before anything was broken, and after all was put right.
	Healthy  []string  `json:"healthy"`
	Hosts    int       `json:"hosts"`   // of the healthy lab
	Seconds  float64   `json:"seconds"` // of the look at them all, the longer of the two
	Quick    bool      `json:"quick"`   // one form of each cure was tried
	Outcomes []Outcome `json:"outcomes"`
	Couples  []Couple  `json:"couples"` // two faults at once

	runs int // that were put together
}

// Run raises a lab, runs the cases one after the other, and takes it down. The report is
// written after each case, so that a run that is cut short has its results. It says how
// many did not go as they should.
func Run(ctx context.Context, o Options) (failed int, err error) {
	wanted, err := regexp.Compile(o.Cases)
	if err != nil {
		return 0, fmt.Errorf("--cases: %w", err)
	}
	o.Lab.Tied, o.Lab.Unjoined, o.Lab.Hosts = true, true, lab.HostNames()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(o.Stderr, format+"\n", args...) }
	o.Lab.Progress = func(format string, args ...any) { say("# "+format, args...) }
	l, err := lab.Up(ctx, o.Lab)
	if err != nil {
		return 0, err
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if e := l.Down(cleanup); err == nil {
			err = e
		}
	}()
	w := New(l, o.Quick)
	m := &Matrix{Time: time.Now().UTC(), Versions: map[string]string{"drover": version.String(), "commit": version.Get().Commit, "go": runtime.Version()}, Quick: o.Quick, Healthy: []string{}}
	if err := w.healthy(ctx, m); err != nil {
		return 0, err
	}
	say("healthy lab of %d hosts: %d findings, %.1f s %q", m.Hosts, len(m.Healthy), m.Seconds, m.Healthy)
	if o.Moves {
		if err := w.Boot(ctx); err != nil {
			return 0, err
		}
	}
	if failed, err = w.runCases(ctx, m, wanted, o.Out, say); err != nil {
		return failed, err
	}
	n, err := w.runCouples(ctx, m, wanted, o.Out, say)
	if failed += n; err != nil {
		return failed, err
	}
	if w.guest != nil {
		if err := w.Alive(ctx); err != nil {
			return failed, err
		}
	}
	if err := w.healthy(ctx, m); err != nil {
		return failed, err
	}
	say("healthy lab: %q, %.1f s", m.Healthy, m.Seconds)
	return failed + len(m.Healthy), m.write(o.Out)
}

// runCases runs the single faults.
func (w *World) runCases(ctx context.Context, m *Matrix, wanted *regexp.Regexp, out string, say func(string, ...any)) (failed int, err error) {
	for _, c := range Cases() {
		if !wanted.MatchString(c.Name) {
			continue
		}
		outcome, err := w.Run(ctx, c)
		if err != nil {
			outcome.Notes = append(outcome.Notes, err.Error())
		}
		m.Outcomes = append(m.Outcomes, outcome)
		if err != nil || !outcome.Passed() {
			failed++
		}
		say("%s", outcome)
		if e := m.write(out); e != nil {
			return failed, e
		}
		if ctx.Err() != nil {
			return failed, context.Cause(ctx)
		}
	}
	return failed, nil
}

// healthy looks while nothing is broken, at four hosts that may delegate to each other.
func (w *World) healthy(ctx context.Context, m *Matrix) error {
	hosts := lab.HostNames()
	for _, h := range hosts {
		others := slices.DeleteFunc(slices.Clone(hosts), func(o string) bool { return o == h })
		if err := w.dir().SetDelegation(ctx, h, lab.DelegationTo(others...)...); err != nil {
			return err
		}
		if err := w.dir().ChangeFlags(ctx, lab.HostDN(h), lab.FlagTrustedToAuthForDlg, 0); err != nil {
			return err
		}
	}
	r, err := w.Examine(ctx, hosts...)
	if err != nil {
		return err
	}
	m.Hosts, m.Seconds = len(hosts), max(m.Seconds, r.Seconds)
	for _, c := range r.Causes {
		m.Healthy = append(m.Healthy, fmt.Sprintf("%s %s: %s", c.Severity, c.Code, c.Message))
	}
	return w.dir().Reset(ctx)
}

func (m *Matrix) write(path string) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

// String is one line for whoever watches.
func (o Outcome) String() string {
	state := "ok  "
	if !o.Passed() || len(o.Notes) > 0 {
		state = "FAIL"
	}
	s := fmt.Sprintf("%s %-55s %-28s %4.1f s", state, o.Case, o.First, o.Seconds)
	if o.First != o.Expected {
		s += fmt.Sprintf(" expected %s", o.Expected)
	}
	s += fmt.Sprintf(" fixed %v undone %v %s", o.Fixed, o.Undone, o.NoUndo)
	if o.Moved != nil {
		s += fmt.Sprintf(" moved %v %.1f s", *o.Moved, o.MoveSeconds)
	}
	for _, f := range o.False {
		s += "\n       false: " + f
	}
	for _, n := range o.Notes {
		s += "\n       " + n
	}
	return s
}
