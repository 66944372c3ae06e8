package labtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"drover/internal/fault"
	"drover/internal/record"
	"drover/lab"
)

// TestMeddling: what administrators do with virsh to a VM under Drover's hands, and what the
// VM does itself, leaves it on one host, running or as its user left it, and nothing of it
// on the other.
func TestMeddling(t *testing.T) {
	s := newScene(t, "meddling", "APP01", 101)
	s.define(t, s.vm, "panic=1", "panic=1 unknown_nmi_panic")
	for _, c := range []struct {
		name string
		moment
		do    func(t *testing.T, st *stop)
		moved bool
		codes []fault.Code
	}{
		{"the waiting VM destroyed", moment{record.Destination, record.Transfer}, destroyed(record.Destination), false,
			lost},
		{"the arrived VM destroyed", moment{record.Destination, record.Finish}, destroyed(record.Destination), false, []fault.Code{fault.FinishFailed}},
		{"resumed while the destination takes over", moment{record.Source, record.Finish}, resumed, true, nil},
		{"the copy that is left resumed", moment{record.Source, record.Confirm}, resumed, true, nil},
		{"the copy that is left destroyed", moment{record.Source, record.Confirm}, destroyed(record.Source), true, nil},
		{"the copy that is left undefined", moment{record.Source, record.Confirm}, func(t *testing.T, st *stop) {
			destroyed(record.Source)(t, st)
			st.s.virsh(t, st.h.from, "undefine", st.s.vm.Name)
		}, true, nil},
		{"a snapshot before libvirt's guard", moment{record.Source, record.Prepare}, func(t *testing.T, st *stop) {
			st.s.snapshot(t, st.h.from)
		}, false, []fault.Code{fault.VMChanged}},
		{"a snapshot behind libvirt's guard", moment{record.Source, record.Transfer}, func(t *testing.T, st *stop) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if out, err := st.s.Virsh(ctx, st.h.from, "snapshot-create-as", st.s.vm.Name, "late", "--disk-only", "--no-metadata", "--diskspec", "vda,file="+overlay); err == nil {
				t.Errorf("it was taken: %s", out)
			}
			// The daemon goes on waiting for that, and comes to it when the transfer is over.
		}, false, []fault.Code{fault.VMChanged}},
		{"another VM of the name at the destination", moment{record.Source, record.Prepare}, func(t *testing.T, st *stop) {
			st.s.newcomer(t, st.h.to, st.s.vm.Name)
		}, false, []fault.Code{fault.VMNameTaken}},
		{"reset in the transfer", moment{record.Source, record.Transfer}, monitor("system_reset"), true, nil},
		{"a panic in the transfer", moment{record.Source, record.Transfer}, monitor("nmi"), true, nil},
	} {
		s.run(t, c.name, func(t *testing.T) {
			st := s.moveTo(t, c.role, c.phase)
			c.do(t, st)
			st.goOn(t)
			s.awaitOver(t, st.h.from)
			s.awaitOver(t, st.h.to)
			s.reobserve(t) // the guest may have been started anew
			s.commit(t, st.h.from)
			s.dismiss(t, st.h.to)
			want := st.h.from
			late := c.moment == (moment{record.Source, record.Transfer}) // then it may come too late to change anything
			if c.moved || late && slices.Contains(s.whereRunning(t, s.vm), st.h.to) {
				want = st.h.to
			}
			st.ends(t, want, c.codes...)
		})
	}
	s.run(t, "migrated by virsh", s.testMigratedByVirsh)
	s.run(t, "destroyed before the transfer", func(t *testing.T) { s.testEnded(t, record.Transfer, "destroy") })
	s.run(t, "destroyed before the guard", func(t *testing.T) { s.testEnded(t, record.Prepare, "destroy") })
	s.run(t, "destroyed before it is handed over", func(t *testing.T) { s.testEnded(t, record.Handover, "destroy") })
	s.run(t, "switched off by its user", func(t *testing.T) {
		s.testEnded(t, record.Transfer, "qemu-monitor-command", "--hmp", "--cmd", "system_powerdown")
	})
	s.run(t, "switched off in the middle of the transfer", s.testSwitchedOffMidway)
	s.run(t, "name reused at the destination", s.testNameReusedThere)
	s.run(t, "name reused at the source", s.testNameReusedHere)
	s.lastMove(t)
}

func destroyed(role record.Role) func(*testing.T, *stop) {
	return func(t *testing.T, st *stop) { st.s.virsh(t, st.h.host(role), "destroy", st.s.vm.Name) }
}

// resumed asks libvirt to let the source's guest run. The daemon goes on waiting for that when
// virsh has ended, and comes to it when the guard is lifted.
func resumed(t *testing.T, st *stop) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if out, err := st.s.Virsh(ctx, st.h.from, "resume", st.s.vm.Name); err == nil {
		t.Errorf("it runs again: %s", out)
	}
}

// monitor does to the guest what virsh, which waits for libvirt's guard, does not.
func monitor(command string) func(*testing.T, *stop) {
	return func(t *testing.T, st *stop) {
		st.s.virsh(t, st.h.from, "qemu-monitor-command", st.s.vm.Name, "--hmp", "--cmd", command)
	}
}

// define changes the definition of a VM by replacing words in it, and starts it anew.
func (s *scene) define(t *testing.T, vm *machine, old, with string) {
	t.Helper()
	text := s.virsh(t, s.at, "dumpxml", "--inactive", "--security-info", vm.Name)
	if !strings.Contains(text, old) {
		t.Fatalf("%q is not in %s", old, text)
	}
	s.defineXML(t, s.at, strings.ReplaceAll(text, old, with))
	s.virsh(t, s.at, "destroy", vm.Name)
	s.start(t)
}

func (s *scene) defineXML(t *testing.T, host, text string) {
	t.Helper()
	const file = "/tmp/habits.xml"
	if err := os.WriteFile(s.Member(host).Path(file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.virsh(t, host, "define", file)
}

// start starts the VM that was ended, where it is, and watches it anew.
func (s *scene) start(t *testing.T) {
	t.Helper()
	s.virsh(t, s.at, "start", s.vm.Name)
	if err := s.vm.watch.Close(); err != nil {
		t.Fatal(err)
	}
	s.watch(t)
}

// watch is observe for a watch that outlives this case.
func (s *scene) watch(t *testing.T) {
	t.Helper()
	watch, err := s.Observe(s.vm.VM)
	if err != nil {
		t.Fatal(err)
	}
	s.vm.watch = watch
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if _, err := watch.Alive(ctx); err != nil {
		t.Fatalf("the guest does not come up: %v", err)
	}
}

// reobserve begins to watch anew when the guest was restarted, which is no fault in these
// cases. What was seen of two copies is one in all of them.
func (s *scene) reobserve(t *testing.T) {
	t.Helper()
	snap := s.vm.watch.Snapshot()
	if snap.Doubles > 0 || snap.Regressions > 0 {
		t.Errorf("not one machine: %v", snap.Sound())
	}
	if err := s.vm.watch.Close(); err != nil {
		t.Fatal(err)
	}
	s.watch(t)
}

const overlay = lab.VMDir + "/overlay.qcow2"

// snapshot puts a file over the VM's disk, as backup tools do.
func (s *scene) snapshot(t *testing.T, host string) {
	t.Helper()
	s.virsh(t, host, "snapshot-create-as", s.vm.Name, "early", "--disk-only", "--no-metadata", "--diskspec", "vda,file="+overlay)
}

// commit ends what snapshot began, if it did.
func (s *scene) commit(t *testing.T, host string) {
	t.Helper()
	if _, err := os.Stat(s.Member(host).Path(overlay)); err != nil {
		return
	}
	s.virsh(t, host, "blockcommit", s.vm.Name, "vda", "--active", "--pivot", "--wait")
	s.inside(t, host, "rm", overlay)
}

func (s *scene) inside(t *testing.T, host string, argv ...string) {
	t.Helper()
	if _, err := s.Member(host).Run(t.Context(), argv...); err != nil {
		t.Fatal(err)
	}
}

const newcomerUUID = "0a1b2c3d-0009-4002-8003-00000000000e"

// newcomer defines another VM of that name, with a disk where the first one's would be.
func (s *scene) newcomer(t *testing.T, host, name string) (disk string) {
	t.Helper()
	disk = filepath.Join(lab.VMDir, name+"-0.qcow2")
	s.defineXML(t, host, fmt.Sprintf(`<domain type='qemu'><name>%s</name><uuid>%s</uuid><memory unit='MiB'>64</memory>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='%s'/><target dev='vda'/></disk></devices></domain>`, name, newcomerUUID, disk))
	return disk
}

// dismiss removes the newcomer, which must be there as it was defined, if it was.
func (s *scene) dismiss(t *testing.T, host string) {
	t.Helper()
	list := strings.Fields(s.virsh(t, host, "list", "--all", "--uuid"))
	if slices.Contains(list, newcomerUUID) {
		s.virsh(t, host, "undefine", newcomerUUID)
	}
}

// testMigratedByVirsh: an administrator is quicker.
func (s *scene) testMigratedByVirsh(t *testing.T) {
	st := s.moveTo(t, record.Source, record.Prepare)
	disk := s.vm.Disks[0].Path
	s.inside(t, st.h.to, "qemu-img", "create", "-q", "-f", "qcow2", disk, "64M")
	to := s.Member(st.h.to).Address(lab.Management)
	s.virsh(t, st.h.from, "migrate", "--live", "--p2p", "--persistent", "--undefinesource", "--copy-storage-all", s.vm.Name,
		"qemu+tcp://"+to+"/system", "--migrateuri", "tcp://"+to)
	s.inside(t, st.h.from, "rm", disk) // which libvirt leaves
	st.goOn(t)
	s.awaitOver(t, st.h.from)
	s.awaitOver(t, st.h.to)
	if running := s.whereRunning(t, s.vm); !slices.Equal(running, []string{st.h.to}) {
		t.Fatalf("%s runs on %v, want %s", s.vm.Name, running, st.h.to)
	}
	rec, err := s.show(t.Context(), st.h.from, st.id)
	if err != nil || rec.Phase != record.Failed {
		t.Fatalf("phase %s, %v", rec.Phase, err)
	}
	s.assertCode(t, rec, fault.VMNotFound, fault.VMStopped)
	s.at = st.h.to
	s.assertClean(t, s.vm, st.h.from)
	s.assertTidy(t, st.h.to)
	s.vm.verify(t)
}

// testEnded ends the VM for good at the source, before a phase of it.
func (s *scene) testEnded(t *testing.T, p record.Phase, verb string, args ...string) {
	st := s.moveTo(t, record.Source, p)
	s.virsh(t, st.h.from, append([]string{verb, s.vm.Name}, args...)...)
	eventually(t, time.Minute, func(ctx context.Context) error {
		state, err := s.Virsh(ctx, st.h.from, "domstate", s.vm.Name)
		if err == nil && state != "shut off" {
			err = fmt.Errorf("%s is %s", s.vm.Name, state)
		}
		return err
	})
	st.goOn(t)
	s.assertShutOff(t, st, fault.VMStopped)
}

// assertShutOff: the VM that its user ended is shut off on one host, with its disk.
func (s *scene) assertShutOff(t *testing.T, st *stop, codes ...fault.Code) {
	t.Helper()
	s.awaitOver(t, st.h.from)
	s.awaitOver(t, st.h.to)
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		if running := s.whereRunning(t, s.vm); len(running) > 0 {
			return fmt.Errorf("%s runs on %v", s.vm.Name, running)
		}
		return nil
	})
	var on []string
	for _, h := range twoHosts {
		if slices.Contains(strings.Fields(s.virsh(t, h, "list", "--all", "--name")), s.vm.Name) {
			on = append(on, h)
		}
	}
	if len(on) != 1 {
		t.Fatalf("%s is defined on %v", s.vm.Name, on)
	}
	s.at = on[0]
	s.assertClean(t, s.vm, other(s.at))
	s.assertTidy(t, s.at)
	rec, err := s.show(t.Context(), st.h.from, st.id)
	if err != nil {
		t.Fatal(err)
	}
	if moved := s.at == st.h.to; moved != (rec.Phase == record.Done) {
		t.Errorf("the VM is on %s, and the move is %s: %v", s.at, rec.Phase, rec.Error)
	}
	s.assertCode(t, rec, codes...)
	if snap := s.vm.watch.Snapshot(); snap.Sound() != nil {
		t.Error(snap.Sound())
	}
	s.start(t)
}

// testSwitchedOffMidway: the power button, while memory is on its way.
func (s *scene) testSwitchedOffMidway(t *testing.T) {
	s.rate(t, slow)
	defer s.rate(t, 0)
	st := &stop{s: s, h: s.hop()}
	st.id = s.detach(t, s.vm, st.h.from, st.h.to)
	s.awaitTransfer(t, st.h.from, st.id)
	monitor("system_powerdown")(t, st)
	s.assertShutOff(t, st, fault.VMStopped)
}

// testNameReusedThere: while the destination's agent is away, its administrator throws away what
// the move left, and makes another VM of the name.
func (s *scene) testNameReusedThere(t *testing.T) {
	st := s.moveTo(t, record.Destination, record.Transfer)
	if err := s.KillAgent(t.Context(), st.h.to); err != nil {
		t.Fatal(err)
	}
	st.clear(t)
	s.awaitOver(t, st.h.from)
	s.assertNoDomain(t, st.h.to)
	disk := s.newcomer(t, st.h.to, s.vm.Name)
	s.inside(t, st.h.to, "qemu-img", "create", "-q", "-f", "qcow2", disk, "16M")
	if err := s.StartAgent(t.Context(), st.h.to, s.env...); err != nil {
		t.Fatal(err)
	}
	s.assertNewcomer(t, st.h.to, disk)
	st.ends(t, st.h.from)
}

// testNameReusedHere is the same at the source, whose VM has moved away.
func (s *scene) testNameReusedHere(t *testing.T) {
	st := s.moveTo(t, record.Source, record.Confirm)
	if err := s.KillAgent(t.Context(), st.h.from); err != nil {
		t.Fatal(err)
	}
	st.clear(t)
	s.virsh(t, st.h.from, "destroy", s.vm.Name)
	s.virsh(t, st.h.from, "undefine", s.vm.Name)
	disk := s.newcomer(t, st.h.from, s.vm.Name)
	s.inside(t, st.h.from, "qemu-img", "create", "-q", "-f", "qcow2", disk, "16M")
	if err := s.StartAgent(t.Context(), st.h.from, s.env...); err != nil {
		t.Fatal(err)
	}
	s.assertNewcomer(t, st.h.from, disk)
	st.ends(t, st.h.to)
}

// assertNewcomer checks that the settled move has left the other VM alone, and removes it.
func (s *scene) assertNewcomer(t *testing.T, host, disk string) {
	t.Helper()
	s.awaitOver(t, host)
	if !slices.Contains(strings.Fields(s.virsh(t, host, "list", "--all", "--uuid")), newcomerUUID) {
		t.Errorf("the other VM is gone from %s", host)
	}
	out, err := s.Member(host).Run(t.Context(), "qemu-img", "info", disk)
	if err != nil || !strings.Contains(out, "16 MiB") {
		t.Errorf("the other VM's disk: %v\n%s", err, out)
	}
	s.dismiss(t, host)
	s.inside(t, host, "rm", "-f", disk)
}

// assertNoDomain waits until libvirt has thrown away a VM that waited for a dead agent.
func (s *scene) assertNoDomain(t *testing.T, host string) {
	t.Helper()
	eventually(t, 30*time.Second, func(ctx context.Context) error {
		list, err := s.Virsh(ctx, host, "list", "--all", "--name")
		if err == nil && slices.Contains(strings.Fields(list), s.vm.Name) {
			err = fmt.Errorf("%s still has %s", host, s.vm.Name)
		}
		return err
	})
}
