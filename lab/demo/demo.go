// Package demo shows Drover's main job on the lab: a running VM moves to
// another host and back, with its disk, and proves that nothing was lost.
package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"drover/internal/guest"
	"drover/internal/record"
	"drover/lab"
)

// Options of a demonstration.
type Options struct {
	Lab    lab.Options
	Report string // where demo.json goes
	Stdout io.Writer
	Stderr io.Writer // progress; the terminal, if there is one
}

// Result is one move as demo.json has it. Bytes and milliseconds.
type Result struct {
	From             string `json:"from"`
	To               string `json:"to"`
	TotalMS          int64  `json:"total_ms"`
	BlackoutMS       int64  `json:"blackout_ms"`        // as the source's agent measured it
	SeenBlackoutMS   int64  `json:"blackout_seen_ms"`   // longest silence of the guest's heartbeat
	GuestGapMS       int64  `json:"guest_clock_gap_ms"` // largest gap of the guest's own clock
	MemoryBytes      uint64 `json:"memory_bytes"`
	DiskBytes        uint64 `json:"disk_bytes"`
	WireBytes        uint64 `json:"wire_bytes"`
	Network          string `json:"network"`
	Operator         string `json:"operator"`
	DelegatedService string `json:"delegated_service"`
	Encrypted        bool   `json:"encrypted"`
	GuestMemoryOK    bool   `json:"guest_memory_ok"`
	GuestDiskOK      bool   `json:"guest_disk_ok"`
	TwoCopiesSeen    uint64 `json:"two_copies_seen"` // heartbeats that two guests answered
}

// Report is demo.json.
type Report struct {
	Moves []Result `json:"moves"`
}

const vmName = "APP01"

// Run raises the lab, moves the VM there and back and writes the report. The
// lab stays up.
func Run(ctx context.Context, o Options) error {
	d := &demo{Options: o, start: time.Now()}
	o.Lab.Progress = d.say
	l, err := lab.Up(ctx, o.Lab)
	if err != nil {
		return err
	}
	d.lab = l
	watch, err := d.boot(ctx)
	if err != nil {
		return err
	}
	defer watch.Close()
	for _, hop := range [][2]string{{lab.HV01, lab.HV02}, {lab.HV02, lab.HV01}} {
		r, err := d.move(ctx, watch, hop[0], hop[1])
		if err != nil {
			return err
		}
		d.report.Moves = append(d.report.Moves, r)
	}
	if err := d.write(); err != nil {
		return err
	}
	d.next()
	return nil
}

type demo struct {
	Options
	lab    *lab.Lab
	start  time.Time
	report Report
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.Stderr, "%5.1f s  %s\n", time.Since(d.start).Seconds(), fmt.Sprintf(format, args...))
}

// boot starts a fresh VM on HV01 and waits until it has checked its memory.
func (d *demo) boot(ctx context.Context) (*lab.Watched, error) {
	d.lab.RemoveVM(ctx, &lab.VM{Name: vmName, Disks: []lab.VMDisk{{Path: lab.VMDir + "/" + vmName + "-0.qcow2"}}})
	d.say("%s boots on %s: 512 MiB, a disk of 256 MiB", vmName, lab.HV01)
	p := guest.DefaultParams()
	p.Memory = 200 << 20
	vm, err := d.lab.DefineVM(ctx, lab.HV01, lab.VMOptions{Name: vmName, Number: 101, MemoryMiB: 512, Disks: []lab.VMDisk{{MiB: 256}}, Params: &p})
	if err != nil {
		return nil, err
	}
	if _, err := d.lab.Virsh(ctx, lab.HV01, "start", vmName); err != nil {
		return nil, err
	}
	watch, err := d.lab.Observe(vm)
	if err != nil {
		return nil, err
	}
	actx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := watch.Alive(actx)
	if err != nil {
		watch.Close()
		return nil, fmt.Errorf("the guest does not come up: %w", err)
	}
	d.say("the guest runs: %d pages of memory filled and verified, %d records on its disk", s.Memory.Pages, flushed(s))
	if err := d.lab.KInit(ctx, lab.UserOperator); err != nil {
		watch.Close()
		return nil, err
	}
	return watch, nil
}

func flushed(s guest.Status) (n uint64) {
	for _, disk := range s.Disks {
		n += disk.Flushed
	}
	return n
}

// move runs drover on the workstation as an operator would, and checks the guest.
func (d *demo) move(ctx context.Context, watch *lab.Watched, from, to string) (Result, error) {
	args := []string{"move", vmName, "--host", from, "--to", to, "--include-storage"}
	fmt.Fprintf(d.Stdout, "\n%s@%s:~$ drover move %s --host %s --to %s --include-storage\n", lab.UserOperator, lab.MGMT, vmName, from, to)
	watch.ResetGaps()
	cmd := d.lab.DroverCommand(ctx, lab.UserOperator, args...)
	cmd.Stdout, cmd.Stderr = d.Stdout, d.Stderr
	if err := cmd.Run(); err != nil {
		return Result{}, fmt.Errorf("drover move: %w", err)
	}
	var recs []record.Record
	if err := d.lab.DroverJSON(ctx, lab.UserOperator, &recs, "move", "list", "--host", from); err != nil {
		return Result{}, err
	}
	if len(recs) == 0 || recs[0].Summary == nil {
		return Result{}, fmt.Errorf("the agent of %s has no record of the move", from)
	}
	vctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	s, err := watch.VerifyNow(vctx)
	snap := watch.Snapshot()
	r := result(recs[0], s, snap)
	r.From, r.To = from, to
	if err != nil {
		return r, fmt.Errorf("after the move to %s: %w", to, err)
	}
	fmt.Fprintf(d.Stdout, "\nthe guest itself: %d pages verified again, all right; %d disk records, all right; silent for %d ms at most\n",
		s.Memory.Pages, flushed(s), r.SeenBlackoutMS)
	return r, d.check(r)
}

func result(rec record.Record, s guest.Status, snap guest.Snapshot) Result {
	sum := rec.Summary
	diskOK := len(s.Disks) > 0
	for _, disk := range s.Disks {
		diskOK = diskOK && disk.Errors == 0 && disk.Verified > 0
	}
	return Result{
		TotalMS: sum.TotalMS, BlackoutMS: sum.BlackoutMS, SeenBlackoutMS: snap.Blackout.Milliseconds(),
		GuestGapMS: time.Duration(s.Clock.MonotonicGapNs).Milliseconds(), MemoryBytes: sum.MemoryBytes, DiskBytes: sum.DiskBytes,
		WireBytes: sum.WireBytes, Network: sum.Network, Operator: sum.Operator, DelegatedService: sum.DelegatedService, Encrypted: sum.Encrypted,
		GuestMemoryOK: s.Memory.Errors == 0 && s.Memory.Passes > 0 && snap.Regressions == 0 && snap.Restarts == 0, GuestDiskOK: diskOK,
		TwoCopiesSeen: snap.Doubles,
	}
}

// check holds a move against what the demo promises.
func (d *demo) check(r Result) error {
	want := "Microsoft Virtual System Migration Service/" + r.To
	switch {
	case !r.GuestMemoryOK || !r.GuestDiskOK:
		return fmt.Errorf("the guest lost something on the way to %s: %+v", r.To, r)
	case r.TwoCopiesSeen > 0:
		return fmt.Errorf("two copies of the guest answered %d times on the way to %s", r.TwoCopiesSeen, r.To)
	case !r.Encrypted || r.DelegatedService != want || r.Network != lab.Migration.Subnet():
		return fmt.Errorf("the move to %s went otherwise than it should: %+v", r.To, r)
	}
	return nil
}

func (d *demo) write() error {
	b, err := json.MarshalIndent(d.report, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.Report), 0o755); err != nil {
		return err
	}
	return os.WriteFile(d.Report, append(b, '\n'), 0o644)
}

func (d *demo) next() {
	fmt.Fprintf(d.Stdout, `
%s moved to %s and back; figures in %s. The lab stays up. Try next:

  build/bin/drover-lab status
  build/bin/drover-lab shell MGMT                      a workstation; then: kinit operator (password %s)
      drover vm list --host HV01
      drover move APP01 --host HV01 --to HV03 --include-storage --dry-run
      drover move APP01 --host HV01 --to HV03 --include-storage
      drover move list --host HV01
  build/bin/drover-lab shell HV01 -- virsh list --all  what libvirt sees
  make lab-down                                        removes all of it
`, vmName, lab.HV02, d.Report, lab.UserPassword)
}
