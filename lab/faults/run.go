package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"drover/internal/version"
	"drover/lab"
)

// Options of a run.
type Options struct {
	Lab lab.Options // Name, Rootfs and Assets
	// Only is a regular expression of cases to try, by Case.String; "" for all.
	Only string
	// Storage, when set, tries only cases that copy the disk, or only the others.
	Storage *bool
	// Shard of Shards, from 1 on; 0 of 0 for everything.
	Shard, Shards int
	// Resume keeps the good results that Out has.
	Resume bool
	// Budget: after this time no case is begun any more; 0 for no end.
	Budget time.Duration
	Out    string
	Stdout io.Writer // results
	Stderr io.Writer // what happens
}

// ErrBroken says that a promise was not kept, or that a case proved nothing.
var ErrBroken = errors.New("there are cases that were not as promised")

// Select gives the cases that the options name.
func (o Options) Select() ([]Case, error) {
	cases := Cases()
	if o.Shards > 0 {
		if o.Shard < 1 || o.Shard > o.Shards {
			return nil, fmt.Errorf("shard %d of %d", o.Shard, o.Shards)
		}
		cases = Shard(cases, o.Shard, o.Shards)
	}
	only, err := regexp.Compile(o.Only)
	if err != nil {
		return nil, err
	}
	var chosen []Case
	for _, c := range cases {
		if only.MatchString(c.String()) && (o.Storage == nil || *o.Storage == c.Storage) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no case is like %q", o.Only)
	}
	return chosen, nil
}

// Run tries the cases and writes the report after each. ErrBroken says that not all of
// those that were tried are good.
func Run(ctx context.Context, o Options) (err error) {
	start := time.Now()
	say := func(format string, args ...any) {
		_, _ = fmt.Fprintf(o.Stderr, "%6.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	cases, err := o.Select()
	if err != nil {
		return err
	}
	report := &Report{Versions: map[string]string{}, Began: start.UTC().Format(time.RFC3339)}
	if o.Resume {
		if report, err = Read(o.Out, false); err != nil {
			return err
		}
	}
	todo := report.missing(cases)
	o.Lab.Progress = say
	s := &site{options: o.Lab}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, s.down(ctx))
	}()
	say("%d cases, %d of them to try", len(cases), len(todo))
	for i, c := range todo {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if o.Budget > 0 && time.Since(start) > o.Budget {
			say("the time is up, %d cases are left; --resume goes on with them", len(todo)-i)
			break
		}
		r := s.once(ctx, c, filepath.Join(filepath.Dir(o.Out), "faults-logs"), say)
		if ctx.Err() != nil {
			return context.Cause(ctx) // half a case says nothing
		}
		if s.Lab != nil {
			s.environment(ctx, report)
		}
		report.put(r)
		if err := report.write(o.Out); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(o.Stdout, "%4d/%d %s\n", i+1, len(todo), r.line())
	}
	if report.broken(cases) > 0 {
		return ErrBroken
	}
	return nil
}

// line is a result on one line.
func (r Result) line() string {
	word := "ok"
	switch {
	case r.Problem != "":
		word = "PROBLEM " + r.Problem
	case len(r.Broken) > 0:
		word = "BROKEN " + strings.Join(r.Broken, "; ")
	}
	more := ""
	if r.Person != "" {
		more = ", by hand"
	}
	return fmt.Sprintf("%-45s %-11s %5.1f s, settled in %.1f s%s: %s", r.Case, r.Lives, r.Took, r.Settled, more, word)
}

// once tries a case and readies the site for the next one.
func (s *site) once(ctx context.Context, c Case, logs string, say func(string, ...any)) Result {
	if err := s.ready(ctx, c.Storage); err != nil {
		say("%s: %v", c, err)
		s.lose(ctx, say)
		return Result{Case: c, Began: time.Now().UTC().Format(time.RFC3339), Problem: err.Error()}
	}
	r := s.try(ctx, c)
	if !r.good() && ctx.Err() == nil {
		to := filepath.Join(logs, strings.NewReplacer("/", "-", ":", "-").Replace(c.String()))
		if err := s.keepLogs(ctx, to); err != nil {
			say("logs of %s: %v", c, err)
		}
	}
	f, _ := ByName(c.Fault)
	switch {
	case !r.good() || f.Fatal:
		s.lose(ctx, say)
	case r.Lives == Nowhere:
		s.RemoveVM(ctx, s.vm)
		s.forgetVM()
	case r.Lives == AtDestination:
		s.at = s.other()
	}
	for _, line := range r.Left.Forgotten { // once is enough
		if host, what, found := strings.Cut(line, ": "); found && s.bases[host].seen != nil {
			s.bases[host].seen[what] = true
		}
	}
	return r
}

// lose takes a lab away of which nobody knows how whole it is.
func (s *site) lose(ctx context.Context, say func(string, ...any)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := s.down(ctx); err != nil {
		say("take the lab down: %v", err)
	}
}

// environment notes what the results depend on.
func (s *site) environment(ctx context.Context, r *Report) {
	if r.Versions["qemu"] != "" {
		return
	}
	for key, argv := range map[string][]string{"qemu": {"qemu-system-x86_64", "--version"}, "libvirt": {"libvirtd", "--version"}} {
		out, err := s.Member(s.Hosts()[0].Name).Run(ctx, argv...)
		if err != nil {
			return
		}
		line, _, _ := strings.Cut(out, "\n")
		r.Versions[key] = strings.TrimPrefix(strings.TrimPrefix(line, "QEMU emulator version "), "libvirtd (libvirt) ")
	}
	r.Versions["drover"], r.Versions["rootfs"] = version.String(), s.Rootfs()
	r.Versions["cores"] = strconv.Itoa(runtime.NumCPU())
}
