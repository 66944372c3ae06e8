package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"drover/internal/record"
	"drover/internal/settings"
	"drover/lab"
)

// attempt is one way to move the guest now: the command that an operator would
// start, and how to have it give up.
type attempt struct {
	*exec.Cmd
	out, errs bytes.Buffer
	abort     func(context.Context) error
}

// take moves the guest to the other host and fills the sample. An error is about
// the lab and not about the way.
func (b *bench) take(ctx context.Context, w way, s *Sample) error {
	from, to := b.at, other(b.at)
	if err := b.ready(ctx, w, to); err != nil {
		return err
	}
	c, err := b.attempt(ctx, w, from, to)
	if err != nil {
		return err
	}
	if err := back(2 * uint64(b.subject.bytes)); err != nil { // a guest's memory anew, and what carries it
		return err
	}
	if err := errors.Join(b.meter.place(), b.meter.resetPeaks()); err != nil {
		return err
	}
	sent, err := wire(b.lab.Hosts())
	if err != nil {
		return err
	}
	b.watch.ResetGaps()
	before := b.meter.cpu()
	took, problem := c.run(ctx, b.limit(s.Link))
	used := b.meter.cpu().since(before)
	s.AgentPeak = b.meter.peak()
	now, err := wire(b.lab.Hosts())
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	s.TotalMS, s.WireBytes = took.Milliseconds(), now-sent
	s.CPUQEMU, s.CPULibvirt, s.CPUAgents = used.qemu, used.libvirt, used.agents
	if problem == nil && !slices.Contains(b.running(ctx), to) {
		problem = fmt.Errorf("the guest does not run on %s", to)
	}
	if problem != nil {
		*s = s.failed(problem.Error())
		return b.recover(ctx, from, to)
	}
	return b.arrived(ctx, w, c, s, from, to)
}

// arrived looks at the guest at the destination.
func (b *bench) arrived(ctx context.Context, w way, c *attempt, s *Sample, from, to string) error {
	b.at = to
	if w.relay {
		var r Relayed
		if err := json.Unmarshal(c.out.Bytes(), &r); err != nil {
			return err
		}
		s.AgentPeak = r.Peak
		s.CPUAgents += (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
	}
	if w.performance == "" {
		if !w.relay { // libvirt alone has no agent
			s.AgentPeak = -1
		}
		b.removeDisks(ctx, from)
	} else {
		s.Detail = detail(c.out.Bytes())
	}
	stats, err := b.lab.Virsh(ctx, to, "domjobinfo", b.vm.Name, "--completed", "--rawstats")
	if err != nil {
		return err
	}
	s.MigrationMS, s.BlackoutLibvirtMS = field(stats, "time_elapsed:"), field(stats, "downtime:")
	gap, err := b.inspect(ctx)
	s.BlackoutGuestMS = gap.Milliseconds()
	if err != nil && ctx.Err() == nil {
		*s = s.failed("after the move: " + err.Error())
		b.say("%s: %v; the guest is started anew after this:\n%s", s.Way, err, b.lab.Diagnose(ctx))
		return b.boot(ctx)
	}
	return ctx.Err()
}

// detail is how drover went about it.
func detail(out []byte) string {
	var rec record.Record
	if json.Unmarshal(out, &rec) != nil || rec.Plan == nil {
		return ""
	}
	return fmt.Sprintf("%d connections, %s", rec.Plan.Connections, rec.Plan.Codec)
}

// failed is the sample of a move that gave no result.
func (s Sample) failed(why string) Sample {
	const longest = 300
	if len(why) > longest {
		why = why[:longest] + "..."
	}
	s.Failed = strings.Join(strings.Fields(why), " ")
	return s
}

const notConverged = "did not converge within"

func (s Sample) notEnding() bool { return strings.Contains(s.Failed, "did not converge") }

// limit is how long a move may take: three times what one pass over the guest's
// memory and disk takes on the link, and some.
func (b *bench) limit(link string) time.Duration {
	if b.Limit > 0 {
		return b.Limit
	}
	for _, l := range b.report.Links {
		if l.Name == link && l.Measured > 0 {
			pass := float64(b.subject.bytes) * 8 / l.Measured
			return 25*time.Second + time.Duration(3*pass*float64(time.Second))
		}
	}
	return time.Minute
}

// ready does what is not part of the move's time.
func (b *bench) ready(ctx context.Context, w way, to string) error {
	if w.performance != "" {
		return b.encrypt(ctx, w.encryption)
	}
	for _, d := range b.vm.Disks { // libvirt copies into files that are there
		if _, err := b.lab.Member(to).Run(ctx, "qemu-img", "create", "-q", "-f", d.Format, d.Path, fmt.Sprintf("%dM", d.MiB)); err != nil {
			return err
		}
	}
	return nil
}

// encrypt sets both hosts' policy.
func (b *bench) encrypt(ctx context.Context, policy settings.Encryption) error {
	for _, h := range b.lab.Hosts() {
		now, err := b.lab.Settings(ctx, h.Name)
		if err == nil && now.Encryption != policy {
			_, err = b.lab.SetSettings(ctx, h.Name, settings.Change{Encryption: &policy})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) attempt(ctx context.Context, w way, from, to string) (*attempt, error) {
	c := &attempt{}
	switch {
	case w.relay:
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		c.Cmd = exec.CommandContext(ctx, self, "bench-relay", "--name", b.lab.Name(), b.vm.Name, from, to)
		c.Cancel = func() error { return c.Process.Signal(syscall.SIGINT) }
		c.WaitDelay = time.Minute
		c.abort = func(context.Context) error { return c.Process.Signal(syscall.SIGINT) }
	case w.performance != "":
		args := []string{"move", b.vm.Name, "--host", from, "--to", to, "--performance", string(w.performance), "-o", "json"}
		if b.subject.disk {
			args = append(args, "--include-storage")
		}
		c.Cmd = b.lab.DroverCommand(ctx, lab.UserOperator, args...)
		c.abort = func(ctx context.Context) error { return b.cancelMoves(ctx, from) }
	default:
		c.Cmd = b.lab.Member(from).Command(ctx, b.virsh(w, to)...)
		c.abort = func(ctx context.Context) error {
			_, err := b.lab.Virsh(ctx, from, "domjobabort", b.vm.Name)
			return err
		}
	}
	c.Stdout, c.Stderr = &c.out, &c.errs
	return c, nil
}

// virsh is libvirt's own command. Its control connection takes the management
// network, as Drover's first question to the destination does; the data always
// take the migration network.
func (b *bench) virsh(w way, to string) []string {
	m := b.lab.Member(to)
	argv := []string{"virsh", "-q", "migrate", "--live", "--persistent", "--undefinesource"}
	if w.tunnelled { // the data share libvirtd's connection
		argv = append(argv, "--p2p", "--tunnelled", b.vm.Name, "qemu+tcp://"+m.Address(lab.Migration)+"/system")
	} else {
		argv = append(argv, b.vm.Name, "qemu+tcp://"+m.Address(lab.Management)+"/system", "--migrateuri", "tcp://"+m.Address(lab.Migration))
	}
	argv = append(argv, w.virsh...)
	if b.subject.disk {
		argv = append(argv, "--copy-storage-all")
	}
	return argv
}

func (b *bench) cancelMoves(ctx context.Context, host string) error {
	var recs []record.Record
	if err := b.lab.DroverJSON(ctx, lab.UserOperator, &recs, "move", "list", "--host", host, "--active"); err != nil {
		return err
	}
	for _, r := range recs {
		if _, err := b.lab.Drover(ctx, lab.UserOperator, "move", "cancel", r.ID, "--host", host); err != nil {
			return err
		}
	}
	return nil
}

// run runs the command to its end and has it give up after the limit.
func (c *attempt) run(ctx context.Context, limit time.Duration) (time.Duration, error) {
	start := time.Now()
	if err := c.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var err error
	select {
	case err = <-ended:
		if err != nil {
			err = fmt.Errorf("%w: %s", err, tail(c.errs.String()+c.out.String()))
		}
		return time.Since(start), err
	case <-timer.C:
	}
	err = fmt.Errorf("%s %s", notConverged, limit.Round(time.Second))
	if aerr := c.abort(ctx); aerr != nil {
		err = fmt.Errorf("%w (%w)", err, aerr)
	}
	select {
	case exit := <-ended:
		if exit == nil {
			err = nil // it came to its end after all
		}
	case <-time.After(time.Minute):
		_ = c.Process.Kill()
		<-ended
		err = fmt.Errorf("%w, and then did not end", err)
	}
	return time.Since(start), err
}

func tail(s string) string {
	const longest = 250
	s = strings.TrimSpace(s)
	return s[max(0, len(s)-longest):]
}

func other(host string) string {
	if host == lab.HV01 {
		return lab.HV02
	}
	return lab.HV01
}

// recover sees to it that the guest runs on one host after a move that failed.
func (b *bench) recover(ctx context.Context, from, to string) error {
	for range 20 { // what was given up is cleared away at the destination meanwhile
		if hosts := b.running(ctx); len(hosts) == 1 && !b.defined(ctx, other(hosts[0])) {
			b.at = hosts[0]
			b.removeDisks(ctx, other(b.at))
			if _, err := b.inspect(ctx); err == nil || ctx.Err() != nil {
				return ctx.Err()
			}
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
	b.say("the guest is neither on %s nor on %s as it should be: it is started anew", from, to)
	return b.boot(ctx)
}

// running lists the hosts on which libvirt says that the guest runs.
func (b *bench) running(ctx context.Context) (hosts []string) {
	for _, h := range b.lab.Hosts() {
		out, err := b.lab.Virsh(ctx, h.Name, "list", "--name", "--state-running")
		if err == nil && slices.Contains(strings.Fields(out), b.vm.Name) {
			hosts = append(hosts, h.Name)
		}
	}
	return hosts
}

// defined tells whether a host knows the guest in any state.
func (b *bench) defined(ctx context.Context, host string) bool {
	out, err := b.lab.Virsh(ctx, host, "list", "--all", "--name")
	return err == nil && slices.Contains(strings.Fields(out), b.vm.Name)
}

// removeDisks removes the guest's disk files on a host where it is not.
func (b *bench) removeDisks(ctx context.Context, host string) {
	for _, d := range b.vm.Disks {
		_, _ = b.lab.Member(host).Run(ctx, "rm", "-f", d.Path)
	}
}
