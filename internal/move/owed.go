package move

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"drover/internal/fault"
	"drover/internal/virt"
	"drover/internal/wire"
)

// insist does what has to be done before the move may end, however often it takes:
// libvirt may be down just then. What keeps it from being done stands in the record.
// errLeave when this agent stops before; then the next start does it.
func (r *run) insist(ctx context.Context, do func(context.Context) error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = r.m.opt.RetryInterval, 30*time.Second
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(r.m.base, stop)()
	for told := false; ; told = true {
		err := do(ctx)
		if err == nil {
			return nil
		}
		if r.m.base.Err() != nil {
			return errLeave
		}
		if !told {
			r.log.Warn("not cleaned up, trying again", "error", err)
			r.update(func(rec *Record, _ *private) { rec.Error = fault.From(err) })
			if err := r.note(Event{Kind: EventNotice, Text: err.Error()}); err != nil {
				r.log.Error("notice not journalled", "error", err)
			}
		}
		t := time.NewTimer(pause.NextBackOff())
		select {
		case <-t.C:
		case <-r.m.base.Done():
			t.Stop()
			return errLeave
		}
	}
}

// giveBackAtLast does of the unwinding what failed, as when libvirt was down or hung just
// then: nobody else would let the VM run on here. What this move never began is not its to
// end, such as another tool's migration for which it was refused.
func (s *source) giveBackAtLast(ctx context.Context) error {
	return s.insist(ctx, func(ctx context.Context) error {
		for len(s.owed) > 0 {
			if err := s.owed[0].again(ctx); err != nil {
				return fault.Wrap(err, fault.TakeBackFailed, s.m.opt.Host, "vm", s.dom.Name)
			}
			s.owed = s.owed[1:]
		}
		return nil
	})
}

// clearAtLast removes what unwinding could not.
func (d *destination) clearAtLast(ctx context.Context) error {
	return d.insist(ctx, func(ctx context.Context) error {
		if err := d.clearIncoming(ctx); err != nil {
			return fault.Wrap(err, fault.LeftoversRemain, d.m.opt.Host, "vm", d.rec.VM)
		}
		return nil
	})
}

// removeUnused deletes files of a move by remove, but none that another VM of this host has by
// now: a name, and so a path, may have been used again.
func (r *run) removeUnused(ctx context.Context, files []string, remove func(string) error) (removed, kept []string, err error) {
	if len(files) == 0 {
		return nil, nil, nil
	}
	domains, err := r.m.opt.Hypervisor.Domains(ctx)
	if err != nil {
		return nil, nil, err
	}
	used := map[string]string{}
	for _, d := range domains {
		if d.UUID == r.rec.UUID {
			continue
		}
		used[d.NVRAM] = d.Name
		for _, disk := range d.Disks {
			used[disk.Path], used[disk.Backing] = d.Name, d.Name
		}
	}
	for _, f := range files {
		if other := used[f]; other != "" {
			r.log.Warn("a file of the move is another VM's now, and stays", "file", f, "of", other)
			kept = append(kept, f+" (also a disk of "+other+")")
			continue
		}
		if err := remove(f); err != nil {
			return removed, kept, err
		}
		removed = append(removed, f)
	}
	return removed, kept, nil
}

// unchanged refuses a VM that is not what was agreed any more: between the offer and
// libvirt's guard a snapshot may have put another file under a disk.
func (s *source) unchanged(ctx context.Context) error {
	d, err := s.m.opt.Hypervisor.Domain(ctx, s.dom.UUID)
	if err != nil {
		return err
	}
	changed := func(what string) error {
		return fault.New(fault.VMChanged, s.m.opt.Host, "vm", s.dom.Name, "change", what)
	}
	switch {
	case d.Name != s.dom.Name:
		return changed("it is called " + d.Name + " now")
	case d.Snapshots != s.dom.Snapshots:
		return changed(fmt.Sprintf("it has %d snapshots", d.Snapshots))
	case d.NVRAM != s.dom.NVRAM:
		return changed("its UEFI variables are in " + d.NVRAM)
	case len(d.Disks) != len(s.dom.Disks):
		return changed(fmt.Sprintf("it has %d disks", len(d.Disks)))
	}
	for _, was := range s.dom.Disks {
		i := slices.IndexFunc(d.Disks, func(is virt.Disk) bool { return is.Target == was.Target })
		switch {
		case i < 0:
			return changed("disk " + was.Target + " is gone")
		case d.Disks[i].Path != was.Path || d.Disks[i].Format != was.Format || d.Disks[i].Backing != was.Backing:
			return changed("disk " + was.Target + " is " + d.Disks[i].Path + " now")
		}
	}
	return nil
}

// ended is why a VM cannot be moved that is not there any more, or does not run any
// more; nil while it does. cause is what failed for that.
func (s *source) ended(ctx context.Context, cause error) error {
	if s.kind == wire.Offline {
		return nil
	}
	d, err := s.m.opt.Hypervisor.Domain(context.WithoutCancel(ctx), s.dom.UUID)
	switch {
	case fault.Is(err, fault.VMNotFound):
		return fault.Wrap(cause, fault.VMStopped, s.m.opt.Host, "vm", s.dom.Name, "state", "undefined")
	case err != nil:
		return nil // libvirt does not tell; what failed says that
	case d.State == virt.Shutoff || d.State == virt.Shutdown || d.State == virt.Crashed:
		return fault.Wrap(cause, fault.VMStopped, s.m.opt.Host, "vm", s.dom.Name, "state", string(d.State))
	}
	return nil
}
