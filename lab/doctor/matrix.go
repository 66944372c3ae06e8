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
	"time"

	"drover/internal/version"
	"drover/lab"
)

// Options say what to run.
type Options struct {
	Lab    lab.Options
	Cases  string // a regular expression; "" is all
	Quick  bool   // cure in one form only
	Out    string // file for the report
	Stderr io.Writer
}

// Matrix is what doctor-matrix writes.
type Matrix struct {
	Time     time.Time         `json:"time"`
	Versions map[string]string `json:"versions"`
	// Healthy is what was found before anything was broken, and after all was put right.
	Healthy  []string  `json:"healthy"`
	Seconds  float64   `json:"seconds"` // of the look at the healthy lab
	Quick    bool      `json:"quick"`   // one form of each cure was tried
	Outcomes []Outcome `json:"outcomes"`
}

// Run raises a lab, runs the cases one after the other, and takes it down. The report is
// written after each case, so that a run that is cut short has its results. It says how
// many did not go as they should.
func Run(ctx context.Context, o Options) (failed int, err error) {
	wanted, err := regexp.Compile(o.Cases)
	if err != nil {
		return 0, fmt.Errorf("--cases: %w", err)
	}
	o.Lab.Tied, o.Lab.Unjoined = true, true
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
	m := &Matrix{Time: time.Now().UTC(), Versions: map[string]string{"drover": version.String(), "go": runtime.Version()}, Quick: o.Quick, Healthy: []string{}}
	if err := w.healthy(ctx, m); err != nil {
		return 0, err
	}
	say("healthy lab: %d findings, %.1f s %q", len(m.Healthy), m.Seconds, m.Healthy)
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
		if e := m.write(o.Out); e != nil {
			return failed, e
		}
		if ctx.Err() != nil {
			return failed, context.Cause(ctx)
		}
	}
	if err := w.healthy(ctx, m); err != nil {
		return failed, err
	}
	say("healthy lab: %q", m.Healthy)
	return failed + len(m.Healthy), m.write(o.Out)
}

// healthy looks while nothing is broken.
func (w *World) healthy(ctx context.Context, m *Matrix) error {
	r, err := w.Examine(ctx, lab.DefaultHosts()...)
	if err != nil {
		return err
	}
	m.Seconds = r.Seconds
	for _, c := range r.Causes {
		m.Healthy = append(m.Healthy, fmt.Sprintf("%s %s: %s", c.Severity, c.Code, c.Message))
	}
	return nil
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
	for tool, ok := range o.Fixed {
		s += fmt.Sprintf(" %s:%v", tool, ok)
	}
	for _, f := range o.False {
		s += "\n       false: " + f
	}
	for _, n := range o.Notes {
		s += "\n       " + n
	}
	return s
}
