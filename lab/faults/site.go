package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drover/internal/guest"
	"drover/lab"
)

// agentProgram is droverd with fault injection.
const agentProgram = "droverd-faultinject"

// site is a lab of two furnished hosts with one VM. It is used for case after case as
// long as it is whole.
type site struct {
	options lab.Options

	*lab.Lab
	bases map[string]Baseline

	vm      *lab.VM
	storage bool // its disk is copied with it
	watch   *lab.Watched
	at      string // the host of the VM
}

func (s *site) other() string {
	if s.at == lab.HV01 {
		return lab.HV02
	}
	return lab.HV01
}

// raise raises the lab anew.
func (s *site) raise(ctx context.Context) (err error) {
	if err := s.down(ctx); err != nil {
		return err
	}
	o := s.options
	o.Hosts, o.NoAgents, o.Tied, o.Agent = []string{lab.HV01, lab.HV02}, true, true, agentProgram
	if s.Lab, err = lab.Up(ctx, o); err != nil {
		return err
	}
	s.bases = map[string]Baseline{}
	for _, m := range s.Hosts() {
		if err := Furnish(ctx, s.Lab, m.Name); err != nil {
			return err
		}
		if err := StartAgent(ctx, s.Lab, m.Name); err != nil {
			return err
		}
		// The first question to a libvirt takes seconds, and so does the first QEMU.
		if _, err := s.Virsh(ctx, m.Name, "domcapabilities"); err != nil {
			return err
		}
		if s.bases[m.Name], err = TakeBaseline(ctx, s.Lab, m.Name); err != nil {
			return err
		}
	}
	return errors.Join(s.KInit(ctx, lab.UserOperator), s.KInit(ctx, lab.UserAdmin))
}

// down takes lab and VM away. Safe when there are none.
func (s *site) down(ctx context.Context) error {
	if s.Lab == nil {
		return nil
	}
	s.forgetVM()
	err := s.Down(ctx)
	if err == nil {
		Unfurnish(s.Lab)
		s.Lab = nil
	}
	return err
}

func (s *site) forgetVM() {
	if s.watch != nil {
		_ = s.watch.Close()
	}
	s.vm, s.watch, s.at = nil, nil, ""
}

const vmName = "APP01"

// smallVM boots and moves quickly. It has the usual 256 MiB; guests with 128 were seen to
// start anew after some minutes. Its disk is one that both hosts see, unless it is to be
// copied.
func smallVM(storage bool) lab.VMOptions {
	p := guest.DefaultParams()
	p.Memory, p.Rewrite, p.Verify = 24<<20, 2<<20, 8<<20
	disk := lab.VMDisk{Path: lab.SharedDir + "/" + vmName + ".qcow2", MiB: 48}
	if storage {
		disk.Path = ""
	}
	return lab.VMOptions{Name: vmName, Number: 101, Disks: []lab.VMDisk{disk}, Params: &p}
}

// boot starts a VM anew on a host.
func (s *site) boot(ctx context.Context, storage bool) error {
	if s.vm != nil {
		s.RemoveVM(ctx, s.vm)
	}
	s.forgetVM()
	vm, err := s.DefineVM(ctx, lab.HV01, smallVM(storage))
	if err != nil {
		return err
	}
	if _, err := s.Virsh(ctx, lab.HV01, "start", vmName); err != nil {
		return err
	}
	s.vm, s.storage, s.at = vm, storage, lab.HV01
	for _, b := range s.bases {
		b.AllowShared(vm)
	}
	return s.observe(ctx)
}

// observe begins a new observation of the VM, which knows of no earlier life.
func (s *site) observe(ctx context.Context) (err error) {
	if s.watch != nil {
		_ = s.watch.Close()
	}
	if s.watch, err = s.Observe(s.vm); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 4*time.Minute, errors.New("the guest does not come up"))
	defer cancel()
	_, err = s.watch.Alive(ctx)
	return err
}

// ready sees to it that a VM of the wanted kind runs, in a lab that is whole.
func (s *site) ready(ctx context.Context, storage bool) error {
	if s.Lab == nil {
		if err := s.raise(ctx); err != nil {
			return fmt.Errorf("raise the lab: %w", err)
		}
	}
	if s.vm != nil && s.storage == storage {
		return nil
	}
	if err := s.boot(ctx, storage); err != nil {
		return fmt.Errorf("start the VM: %w", err)
	}
	return nil
}

// running lists the hosts of which libvirt says that the VM runs there.
func (s *site) running(ctx context.Context, hosts []string) (found []string, err error) {
	for _, h := range hosts {
		out, err := s.Virsh(ctx, h, "list", "--name", "--state-running")
		if err != nil {
			return nil, err
		}
		if slices.Contains(strings.Fields(out), vmName) {
			found = append(found, h)
		}
	}
	return found, nil
}

// keepLogs copies the lab's logs and what is known of its guests for whoever looks for
// the cause.
func (s *site) keepLogs(ctx context.Context, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(s.Dir(), "logs"))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return os.WriteFile(filepath.Join(to, "guests.txt"), []byte(s.Diagnose(ctx)), 0o600)
}
