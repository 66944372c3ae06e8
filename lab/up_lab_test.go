package lab_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/lab"
)

// upEnv makes this test program raise the lab of that name and end: the process that a test kills.
const upEnv = "DROVER_LAB_TEST_UP"

func TestMain(m *testing.M) {
	if name := os.Getenv(upEnv); name != "" {
		if _, err := lab.Up(context.Background(), lab.Options{Name: name, NoAgents: true}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLab(t *testing.T) {
	l := lab.Start(t, lab.Options{NoAgents: true})
	t.Run("operator gets tickets for the migration service", func(t *testing.T) { testTickets(t, l) })
	t.Run("captures count every byte of a port", func(t *testing.T) { testCapture(t, l) })
	t.Run("members have the networks they should and no other", func(t *testing.T) { testNetworks(t, l) })
	t.Run("libvirt of each host is its own", func(t *testing.T) { testLibvirt(t, l) })
	t.Run("directory changes take effect", func(t *testing.T) { testDirectory(t, l) })
	t.Run("the directory can be gone, and live in another time", func(t *testing.T) { testDirectoryClock(t, l) })
	t.Run("a rate limits what it should", func(t *testing.T) { testRate(t, l) })
	t.Run("a pulled cable is pulled until plugged in", func(t *testing.T) { testLink(t, l) })
	t.Run("services", func(t *testing.T) { testServices(t, l) })
	t.Run("disks are on a real file system", func(t *testing.T) { testDisks(t, l) })
}

func run(t *testing.T, m *lab.Member, argv ...string) string {
	t.Helper()
	out, err := m.Run(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kinit signs a user in on a member and fails the test when that fails.
func kinit(t *testing.T, m *lab.Member, user string) error {
	t.Helper()
	cmd := m.Command(t.Context(), "kinit", user)
	cmd.Stdin = strings.NewReader(lab.UserPassword + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func testTickets(t *testing.T, l *lab.Lab) {
	mgmt := l.Member(lab.MGMT)
	if err := kinit(t, mgmt, lab.UserOperator); err != nil {
		t.Fatal(err)
	}
	out := run(t, mgmt, "kvno", lab.MigrationService+"/HV02", "cifs/hv02.lab.drover.test", "HTTP/HV01", "HOST/hv03.lab.drover.test")
	if n := strings.Count(out, "kvno = "); n != 4 {
		t.Errorf("%d of 4 tickets:\n%s", n, out)
	}
	if out := run(t, mgmt, "klist", "-e"); strings.Contains(out, "arcfour") {
		t.Errorf("a service ticket has RC4:\n%s", out)
	}
	if err := kinit(t, mgmt, lab.UserDisabled); err == nil {
		t.Error("the disabled user can sign in")
	}
	for _, host := range l.Hosts() {
		run(t, host, "kinit", "-k", host.Name+"$")
		run(t, host, "kdestroy")
	}
	if sids := l.GroupSIDs(); !strings.HasPrefix(sids[lab.GroupOperators], "S-1-5-21-") || len(sids) != 3 {
		t.Errorf("group SIDs %v", sids)
	}
}

func testNetworks(t *testing.T, l *lab.Lab) {
	for _, host := range l.Hosts() {
		listener, err := host.Listen(t.Context(), "tcp", host.Address(lab.Migration)+":6600")
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range l.Hosts() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			connection, err := other.Dial(ctx, "tcp", listener.Addr().String())
			cancel()
			if err != nil {
				t.Errorf("%s does not reach %s: %v", other.Name, listener.Addr(), err)
				continue
			}
			_ = connection.Close()
		}
		if connection, err := l.Member(lab.MGMT).Dial(t.Context(), "tcp", listener.Addr().String()); err == nil {
			t.Errorf("the workstation reaches the migration network")
			_ = connection.Close()
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range interfaces {
		if addresses, err := i.Addrs(); err == nil && strings.Contains(fmt.Sprint(addresses), "10.77.0.") {
			t.Errorf("the machine's own interface %s is in the lab", i.Name)
		}
	}
}

func testLibvirt(t *testing.T, l *lab.Lab) {
	const xml = `<domain type='qemu'><name>ONLY-HERE</name><memory>65536</memory><os><type arch='x86_64'>hvm</type></os></domain>`
	first := l.Member(lab.HV01)
	if err := os.WriteFile(first.Path("/tmp/domain.xml"), []byte(xml), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, first, "virsh", "-q", "define", "/tmp/domain.xml")
	for _, host := range l.Hosts() {
		has := strings.Contains(run(t, host, "virsh", "-q", "list", "--all", "--name"), "ONLY-HERE")
		if has != (host.Name == lab.HV01) {
			t.Errorf("%s has the domain: %v", host.Name, has)
		}
	}
	run(t, first, "virsh", "-q", "undefine", "ONLY-HERE")
	ids := map[string]string{}
	for _, host := range l.Hosts() {
		_, after, _ := strings.Cut(run(t, host, "virsh", "capabilities"), "<uuid>")
		id, _, _ := strings.Cut(after, "</uuid>")
		if other := ids[id]; other != "" || id == "" {
			t.Errorf("%s and %s are the same host %q to libvirt", host.Name, other, id)
		}
		ids[id] = host.Name
	}
}

func testDirectory(t *testing.T, l *lab.Lab) {
	d := l.Directory()
	only := lab.DelegationTo(lab.HV03)
	if err := d.SetDelegation(t.Context(), lab.HV01, only...); err != nil {
		t.Fatal(err)
	}
	if err := d.RemoveDelegation(t.Context(), lab.HV01, "cifs/HV03"); err != nil {
		t.Fatal(err)
	}
	got, err := d.Delegation(t.Context(), lab.HV01)
	if err != nil || len(got) != len(only)-1 || strings.Contains(strings.Join(got, "\n"), "HV02") {
		t.Errorf("delegation %q, %v", got, err)
	}
	if err := d.AddDelegation(t.Context(), lab.HV01, "cifs/HV03"); err != nil {
		t.Error(err)
	}
	if err := d.ChangeFlags(t.Context(), lab.UserDN(lab.UserViewer), lab.FlagDisabled, 0); err != nil {
		t.Fatal(err)
	}
	if err := kinit(t, l.Member(lab.MGMT), lab.UserViewer); err == nil {
		t.Error("viewer can sign in although disabled")
	}
	if err := d.ChangeFlags(t.Context(), lab.UserDN(lab.UserViewer), 0, lab.FlagDisabled); err != nil {
		t.Fatal(err)
	}
	if err := kinit(t, l.Member(lab.MGMT), lab.UserViewer); err != nil {
		t.Errorf("viewer cannot sign in again: %v", err)
	}
	if err := d.SetPassword(t.Context(), lab.HostDN(lab.HV03), "Another-Passw0rd-9"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Member(lab.HV03).Run(t.Context(), "kinit", "-k", "HV03$"); err == nil {
		t.Error("HV03's keytab is still good after its password was set")
	}
	if err := d.AddToGroup(t.Context(), lab.UserNobody, lab.GroupViewers); err != nil {
		t.Error(err)
	}
	if err := d.RemoveFromGroup(t.Context(), lab.UserNobody, lab.GroupViewers); err != nil {
		t.Error(err)
	}
	if err := d.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err = d.Delegation(t.Context(), lab.HV01); err != nil || len(got) != len(lab.DelegationTo(lab.HV02, lab.HV03)) {
		t.Errorf("after Reset: %q, %v", got, err)
	}
}

func testDirectoryClock(t *testing.T, l *lab.Lab) {
	mgmt := l.Member(lab.MGMT)
	if err := l.StopDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := kinit(t, mgmt, lab.UserOperator); err == nil {
		t.Error("sign-in without a domain controller")
	}
	if err := l.StartDirectory(t.Context(), 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	// MIT's kinit adjusts itself to the other clock unless told not to.
	strict := `sed 's/\[libdefaults\]/&\nkdc_timesync = 0/' /etc/krb5.conf >/tmp/strict.conf && KRB5_CONFIG=/tmp/strict.conf kinit operator`
	cmd := mgmt.Command(t.Context(), "sh", "-c", strict)
	cmd.Stdin = strings.NewReader(lab.UserPassword + "\n")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "Clock skew too great") {
		t.Errorf("sign-in with a clock 10 minutes off: %v: %s", err, out)
	}
	if err := l.StopDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.StartDirectory(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if err := kinit(t, mgmt, lab.UserOperator); err != nil {
		t.Error(err)
	}
}

func TestHostsOnDebian13(t *testing.T) {
	l := lab.Start(t, lab.Options{Rootfs: "trixie", NoAgents: true, Hosts: []string{lab.HV01, lab.HV02}})
	for _, host := range l.Hosts() {
		if out := run(t, host, "virsh", "version"); !strings.Contains(out, "QEMU 10.") {
			t.Errorf("%s: %s", host.Name, out)
		}
		run(t, host, "kinit", "-k", host.Name+"$")
		for name, want := range map[string]bool{"virtqemud-sock": true, "libvirt-sock": false} {
			if _, err := os.Stat(host.Path("/run/libvirt/" + name)); (err == nil) != want {
				t.Errorf("%s: socket %s: %v", host.Name, name, err)
			}
		}
		if err := l.StopLibvirt(t.Context(), host.Name, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
		if err := l.StartLibvirt(t.Context(), host.Name); err != nil {
			t.Error(err)
		}
		run(t, host, "virsh", "list")
	}
}

// testRate sends so much that the limit, and not the machine, decides how long it takes.
func testRate(t *testing.T, l *lab.Lab) {
	const bits, bytes = 80_000_000, 5_000_000 // half a second
	if err := l.SetRate(t.Context(), lab.Migration, bits); err != nil {
		t.Fatal(err)
	}
	if d := transfer(t, l, lab.Migration, bytes); d < 300*time.Millisecond || d > 5*time.Second {
		t.Errorf("%d bytes took %s at %d bit/s", bytes, d, bits)
	}
	if d := transfer(t, l, lab.Management, bytes); d > 250*time.Millisecond {
		t.Errorf("the other network became slow as well: %s", d)
	}
	if err := l.SetRate(t.Context(), lab.Migration, 0); err != nil {
		t.Fatal(err)
	}
	if d := transfer(t, l, lab.Migration, bytes); d > 250*time.Millisecond {
		t.Errorf("still slow after the limit was taken off: %s", d)
	}
	if err := l.SetRate(t.Context(), lab.Migration, 0); err != nil {
		t.Errorf("taking off a limit that is not there: %v", err)
	}
}

// transfer sends n bytes from HV01 to HV02 and returns how long until all have arrived.
func transfer(t *testing.T, l *lab.Lab, network lab.Network, n int64) time.Duration {
	t.Helper()
	return transferTo(t, l, l.Member(lab.HV02).Address(network)+":0", n)
}

// transferTo is transfer to an address of HV02.
func transferTo(t *testing.T, l *lab.Lab, address string, n int64) time.Duration {
	t.Helper()
	listener, err := l.Member(lab.HV02).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	received := make(chan error, 1)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			_, err = io.Copy(io.Discard, connection)
			_ = connection.Close()
		}
		received <- err
	}()
	start := time.Now()
	connection, err := l.Member(lab.HV01).Dial(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = connection.Write(make([]byte, n))
	_ = connection.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

func testLink(t *testing.T, l *lab.Lab) {
	hv01, target := l.Member(lab.HV01), l.Member(lab.DC1).Address(lab.Management)+":88"
	if err := l.LinkDown(lab.HV01, lab.Management); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if connection, err := hv01.Dial(ctx, "tcp", target); err == nil {
		t.Error("HV01 reaches the domain controller without a cable")
		_ = connection.Close()
	}
	if err := l.LinkUp(lab.HV01, lab.Management); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	connection, err := hv01.Dial(ctx, "tcp", target)
	if err != nil {
		t.Fatal(err)
	}
	_ = connection.Close()
	if err := l.LinkDown(lab.MGMT, lab.Migration); err == nil {
		t.Error("the workstation has a cable to the migration network")
	}
}
