package labtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/lab"
)

// unitFile is the unit that is installed.
const unitFile = "../../dist/droverd.service"

// TestLeastPrivileges: agents that have what the unit leaves them, and no more, do
// everything that a move asks for.
func TestLeastPrivileges(t *testing.T) {
	text, err := os.ReadFile(unitFile)
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "droverd.service")
	if err := os.WriteFile(unit, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSite(t, lab.Options{Name: "gateleast", Hosts: twoHosts, Unit: unit, QEMUUser: "libvirt-qemu"})
	for _, h := range twoHosts {
		s.assertConfined(t, h)
	}
	t.Run("what is not left", s.testNotLeft)
	vm := s.newVM(t, lab.HV01, "APP01", 101)
	t.Run("a running VM with its storage", func(t *testing.T) {
		rec := s.mustMove(t, vm, lab.HV01, lab.HV02)
		if rec.Summary.DiskBytes == 0 {
			t.Error("no disk went along")
		}
		s.assertClean(t, vm, lab.HV01)
		s.mustMove(t, vm, lab.HV02, lab.HV01, "--connections", "2", "--performance", "TCPIP")
		s.assertClean(t, vm, lab.HV02)
		vm.verify(t)
	})
	t.Run("on shared storage", s.testSharedInUnit)
	t.Run("a move that is cancelled", func(t *testing.T) {
		s.rate(t, slow)
		id := s.detach(t, vm, lab.HV01, lab.HV02)
		s.awaitTransfer(t, lab.HV01, id)
		if r := s.drover(t, "move", "cancel", id, "--host", lab.HV01); r.Status != 0 {
			t.Errorf("%+v", r)
		}
		s.rate(t, 0)
		s.assertClean(t, vm, lab.HV02)
		vm.verify(t)
	})
	t.Run("agents that were killed", func(t *testing.T) {
		for _, h := range twoHosts {
			s.killAndStart(t, h)
			s.assertConfined(t, h)
		}
		s.mustMove(t, vm, lab.HV01, lab.HV02)
		vm.verify(t)
	})
	for _, h := range twoHosts {
		log, err := os.ReadFile(s.Member(h).LogPath(lab.AgentService))
		if denied := linesWith(string(log), "operation not permitted"); err != nil || denied != "" {
			t.Errorf("%s: %v; the log tells of something that was not permitted: %s", h, err, denied)
		}
	}
	for _, c := range []struct{ without, left string }{{"CAP_CHOWN", "CAP_DAC_OVERRIDE"}, {"CAP_DAC_OVERRIDE", "CAP_CHOWN"}} {
		t.Run("not without "+c.without, func(t *testing.T) {
			less := strings.Replace(string(text), "CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE\n", "CapabilityBoundingSet="+c.left+"\n", 1)
			if less == string(text) {
				t.Fatal("the unit leaves something else")
			}
			s.withUnit(t, unit, less, func() {
				rec, r := s.move(t, vm, lab.HV02, lab.HV01)
				if r.Status == 0 {
					t.Errorf("a move went well: %+v", rec.Summary)
				}
				t.Log(rec.Error)
			})
			// What such an agent made it could not always remove.
			s.run(t, lab.HV01, "sh", "-c", "rm -rf /run/drover/m/*")
			s.assertClean(t, vm, lab.HV01)
			vm.verify(t)
		})
	}
	t.Run("shut off", func(t *testing.T) {
		s.virsh(t, lab.HV02, "destroy", vm.Name)
		s.mustMove(t, vm, lab.HV02, lab.HV01)
		s.assertClean(t, vm, lab.HV02)
	})
	for _, h := range twoHosts {
		s.assertStatePrivate(t, h)
	}
}

// withUnit runs f while agents run with another unit.
func (s *site) withUnit(t *testing.T, unit, text string, f func()) {
	t.Helper()
	before, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	restart := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(unit, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, h := range twoHosts {
			if err := s.RestartAgent(t.Context(), h); err != nil {
				t.Fatal(err)
			}
		}
	}
	restart([]byte(text))
	f()
	restart(before)
}

func linesWith(text, part string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// assertConfined looks at what the kernel says of an agent.
func (s *site) assertConfined(t *testing.T, host string) {
	t.Helper()
	b, err := os.ReadFile(s.Member(host).Path(fmt.Sprintf("/proc/%d/status", s.agentPID(t, host))))
	if err != nil {
		t.Fatal(err)
	}
	// CAP_CHOWN and CAP_DAC_OVERRIDE are bits 0 and 1.
	for _, line := range []string{"CapEff:\t0000000000000003", "CapBnd:\t0000000000000003", "NoNewPrivs:\t1", "Seccomp:\t2", "Umask:\t0066"} {
		if !strings.Contains(string(b), line+"\n") {
			t.Errorf("droverd of %s has not %q:\n%s", host, line, b)
		}
	}
}

// notLeft prints one line for each thing that went through.
const notLeft = `
import ctypes, mmap, os, socket
libc = ctypes.CDLL("libc.so.6", use_errno=True)
def call(f, *a):
    if f(*a) < 0:
        raise OSError(ctypes.get_errno(), "")
for name, f in {
    "write into /etc": lambda: open("/etc/written", "w"),
    "write into /usr": lambda: open("/usr/bin/written", "w"),
    "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "a device": lambda: open("/dev/kvm"),
    "the kernel's log": lambda: open("/dev/kmsg"),
    "a setting of the kernel": lambda: open("/proc/sys/kernel/panic", "w"),
    "mount": lambda: call(libc.mount, b"x", b"/tmp", b"tmpfs", 0, None),
    "namespaces": lambda: call(libc.unshare, 0x20000),
    "another user": lambda: os.setuid(1),
    "setuid files": lambda: os.chmod("/tmp", 0o4755),
    "code in memory": lambda: mmap.mmap(-1, 4096, prot=7),
    "another process": lambda: call(libc.ptrace, 16, 1, 0, 0),
    "a kernel module": lambda: call(libc.syscall, 175, 0, 0, 0),
    "the clock": lambda: call(libc.settimeofday, ctypes.byref(ctypes.create_string_buffer(16)), None),
    "a port below 1024": lambda: socket.create_server(("127.0.0.1", 81)),
    "a program": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
    "the mode of another's file": lambda: os.chmod("/srv/vms/other", 0o644),
    "what belongs to another user": lambda: open("/srv/vms/other", "r+"),
}.items():
    try:
        f()
        print(name)
    except OSError:
        pass
`

// testNotLeft: the confinement that the moves run in is one. The last two of what is
// tried must go through: programs are started, and images are QEMU's.
func (s *site) testNotLeft(t *testing.T) {
	s.run(t, lab.HV01, "install", "-m", "0600", "-o", "nobody", "/dev/null", "/srv/vms/other")
	defer s.run(t, lab.HV01, "rm", "/srv/vms/other")
	argv, err := s.Confined(lab.HV01, "/usr/bin/python3", "-c", notLeft)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Member(lab.HV01).Run(t.Context(), argv...)
	if want := "a program\nwhat belongs to another user\n"; err != nil || out != want {
		t.Errorf("%v; went through: %q, want %q", err, out, want)
	}
}

// testSharedInUnit: probing whether both hosts see the same file, which writes one.
func (s *site) testSharedInUnit(t *testing.T) {
	vm := s.newVM(t, lab.HV01, "SHARED01", 102, func(o *lab.VMOptions) { o.Disks[0].Path = lab.SharedDir + "/SHARED01.qcow2" })
	r := s.drover(t, "move", vm.Name, "--host", lab.HV01, "--to", lab.HV02, "-o", "json")
	if r.Status != 0 {
		t.Fatalf("%+v", r)
	}
	vm.verify(t)
}

// assertStatePrivate: what the agent keeps is for its own eyes.
func (s *site) assertStatePrivate(t *testing.T, host string) {
	t.Helper()
	m := s.Member(host)
	files := 0
	err := filepath.WalkDir(m.Path(lab.AgentDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %s has mode %v", host, strings.TrimPrefix(path, m.Path("/")), info.Mode())
		}
		return nil
	})
	if err != nil || files < 2 {
		t.Errorf("%s: %d files of the agent's state, %v", host, files, err)
	}
}
