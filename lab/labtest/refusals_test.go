package labtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/internal/config"
	"drover/internal/fault"
	"drover/internal/guest"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/lab"
)

// refusal is what an operator gets who asks for something that is not done.
type refusal struct {
	code   fault.Code
	status int      // of the program (docs/scripting.md)
	says   []string // host and object, in the message
}

// as runs drover on the workstation with the tickets of a user.
func (s *site) as(t *testing.T, user string, args ...string) lab.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	r, err := s.Drover(ctx, user, args...)
	if err != nil {
		t.Fatalf("drover %s: %v", strings.Join(args, " "), err)
	}
	return r
}

// refused runs drover as a user and holds how it fails, and what both hosts are
// like afterwards, against what is wanted.
func (s *site) refused(t *testing.T, user string, want refusal, args ...string) *fault.Problem {
	t.Helper()
	before := s.pictures(t)
	p := want.hold(t, s.as(t, user, append(args, "-o", "json")...))
	s.unchanged(t, before)
	return p
}

// hold compares a result of drover -o json with the refusal.
func (want refusal) hold(t *testing.T, r lab.Result) *fault.Problem {
	t.Helper()
	var got struct{ Error *fault.Problem }
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || got.Error == nil {
		t.Fatalf("want %s, got status %d and no error in JSON (%v)\n%s%s", want.code, r.Status, err, r.Stdout, r.Stderr)
	}
	p := got.Error
	if p.Code != want.code || r.Status != want.status {
		t.Fatalf("%s with status %d, want %s with %d: %s: %s", p.Code, r.Status, want.code, want.status, p.Detail, p.Cause)
	}
	for _, part := range want.says {
		if !strings.Contains(p.Detail, part) {
			t.Errorf("%q does not name %s", p.Detail, part)
		}
	}
	for _, text := range []string{p.Detail, p.Hint} {
		if strings.Contains(text, "{") || strings.Contains(text, "unknown host") {
			t.Errorf("place without a value: %s", text)
		}
	}
	if !strings.Contains(p.Hint, "`") && !strings.Contains(p.Hint, "/etc/drover") {
		t.Errorf("hint without a command: %s", p.Hint)
	}
	return p
}

// look lists on a host what a move could change: VMs with their states, files
// where disks and variables lie, sockets of moves, processes of QEMU.
const look = `virsh -q list --all && virsh -q list --all --persistent --name && virsh -q list --all --autostart --name &&
{ find /srv/vms /srv/shared /var/lib/libvirt/qemu/nvram /run/drover/m -mindepth 1 -printf '%p %i %y %m\n' 2>/dev/null | sort; ps -e -o comm= | grep -c '^qemu'; true; }`

func (s *site) pictures(t *testing.T) map[string]string {
	t.Helper()
	pictures := map[string]string{}
	for _, m := range s.Hosts() {
		out, err := m.Run(t.Context(), "sh", "-c", look)
		if err != nil && strings.Contains(err.Error(), "failed to connect") {
			out, err = "(no libvirt)", nil // the test took it away
		}
		if err != nil {
			t.Fatal(err)
		}
		pictures[m.Name] = out
	}
	return pictures
}

// unchanged waits until hosts look as before: a destination hears of the end of a
// move just after the operator.
func (s *site) unchanged(t *testing.T, before map[string]string) {
	t.Helper()
	eventually(t, 15*time.Second, func(context.Context) error {
		if after := s.pictures(t); !maps.Equal(before, after) {
			return fmt.Errorf("before:\n%v\nafter:\n%v", before, after)
		}
		return nil
	})
}

// lives checks that the guest still answers, from one machine that ran on.
func (vm *machine) lives(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	serial := vm.watch.Snapshot().Last.Serial
	if _, err := vm.watch.Wait(ctx, func(s guest.Status) bool { return s.Serial > serial }); err != nil {
		t.Fatalf("the guest answers no more: %v", err)
	}
	if err := vm.watch.Snapshot().Sound(); err != nil {
		t.Fatal(err)
	}
}

// reconfigure changes a host's drover.yaml until the test ends.
func (s *site) reconfigure(t *testing.T, host string, change func(*config.Config)) {
	t.Helper()
	set := func(ctx context.Context, change func(*config.Config)) error {
		return errors.Join(s.ConfigureAgent(host, change), s.RestartAgent(ctx, host))
	}
	t.Cleanup(func() {
		if err := set(context.Background(), nil); err != nil {
			t.Error(err)
		}
	})
	if err := set(t.Context(), change); err != nil {
		t.Fatal(err)
	}
}

// set changes a host's settings until the test ends.
func (s *site) set(t *testing.T, host string, ch settings.Change) settings.Settings {
	t.Helper()
	before, err := s.Settings(t.Context(), host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.SetSettings(context.Background(), host, before.Change()); err != nil {
			t.Error(err)
		}
	})
	after, err := s.SetSettings(t.Context(), host, ch)
	if err != nil {
		t.Fatal(err)
	}
	return after
}

// define makes a VM that is shut off.
func (s *site) define(t *testing.T, host, name string, disks ...lab.VMDisk) *lab.VM {
	t.Helper()
	vm, err := s.DefineVM(t.Context(), host, lab.VMOptions{Name: name, Number: 200, Disks: disks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })
	return vm
}

// redefine edits the definition of a VM that is shut off, by replacing text.
func (s *site) redefine(t *testing.T, host, vm string, oldnew ...string) {
	t.Helper()
	xml := s.virsh(t, host, "dumpxml", "--inactive", vm)
	edited := strings.NewReplacer(oldnew...).Replace(xml)
	if edited == xml {
		t.Fatalf("nothing to replace in\n%s", xml)
	}
	if err := os.WriteFile(s.Member(host).Path("/tmp/edited.xml"), []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	s.virsh(t, host, "define", "/tmp/edited.xml")
}

func (s *site) run(t *testing.T, host string, argv ...string) string {
	t.Helper()
	out, err := s.Member(host).Run(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// app is the arguments of a move of APP01 with its storage.
func app(flags ...string) []string {
	return append([]string{"move", "APP01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage"}, flags...)
}

func TestRefusals(t *testing.T) {
	s := startSite(t, lab.Options{Name: "refusals", Hosts: []string{lab.HV01, lab.HV02}})
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	t.Run("requests", s.testRequests)
	t.Run("dry run", func(t *testing.T) { s.testDryRun(t, vm) })
	for _, c := range []struct {
		name string
		test func(*testing.T)
	}{
		{"agents that do not run", s.testNoAgent},
		{"settings of hosts", s.testSettings},
		{"networks", s.testNetworks},
		{"libvirt down", s.testLibvirtDown},
		{"names taken", s.testNamesTaken},
		{"states", s.testStates},
		{"already moving", func(t *testing.T) { s.testAlreadyMoving(t, vm) }},
		{"devices", s.testDevices},
		{"attachments", s.testAttachments},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test(t)
			vm.lives(t)
		})
	}
	t.Run("none of this did harm", func(t *testing.T) {
		vm.verify(t)
		s.mustMove(t, vm, lab.HV01, lab.HV02)
		s.assertClean(t, vm, lab.HV01)
		vm.verify(t)
	})
}

func (s *site) testRequests(t *testing.T) {
	for name, c := range map[string]struct {
		refusal
		args []string
	}{
		"VM":               {refusal{fault.VMNotFound, 3, []string{"HV01", "NOPE"}}, []string{"move", "NOPE", "--host", lab.HV01, "--to", lab.HV02}},
		"host":             {refusal{fault.HostUnknown, 3, []string{"HV09", "MGMT"}}, []string{"move", "APP01", "--host", "HV09", "--to", lab.HV02}},
		"destination":      {refusal{fault.HostUnknown, 3, []string{"HV09", "HV01"}}, []string{"move", "APP01", "--host", lab.HV01, "--to", "HV09"}},
		"address":          {refusal{fault.Usage, 2, []string{"--to", "10.77.0.12"}}, []string{"move", "APP01", "--host", lab.HV01, "--to", "10.77.0.12"}},
		"same host":        {refusal{fault.SameHost, 2, []string{"HV01"}}, []string{"move", "APP01", "--host", lab.HV01, "--to", "hv01." + lab.Domain}},
		"storage":          {refusal{fault.StorageNotIncluded, 5, []string{"APP01", "HV02", "vda"}}, []string{"move", "APP01", "--host", lab.HV01, "--to", lab.HV02}},
		"path":             {refusal{fault.StoragePathOutside, 5, []string{"/etc/", "HV02"}}, app("--destination-storage-path", "/etc")},
		"path up":          {refusal{fault.StoragePathOutside, 5, []string{"/srv/", "HV02"}}, app("--destination-storage-path", "/srv/vms/../../etc")},
		"unknown move":     {refusal{fault.MoveNotFound, 3, []string{"HV01", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}}, []string{"move", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--host", lab.HV01}},
		"VM of other host": {refusal{fault.VMNotFound, 3, []string{"HV02", "APP01"}}, []string{"move", "APP01", "--host", lab.HV02, "--to", lab.HV01}},
	} {
		t.Run(name, func(t *testing.T) { s.refused(t, lab.UserOperator, c.refusal, c.args...) })
	}
}

func (s *site) testNoAgent(t *testing.T) {
	for _, host := range []string{lab.HV01, lab.HV02} {
		t.Run(host, func(t *testing.T) {
			if _, err := s.StopAgent(t.Context(), host); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.StartAgent(t.Context(), host); err != nil {
					t.Error(err)
				}
			}()
			s.refused(t, lab.UserOperator, refusal{fault.AgentUnreachable, 6, []string{host, "6601"}}, app()...)
		})
	}
}

func (s *site) testSettings(t *testing.T) {
	off := false
	for host, direction := range map[string]string{lab.HV01: "outgoing", lab.HV02: "incoming"} {
		t.Run("disabled on "+host, func(t *testing.T) {
			ch := settings.Change{Incoming: &off}
			if direction == "outgoing" {
				ch = settings.Change{Outgoing: &off}
			}
			s.set(t, host, ch)
			s.refused(t, lab.UserOperator, refusal{fault.MigrationDisabled, 5, []string{host, direction}}, app()...)
		})
	}
	t.Run("no common network", func(t *testing.T) {
		s.set(t, lab.HV02, settings.Change{Networks: &[]settings.Network{{Subnet: netip.MustParsePrefix(lab.Management.Subnet())}}})
		s.refused(t, lab.UserOperator, refusal{fault.NoCommonNetwork, 5, []string{"HV01", "HV02", lab.Migration.Subnet(), lab.Management.Subnet()}}, app()...)
	})
	t.Run("roots elsewhere", func(t *testing.T) {
		s.reconfigure(t, lab.HV02, func(c *config.Config) { c.Storage.Roots = []string{"/var/lib/elsewhere"} })
		s.run(t, lab.HV02, "mkdir", "-p", "/var/lib/elsewhere")
		s.refused(t, lab.UserOperator, refusal{fault.StoragePathOutside, 5, []string{"HV02", "/srv/vms"}}, app("--destination-storage-path", "/srv/vms")...)
	})
}

func (s *site) testNetworks(t *testing.T) {
	for _, host := range []string{lab.HV01, lab.HV02} {
		t.Run("migration link of "+host+" down", func(t *testing.T) {
			if err := s.LinkDown(host, lab.Migration); err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.LinkUp(host, lab.Migration); err != nil {
					t.Error(err)
				}
			}()
			s.refused(t, lab.UserOperator, refusal{fault.MigrationPort, 6, []string{"192.168.10.12", "HV01"}}, app()...)
		})
	}
	t.Run("management link down", func(t *testing.T) {
		if err := s.LinkDown(lab.HV02, lab.Management); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.LinkUp(lab.HV02, lab.Management); err != nil {
				t.Error(err)
			}
		}()
		s.refused(t, lab.UserOperator, refusal{fault.AgentUnreachable, 6, []string{"HV02", "6601"}}, app()...)
	})
}

func (s *site) testLibvirtDown(t *testing.T) {
	for _, host := range []string{lab.HV01, lab.HV02} {
		t.Run(host, func(t *testing.T) {
			before := s.pictures(t)
			if err := s.StopLibvirt(t.Context(), host, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			s.refused(t, lab.UserOperator, refusal{fault.HypervisorDown, 6, []string{host, "libvirt"}}, app()...)
			if err := s.StartLibvirt(t.Context(), host); err != nil {
				t.Fatal(err)
			}
			s.unchanged(t, before)
		})
	}
}

func (s *site) testNamesTaken(t *testing.T) {
	uuid := s.virsh(t, lab.HV01, "domuuid", "APP01")
	t.Run("name", func(t *testing.T) {
		// RemoveVM takes a name from every host, so the other VM gets it afterwards.
		s.define(t, lab.HV02, "OTHER")
		s.virsh(t, lab.HV02, "domrename", "OTHER", "APP01")
		defer s.virsh(t, lab.HV02, "undefine", "APP01")
		s.refused(t, lab.UserOperator, refusal{fault.VMNameTaken, 5, []string{"HV02", "APP01"}}, app()...)
	})
	t.Run("UUID", func(t *testing.T) {
		other := s.define(t, lab.HV02, "OTHER")
		old := s.virsh(t, lab.HV02, "domuuid", "OTHER")
		xml := s.virsh(t, lab.HV02, "dumpxml", other.Name)
		s.virsh(t, lab.HV02, "undefine", "OTHER")
		if err := os.WriteFile(s.Member(lab.HV02).Path("/tmp/other.xml"), []byte(strings.ReplaceAll(xml, old, uuid)), 0o600); err != nil {
			t.Fatal(err)
		}
		s.virsh(t, lab.HV02, "define", "/tmp/other.xml")
		s.refused(t, lab.UserOperator, refusal{fault.VMUUIDTaken, 5, []string{"HV02", uuid, "OTHER"}}, app()...)
	})
}

// testStates: what is neither running, paused by somebody nor shut off stays.
func (s *site) testStates(t *testing.T) {
	move := func(flags ...string) []string {
		return append([]string{"move", "ODD01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage"}, flags...)
	}
	s.define(t, lab.HV01, "ODD01", lab.VMDisk{MiB: 8})
	s.virsh(t, lab.HV01, "start", "ODD01")
	t.Run("stopped by nobody", func(t *testing.T) {
		s.virsh(t, lab.HV01, "qemu-monitor-command", "--hmp", "ODD01", "stop")
		eventually(t, 5*time.Second, func(ctx context.Context) error {
			if out, err := s.Virsh(ctx, lab.HV01, "domstate", "ODD01"); err != nil || !strings.HasPrefix(out, "paused") {
				return fmt.Errorf("%s, %v", out, err)
			}
			return nil
		})
		s.refused(t, lab.UserOperator, refusal{fault.VMState, 5, []string{"HV01", "ODD01", "paused"}}, move()...)
		s.virsh(t, lab.HV01, "resume", "ODD01")
	})
	t.Run("transient", func(t *testing.T) {
		xml := s.virsh(t, lab.HV01, "dumpxml", "--inactive", "ODD01")
		s.virsh(t, lab.HV01, "undefine", "ODD01")
		s.refused(t, lab.UserOperator, refusal{fault.VMTransient, 5, []string{"HV01", "ODD01"}}, move()...)
		if err := os.WriteFile(s.Member(lab.HV01).Path("/tmp/odd.xml"), []byte(xml), 0o600); err != nil {
			t.Fatal(err)
		}
		s.virsh(t, lab.HV01, "define", "/tmp/odd.xml")
	})
	t.Run("snapshot", func(t *testing.T) {
		s.virsh(t, lab.HV01, "snapshot-create-as", "ODD01", "before")
		s.refused(t, lab.UserOperator, refusal{fault.VMBusy, 5, []string{"HV01", "ODD01", "snapshot"}}, move()...)
		s.virsh(t, lab.HV01, "snapshot-delete", "ODD01", "before")
	})
	t.Run("managed save", func(t *testing.T) {
		s.virsh(t, lab.HV01, "managedsave", "ODD01")
		s.refused(t, lab.UserOperator, refusal{fault.VMState, 5, []string{"HV01", "ODD01", "managed save"}}, move()...)
		s.virsh(t, lab.HV01, "managedsave-remove", "ODD01")
	})
}

func (s *site) testAlreadyMoving(t *testing.T, vm *machine) {
	before := s.pictures(t)
	s.slow(t, 16e6)
	id := s.detach(t, vm, lab.HV01, lab.HV02)
	s.awaitPhase(t, lab.HV01, id, 20*time.Second, record.Transfer)
	want := refusal{fault.VMMoving, 5, []string{"HV01", "APP01", id}}
	want.hold(t, s.as(t, lab.UserOperator, app("-o", "json")...))
	if r := s.as(t, lab.UserOperator, "move", "cancel", id, "--host", lab.HV01); r.Status != 0 {
		t.Errorf("cancel: %+v", r)
	}
	rec := s.awaitPhase(t, lab.HV01, id, 30*time.Second, record.Cancelled, record.Failed, record.Done)
	if rec.Phase != record.Cancelled || rec.Error == nil || rec.Error.Code != fault.Cancelled {
		t.Errorf("ended %s, %v", rec.Phase, rec.Error)
	}
	s.unchanged(t, before)
	refusal{fault.MoveOver, 5, []string{id}}.hold(t, s.as(t, lab.UserOperator, "move", "cancel", id, "--host", lab.HV01, "-o", "json"))
}

// slow limits the migration network until the test ends, in bits per second.
func (s *site) slow(t *testing.T, rate uint64) {
	t.Helper()
	t.Cleanup(func() {
		if err := s.SetRate(context.Background(), lab.Migration, 0); err != nil {
			t.Error(err)
		}
	})
	if err := s.SetRate(t.Context(), lab.Migration, rate); err != nil {
		t.Fatal(err)
	}
}

// testDevices: the destination takes no definition that reaches beyond the VM.
func (s *site) testDevices(t *testing.T) {
	for name, c := range map[string]struct {
		what string
		edit []string
	}{
		"command line": {"commandline", []string{"<domain ", "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' ",
			"</domain>", "<qemu:commandline><qemu:arg value='-name'/></qemu:commandline></domain>"}},
		"host device": {"hostdev", []string{"</devices>", "<hostdev mode='subsystem' type='pci'><source><address domain='0' bus='0' slot='0' function='0'/></source></hostdev></devices>"}},
		"file system": {"filesystem", []string{"</devices>", "<filesystem type='mount'><source dir='/'/><target dir='root'/></filesystem></devices>"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.define(t, lab.HV01, "DEV01", lab.VMDisk{MiB: 8})
			s.redefine(t, lab.HV01, "DEV01", c.edit...)
			s.refused(t, lab.UserOperator, refusal{fault.DeviceRefused, 5, []string{"HV02", "DEV01", c.what}},
				"move", "DEV01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage")
		})
	}
}

// testAttachments: what the VM needs of its host, and the destination has not.
func (s *site) testAttachments(t *testing.T) {
	s.define(t, lab.HV01, "NET01", lab.VMDisk{MiB: 8})
	s.redefine(t, lab.HV01, "NET01", "bridge='"+lab.GuestBridge+"'", "bridge='br-other'")
	s.refused(t, lab.UserOperator, refusal{fault.NetworkMissing, 5, []string{"HV02", "bridge", "br-other", "NET01"}},
		"move", "NET01", "--host", lab.HV01, "--to", lab.HV02, "--include-storage")
}

// testDryRun: a dry run prints the plan and changes nothing; the form of its JSON is an interface.
func (s *site) testDryRun(t *testing.T, vm *machine) {
	before := s.pictures(t)
	r := s.as(t, lab.UserOperator, app("--dry-run", "-o", "json")...)
	var got map[string]any
	if err := json.Unmarshal([]byte(r.Stdout), &got); err != nil || r.Status != 0 {
		t.Fatalf("status %d, %v: %s%s", r.Status, err, r.Stdout, r.Stderr)
	}
	s.unchanged(t, before)
	vm.lives(t)
	if keys := slices.Sorted(maps.Keys(got)); !slices.Equal(keys, []string{"created", "ended", "id", "kind", "operator", "peer", "phase", "plan", "request", "role", "updated", "uuid", "vm"}) {
		t.Errorf("record has %v", keys)
	}
	plan, _ := got["plan"].(map[string]any)
	if keys := slices.Sorted(maps.Keys(plan)); !slices.Equal(keys, []string{"codec", "connections", "connections_reason", "delegation", "destination", "disks", "encryption", "kind", "memory_bytes", "networks", "performance_option", "prediction", "source", "uuid", "vm"}) {
		t.Errorf("plan has %v", keys)
	}
	r = s.as(t, lab.UserOperator, app("--dry-run")...)
	for _, part := range []string{"APP01", "HV01", "HV02", lab.Migration.Subnet(), "vda", "/srv/vms/APP01-0.qcow2", "cifs/HV02", migration + "/HV02", "operator@" + lab.Realm} {
		if r.Status != 0 || !bytes.Contains([]byte(r.Stdout), []byte(part)) {
			t.Errorf("status %d, the plan does not say %s:\n%s", r.Status, part, r.Stdout)
		}
	}
	s.unchanged(t, before)
}
