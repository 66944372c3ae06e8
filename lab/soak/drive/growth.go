package drive

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"drover/lab"
	"drover/lab/census"
	"drover/lab/faults"
	"drover/lab/soak"
)

// growth is what the hosts have while they rest with every VM at home.
type growth struct {
	state   map[string]census.Size // of the agents' state directories
	moved   map[string]int
	census  census.Census
	figures []soak.Figure // what has become of it
}

// measure stops the agents for a moment, so that their journals are put away, and
// counts what the hosts have with new ones. There is no load from then on.
func (r *run) measure(ctx context.Context) (*growth, error) {
	r.quiet()
	g := &growth{state: map[string]census.Size{}, moved: maps.Clone(r.moved)}
	for _, m := range r.lab.Hosts() {
		if status, err := r.lab.StopAgent(ctx, m.Name); err != nil || status.ExitCode != 0 || status.Signal != 0 {
			return nil, fmt.Errorf("stop the agent of %s: status %d, signal %d: %w", m.Name, status.ExitCode, status.Signal, err)
		}
		var err error
		if g.state[m.Name], err = census.SizeOf(m, lab.AgentDir); err != nil {
			return nil, err
		}
		if err := faults.StartAgent(ctx, r.lab, m.Name); err != nil {
			return nil, err
		}
	}
	limited, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var err error
	g.census, err = census.Resting(limited, r.lab)
	r.say("measured: %v", g.state)
	return g, err
}

// finish brings the VMs home, has every guest check itself and compares what there is
// with what was after the warm-up.
func (r *run) finish(ctx context.Context) error {
	s := soak.Step{Plan: soak.Plan{Step: len(r.result.Steps)}}
	for _, m := range r.machines {
		if m.at == m.Home {
			continue
		}
		a, err := r.begin(ctx, soak.Hop{VM: m.Name, From: m.at, To: m.Home, Storage: !m.Shared})
		if err != nil {
			return err
		}
		if err := r.conclude(ctx, &s, a); err != nil {
			return err
		}
		if m.at != m.Home {
			r.broken(soak.Broken{Step: s.Plan.Step, VM: m.Name, Move: a.id, What: "cannot be moved home at the end"})
			return errStop
		}
	}
	var all []*attempt
	for _, m := range r.machines {
		all = append(all, &attempt{Hop: soak.Hop{VM: m.Name}})
	}
	if err := r.sound(ctx, &s, all); err != nil || r.before == nil {
		return err
	}
	return r.compare(ctx)
}

// compare is done again for a while: what ends by itself, such as idle connections,
// needs one.
func (r *run) compare(ctx context.Context) error {
	after, err := r.measure(ctx)
	if err != nil {
		return err
	}
	for _, m := range r.lab.Hosts() {
		r.before.figures = append(r.before.figures, soak.StateFigures(m.Name, r.before.state[m.Name], after.state[m.Name], after.moved[m.Name]-r.before.moved[m.Name])...)
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_ = faults.Until(limited, time.Second, func(ctx context.Context) error { // what remains is in the result
		now, err := census.Take(ctx, r.lab)
		if err != nil {
			return err
		}
		r.result.Grown, r.result.LibvirtGrown = split(r.before.census.Growth(now))
		if len(r.result.Grown) > 0 {
			return fmt.Errorf("more than before: %v", r.result.Grown)
		}
		return nil
	})
	return ctx.Err()
}

// split tells libvirt's own files apart, which it forgets when it is killed in the
// wrong instant.
func split(grown []string) (ours, libvirts []string) {
	ours = []string{}
	for _, g := range grown {
		if strings.Contains(g, " file: /run/libvirt/") || strings.Contains(g, " file: /var/lib/libvirt/") {
			libvirts = append(libvirts, g)
		} else {
			ours = append(ours, g)
		}
	}
	return ours, libvirts
}
