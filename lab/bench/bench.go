package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"drover/internal/config"
	"drover/lab"
)

// Options of a run.
type Options struct {
	Lab    lab.Options // Name and Rootfs
	Rounds int
	// Links, Guests and Ways choose by name; none stands for all, or for those of a
	// quick run.
	Links, Guests, Ways []string
	Quick               bool
	Storage             bool // the storage move too
	// Limit is for one move, after which it is given up: 0 goes by the guest and the link.
	Limit time.Duration
	// Out is the report's file, written after each move. With Resume, what it has
	// already is kept and not measured again.
	Out    string
	Resume bool
	Stdout io.Writer // results
	Stderr io.Writer // what happens
}

// bench is one run.
type bench struct {
	Options
	plan   plan
	lab    *lab.Lab
	meter  *meter
	report Report
	start  time.Time

	subject subject
	vm      *lab.VM
	watch   *lab.Watched
	at      string // the host of the VM
}

// plan is what a run goes through.
type plan struct {
	links  []Link
	guests []subject
	ways   []way
}

// Run raises a lab, measures, and takes the lab down. A context that ends is
// reported as an error; what was measured until then is in the file.
func Run(ctx context.Context, o Options) (err error) {
	b := &bench{Options: o, start: time.Now()}
	if err := b.choose(); err != nil {
		return err
	}
	if err := b.open(); err != nil {
		return err
	}
	o.Lab.Progress = b.say
	o.Lab.Hosts, o.Lab.NoAgents, o.Lab.Tied = []string{lab.HV01, lab.HV02}, true, true
	o.Lab.Libvirt, o.Lab.LibvirtTCP = lab.Monolithic, true
	if b.lab, err = lab.Up(ctx, o.Lab); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, b.lab.Down(ctx))
	}()
	if err := b.startAgents(ctx); err != nil {
		return err
	}
	if b.meter, err = newMeter(b.lab); err != nil {
		return err
	}
	// After the lab: a group can go when no process is in it.
	defer func() { err = errors.Join(err, b.meter.Close()) }()
	if err := b.environment(ctx); err != nil {
		return err
	}
	defer b.forget()
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.report.print(b.Stdout)
}

// choose settles what to measure.
func (b *bench) choose() (err error) {
	if b.plan.links, err = selectLinks(b.Links, b.Quick); err != nil {
		return err
	}
	if b.plan.guests, err = selectSubjects(b.Guests, b.Quick, b.Storage); err != nil {
		return err
	}
	b.plan.ways, err = selectWays(b.Ways, b.Quick)
	return err
}

// open begins the report, or goes on with the one that is there.
func (b *bench) open() error {
	b.report = Report{Started: time.Now().UTC().Format(time.RFC3339), Rounds: b.Rounds, Unavailable: map[string]string{}, Samples: []Sample{}}
	if b.Resume {
		raw, err := os.ReadFile(b.Out)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			if err := json.Unmarshal(raw, &b.report); err != nil {
				return fmt.Errorf("%s: %w", b.Out, err)
			}
			b.report.Rounds = max(b.report.Rounds, b.Rounds)
			if b.report.Unavailable == nil {
				b.report.Unavailable = map[string]string{}
			}
		}
	}
	for _, w := range b.plan.ways {
		b.report.addWay(w.Way)
	}
	return nil
}

func (r *Report) addWay(w Way) {
	for _, known := range r.Ways {
		if known.Name == w.Name {
			return
		}
	}
	r.Ways = append(r.Ways, w)
}

// write replaces the report's file in one step.
func (b *bench) write() error {
	raw, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.Out), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(b.Out+".new", append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(b.Out+".new", b.Out)
}

func (b *bench) say(format string, args ...any) {
	_, _ = fmt.Fprintf(b.Stderr, "%6.1f s  %s\n", time.Since(b.start).Seconds(), fmt.Sprintf(format, args...))
}

// startAgents starts them as they are in use: without the debug log that tests want.
func (b *bench) startAgents(ctx context.Context) error {
	for _, m := range b.lab.Hosts() {
		if err := b.lab.ConfigureAgent(m.Name, func(c *config.Config) { c.Log.Level = "info" }); err != nil {
			return err
		}
		if err := b.lab.StartAgent(ctx, m.Name); err != nil {
			return err
		}
	}
	return nil
}

// measure goes through the plan. The ways take turns with the same guest, so that
// what else the machine does is shared by all.
func (b *bench) measure(ctx context.Context) error {
	for i, g := range b.plan.guests {
		if !b.missesAny(g) {
			continue
		}
		if err := b.prepare(ctx, g); err != nil {
			return fmt.Errorf("guest %s: %w", g.name, err)
		}
		if i == 0 {
			if err := b.warmUp(ctx); err != nil {
				return err
			}
		}
		for _, l := range b.linksOf(g) {
			if err := b.shape(ctx, l); err != nil {
				return fmt.Errorf("link %s: %w", l.Name, err)
			}
			for round := 1; round <= b.Rounds; round++ {
				if err := b.round(ctx, l, round); err != nil {
					return err
				}
			}
		}
		if err := b.checkDisk(ctx); err != nil {
			return err
		}
	}
	return nil
}

// linksOf are the links on which a guest is moved.
func (b *bench) linksOf(g subject) (links []Link) {
	for _, l := range b.plan.links {
		if !g.disk || l.forStorage() || len(b.Links) > 0 {
			links = append(links, l)
		}
	}
	return links
}

// wanted tells whether a move belongs to the plan and is not in the report.
func (b *bench) wanted(w way, g subject, l Link, round int) bool {
	return (w.storage || !g.disk) && b.report.Unavailable[w.Name] == "" && !b.report.has(w.Name, g.name, l.Name, round)
}

func (b *bench) missesAny(g subject) bool {
	for _, l := range b.linksOf(g) {
		for round := 1; round <= b.Rounds; round++ {
			for _, w := range b.plan.ways {
				if b.wanted(w, g, l, round) {
					return true
				}
			}
		}
	}
	return false
}

// warmUp moves the guest there and back for nothing: the first QEMU of a host, the
// first question to its libvirt and the first ticket take seconds that come only once.
func (b *bench) warmUp(ctx context.Context) error {
	if err := b.lab.KInit(ctx, lab.UserOperator); err != nil {
		return err
	}
	for _, w := range allWays {
		if w.Name != "libvirt-tcp" && w.Name != "drover-compression" {
			continue
		}
		s := Sample{Way: w.Name, Guest: b.subject.name}
		if err := b.take(ctx, w, &s); err != nil || s.Failed != "" {
			return fmt.Errorf("first move, %s: %w: %s", w.Name, cmp.Or(err, errors.New("it failed")), s.Failed)
		}
	}
	return nil
}

func (b *bench) round(ctx context.Context, l Link, round int) error {
	// Tickets last for ten hours, a run may not.
	if err := b.lab.KInit(ctx, lab.UserOperator); err != nil {
		return err
	}
	for _, w := range inOrder(b.plan.ways, round-1) {
		if !b.wanted(w, b.subject, l, round) {
			continue
		}
		s := Sample{Way: w.Name, Guest: b.subject.name, Link: l.Name, Round: round, TotalMS: -1, MigrationMS: -1, BlackoutGuestMS: -1,
			BlackoutLibvirtMS: -1, WireBytes: -1, CPUQEMU: -1, CPULibvirt: -1, CPUAgents: -1, AgentPeak: -1}
		if n := b.report.gaveUp(s); n >= triesWithoutEnd {
			s = s.failed(fmt.Sprintf("not tried again: it did not converge %d times", n))
		} else if err := b.take(ctx, w, &s); err != nil {
			return fmt.Errorf("%s, %s, %s: %w", s.Way, s.Guest, s.Link, err)
		}
		b.report.Samples = append(b.report.Samples, s)
		if err := b.write(); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(b.Stdout, s)
	}
	return nil
}

// triesWithoutEnd is how often a way may run into the limit with a guest on a
// link; each time takes minutes and tells the same.
const triesWithoutEnd = 2

func (r *Report) has(way, guest, link string, round int) bool {
	for _, s := range r.Samples {
		if s.Way == way && s.Guest == guest && s.Link == link && s.Round == round {
			return true
		}
	}
	return false
}

// gaveUp counts the earlier rounds of the same move that ran into the limit.
func (r *Report) gaveUp(of Sample) (n int) {
	for _, s := range r.Samples {
		if s.Way == of.Way && s.Guest == of.Guest && s.Link == of.Link && s.Round < of.Round && s.notEnding() {
			n++
		}
	}
	return n
}
