// Package benchdirectory measures what the directory side of Drover costs in a
// large domain: drover itself, run on the lab's workstation against the lab's domain
// controller, and a watcher's look at a directory in which nothing changes.
package benchdirectory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"drover/lab"
)

// Options of a measurement.
type Options struct {
	Lab    lab.Options
	Hosts  int    // that may delegate to one another
	Users  int    // that are there besides
	Rounds int    // how often each figure is taken
	Report string // where the figures go, as JSON
	Stdout io.Writer
	Stderr io.Writer // progress
}

// Run raises a lab, measures, writes the report and takes the lab down. Missed tells
// whether all went well and a figure missed its target.
func Run(ctx context.Context, o Options) (missed bool, err error) {
	b := &bench{Options: o, start: time.Now()}
	o.Lab.Progress = b.say
	// A lab of our own ends with us: its directory is of no use to anybody else.
	o.Lab.Hosts, o.Lab.NoAgents, o.Lab.Tied = []string{}, true, true
	if b.lab, err = lab.Up(ctx, o.Lab); err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if e := b.lab.Down(ctx); err == nil {
			err = e
		}
	}()
	r, err := b.measure(ctx)
	if err != nil {
		return false, err
	}
	if err := r.write(o.Report); err != nil {
		return false, err
	}
	return !r.Pass, r.print(o.Stdout)
}

type bench struct {
	Options
	lab     *lab.Lab
	start   time.Time
	touched int // how often something else was changed
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Stderr, "%5.1f s  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}

func (b *bench) measure(ctx context.Context) (*report, error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	env, err := b.environment(ctx)
	if err != nil {
		return nil, err
	}
	r := &report{Environment: env}
	cases := b.cases()
	for _, c := range cases {
		r.Figures = append(r.Figures, newFigure(c))
	}
	// Interleaved, so that what else the machine does is shared by all figures.
	for n := range b.Rounds {
		b.say("round %d of %d", n+1, b.Rounds)
		// A baseline is never overwritten.
		for _, m := range []string{lab.MGMT, lab.DC1} {
			if err := os.Remove(b.lab.Member(m).Path(baselinePath)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		for i, c := range cases {
			if err := b.take(ctx, c, &r.Figures[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	r.Environment.LoadAfter = load()
	r.finish()
	return r, nil
}

// prepare fills the directory and signs the administrator in.
func (b *bench) prepare(ctx context.Context) error {
	b.say("%d hosts and %d users", b.Hosts, b.Users)
	if err := b.lab.Populate(ctx, lab.Population{Hosts: b.Hosts, Users: b.Users}); err != nil {
		return err
	}
	// Nothing but the population is to be found amiss.
	for _, h := range lab.DefaultHosts() {
		if err := b.lab.Directory().SetDelegation(ctx, h); err != nil {
			return err
		}
		if err := b.lab.Directory().ChangeFlags(ctx, lab.HostDN(h), 0, lab.FlagTrustedToAuthForDlg); err != nil {
			return err
		}
	}
	if err := os.WriteFile(b.lab.Member(lab.MGMT).Path(policyPath), []byte(policy), 0o644); err != nil {
		return err
	}
	return b.lab.KInit(ctx, lab.UserAdministrator)
}

// take runs a case once and notes how long it took.
func (b *bench) take(ctx context.Context, c measured, f *Figure) error {
	if c.looks > 0 {
		return b.watch(ctx, c, f)
	}
	cmd := b.lab.DroverCommand(ctx, lab.UserAdministrator, c.args...)
	switch dc := b.lab.Member(lab.DC1); {
	case c.tool != nil:
		cmd = dc.Command(ctx, c.tool...)
	case c.socket:
		cmd = dc.Command(ctx, append([]string{lab.AssetsDir + "/bin/drover"}, append(c.args, "--ldapi")...)...)
	}
	out, errs := new(sized), new(sized)
	cmd.Stdout, cmd.Stderr = out, errs
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if cmd.ProcessState == nil {
		return err
	}
	if status := cmd.ProcessState.ExitCode(); status != c.status {
		return fmt.Errorf("exit status %d, expected %d: %s%s", status, c.status, errs.tail, out.tail)
	}
	f.RunsMS = append(f.RunsMS, milliseconds(took))
	f.OutputBytes = out.n
	return nil
}

// sized counts what is written and keeps the end of it.
type sized struct {
	n    int
	tail []byte
}

func (s *sized) Write(p []byte) (int, error) {
	const keep = 2000
	s.n += len(p)
	s.tail = append(s.tail, p...)
	s.tail = s.tail[max(0, len(s.tail)-keep):]
	return len(p), nil
}
