package admit

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
)

func policy() Policy {
	return Policy{
		Host: "HV02", Name: "APP01", UUID: "0a1b2c3d-0001-4002-8003-000000000001",
		StorageRoots: []string{"/srv/vm"}, BootRoots: []string{"/opt/drover/boot"},
		Loaders:  []string{"/usr/share/OVMF/OVMF_CODE_4M.fd"},
		NVRAMDir: "/srv/nvram", SerialLogDir: "/var/log/drover/serial",
		Disks: map[string]DiskFile{"vda": {"/srv/vm/APP01/app01.qcow2", "qcow2"}},
	}
}

func readTestdata(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDomainBecomesThisHosts(t *testing.T) {
	a, err := Domain([]byte(readTestdata(t, "q35.xml")), policy())
	if err != nil {
		t.Fatal(err)
	}
	if a.Name != "APP01" || a.MemoryBytes != 2<<30 || a.VCPUs != 2 || a.Type != "kvm" || a.Machine != "pc-q35-7.2" || a.Arch != "x86_64" {
		t.Errorf("read %+v", a)
	}
	if !slices.Equal(a.Bridges, []string{"br0"}) || !slices.Equal(a.Networks, []string{"default"}) {
		t.Errorf("bridges %v, networks %v", a.Bridges, a.Networks)
	}
	if len(a.Disks) != 2 || a.Disks[0].Path != "/srv/vm/APP01/app01.qcow2" || a.Disks[0].Offered != "/var/lib/libvirt/images/app01.qcow2" || a.Disks[1].Path != "" {
		t.Errorf("disks %+v", a.Disks)
	}
	if a.NVRAM != "/srv/nvram/APP01_VARS.fd" || a.OfferedNVRAM != "/var/lib/libvirt/qemu/nvram/APP01_VARS.fd" {
		t.Errorf("nvram %q, offered %q", a.NVRAM, a.OfferedNVRAM)
	}
	for _, gone := range []string{"/var/lib/libvirt", "/dev/pts", "vnet", "0.0.0.0", "virbr0", "seclabel", "partition", "emulator", "libosinfo", "OVMF_VARS", "id=\"7\""} {
		if strings.Contains(a.XML, gone) {
			t.Errorf("%s was kept:\n%s", gone, a.XML)
		}
	}
	for _, stays := range []string{"/srv/vm/APP01/app01.qcow2", "/srv/nvram/APP01_VARS.fd", "br0", "org.qemu.guest_agent.0", "Skylake-Client", "52:54:00:aa:bb:cc", "<backingStore/>"} {
		if !strings.Contains(a.XML, stays) {
			t.Errorf("%s was lost:\n%s", stays, a.XML)
		}
	}
	p := policy()
	p.Emulator = "/usr/bin/qemu-system-x86_64"
	if a, err = Domain([]byte(readTestdata(t, "q35.xml")), p); err != nil || !strings.Contains(a.XML, "<emulator>/usr/bin/qemu-system-x86_64</emulator>") {
		t.Errorf("own emulator: %v", err)
	}
}

func TestHostileDefinitionsAreRefused(t *testing.T) {
	dev := func(s string) [2]string { return [2]string{"<memballoon model='virtio'/>", s} }
	cases := []struct {
		name string
		edit [2]string
		want fault.Code
		in   string // in the message
	}{
		{"qemu command line", [2]string{"<domain type='kvm' id='7'>", "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:commandline><qemu:arg value='-S'/></qemu:commandline>"}, fault.DeviceRefused, "qemu:commandline"},
		{"prefix without namespace", dev("<qemu:commandline/>"), fault.DefinitionInvalid, "namespace"},
		{"default namespace", [2]string{"<devices>", "<devices xmlns='x'>"}, fault.DefinitionInvalid, "namespace"},
		{"host device", dev("<hostdev mode='subsystem' type='pci'><source><address bus='1'/></source></hostdev>"), fault.DeviceRefused, "domain/devices/hostdev"},
		{"virtiofs", dev("<filesystem type='mount'><source dir='/'/></filesystem>"), fault.DeviceRefused, "filesystem"},
		{"shared memory", dev("<shmem name='x'/>"), fault.DeviceRefused, "shmem"},
		{"rng from a host file", [2]string{"/dev/urandom", "/dev/sda"}, fault.DeviceRefused, "rng/backend"},
		{"rng from a socket", [2]string{"<backend model='random'>/dev/urandom</backend>", "<backend model='egd' type='unix'><source mode='connect' path='/run/x'/></backend>"}, fault.DeviceRefused, "rng/backend"},
		{"disk outside", [2]string{"<target dev='vda' bus='virtio'/>", "<target dev='vdb' bus='virtio'/>"}, fault.DeviceRefused, "not part of the offer"},
		{"raw content read as qcow2", [2]string{"type='qcow2' discard='unmap'", "type='raw'"}, fault.DeviceRefused, "the offer says qcow2"},
		{"block device", [2]string{"<disk type='file' device='disk'>", "<disk type='block' device='disk'>"}, fault.DeviceRefused, `type="block"`},
		{"network disk", [2]string{"file='/var/lib/libvirt/images/app01.qcow2' index='2'", "protocol='nbd' name='x'"}, fault.DeviceRefused, "protocol"},
		{"backing chain", [2]string{"<backingStore/>", "<backingStore type='file'><format type='raw'/><source file='/etc/shadow'/></backingStore>"}, fault.DeviceRefused, "backingStore"},
		{"disk with a path that climbs", [2]string{"/var/lib/libvirt/images/app01.qcow2", "/srv/vm/../../etc/shadow"}, fault.DeviceRefused, "disk/source"},
		{"disk secret", [2]string{"<backingStore/>", "<auth username='a'><secret type='ceph' uuid='0a1b2c3d-0001-4002-8003-000000000001'/></auth>"}, fault.DeviceRefused, "disk/auth"},
		{"SCSI passthrough", [2]string{"device='disk'", "device='lun'"}, fault.DeviceRefused, "lun"},
		{"vhost-user network", [2]string{"<interface type='bridge'>", "<interface type='vhostuser'>"}, fault.DeviceRefused, "vhostuser"},
		{"host network device", [2]string{"<interface type='bridge'>", "<interface type='direct'>"}, fault.DeviceRefused, "direct"},
		{"network script", [2]string{"<source bridge='br0'/>", "<source bridge='br0'/><script path='/tmp/x'/>"}, fault.DeviceRefused, "script"},
		{"option ROM", [2]string{"<source bridge='br0'/>", "<source bridge='br0'/><rom file='/etc/shadow'/>"}, fault.DeviceRefused, "attribute file"},
		{"interface without a bridge", [2]string{"<source bridge='br0'/>", ""}, fault.DefinitionInvalid, "attached"},
		{"serial on a device", [2]string{"<serial type='pty'>", "<serial type='dev'>"}, fault.DeviceRefused, "serial"},
		{"serial on a TCP port", [2]string{"<serial type='pty'>", "<serial type='tcp'>"}, fault.DeviceRefused, "serial"},
		{"channel to UDP", [2]string{"<channel type='spicevmc'>", "<channel type='udp'>"}, fault.DeviceRefused, "channel"},
		{"guest forwarding", [2]string{"<target type='virtio' name='com.redhat.spice.0'/>", "<target type='guestfwd' address='10.0.2.1' port='1'/>"}, fault.DeviceRefused, "channel/target"},
		{"audio to a file", [2]string{"<audio id='1' type='spice'/>", "<audio id='1' type='file' path='/etc/x'/>"}, fault.DeviceRefused, "audio"},
		{"vhost-user video", [2]string{"<video>", "<video><driver name='vhostuser'/>"}, fault.DeviceRefused, "video/driver"},
		{"evdev input", [2]string{"<input type='tablet' bus='usb'/>", "<input type='evdev'><source dev='/dev/input/event1'/></input>"}, fault.DeviceRefused, "input"},
		{"passthrough TPM", dev("<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"), fault.DeviceRefused, "tpm/backend"},
		{"nvdimm", dev("<memory model='nvdimm'><source><path>/etc/shadow</path></source></memory>"), fault.DeviceRefused, "memory"},
		{"kernel outside", [2]string{"<boot dev='hd'/>", "<kernel>/etc/shadow</kernel>"}, fault.DeviceRefused, "kernel"},
		{"another VM's disk as initrd", [2]string{"<boot dev='hd'/>", "<initrd>/srv/vm/other.qcow2</initrd>"}, fault.DeviceRefused, "initrd"},
		{"boot root as a prefix only", [2]string{"<boot dev='hd'/>", "<kernel>/opt/drover/bootx/k</kernel>"}, fault.DeviceRefused, "kernel"},
		{"loader of the source's choosing", [2]string{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/srv/vm/evil.fd"}, fault.DeviceRefused, "loader"},
		{"ACPI table", [2]string{"<boot dev='hd'/>", "<acpi><table type='slic'>/etc/shadow</table></acpi>"}, fault.DeviceRefused, "os/acpi"},
		{"host's SMBIOS", [2]string{"<boot dev='hd'/>", "<smbios mode='host'/>"}, fault.DeviceRefused, "smbios"},
		{"firmware configuration file", [2]string{"<pm>", "<sysinfo type='fwcfg'><entry name='opt/x' file='/etc/shadow'/></sysinfo><pm>"}, fault.DeviceRefused, "sysinfo"},
		{"identity map", [2]string{"<pm>", "<idmap><uid start='0' target='0' count='1'/></idmap><pm>"}, fault.DeviceRefused, "idmap"},
		{"launch security", [2]string{"<pm>", "<launchSecurity type='sev'/><pm>"}, fault.DeviceRefused, "launchSecurity"},
		{"name with a path", [2]string{"<name>APP01</name>", "<name>../x</name>"}, fault.DeviceRefused, "domain/name"},
		{"two names", [2]string{"<name>APP01</name>", "<name>APP01</name><name>B</name>"}, fault.DeviceRefused, "second"},
		{"another name", [2]string{"<name>APP01</name>", "<name>APP02</name>"}, fault.DefinitionInvalid, "APP02"},
		{"another UUID", [2]string{"000000000001</uuid>", "000000000002</uuid>"}, fault.DefinitionInvalid, "UUID"},
		{"two sources", [2]string{"<backingStore/>", "<source file='/etc/shadow'/>"}, fault.DeviceRefused, "second"},
		{"two disks of one name", [2]string{"<target dev='sda' bus='sata'/>", "<target dev='vda' bus='sata'/>"}, fault.DefinitionInvalid, "vda"},
		{"attribute twice", [2]string{"<source bridge='br0'/>", "<source bridge='br0' bridge='br1'/>"}, fault.DefinitionInvalid, "twice"},
		{"document type", [2]string{"<domain type='kvm' id='7'>", "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/shadow'>]><domain type='kvm'>"}, fault.DefinitionInvalid, "document type"},
		{"entity", [2]string{"<on_crash>destroy", "<on_crash>&e;"}, fault.DefinitionInvalid, "entity"},
		{"control character", [2]string{"Skylake-Client", "Sky&#x7f;lake"}, fault.DeviceRefused, "cpu/model"},
		{"no memory", [2]string{"<memory unit='KiB'>2097152</memory>", ""}, fault.DefinitionInvalid, "memory"},
		{"endless memory", [2]string{"<memory unit='KiB'>2097152<", "<memory unit='TiB'>9999999999999999999<"}, fault.DefinitionInvalid, "memory"},
		{"deep nesting in metadata", [2]string{"<metadata>", "<metadata>" + strings.Repeat("<a>", 80) + strings.Repeat("</a>", 80)}, fault.DefinitionInvalid, "deep"},
		{"deep nesting", [2]string{"<pm>", strings.Repeat("<pm>", 80)}, fault.DefinitionInvalid, "deep"},
		{"too long", [2]string{"<metadata>", "<metadata>" + strings.Repeat(" ", MaxBytes)}, fault.DefinitionInvalid, "limit"},
		{"NUMA cells of more than any host has", [2]string{"</cpu>", "<numa><cell memory='1025' unit='TiB'/></numa></cpu>"}, fault.DefinitionInvalid, "memory"},
		{"NUMA cells whose sum overflows", [2]string{"</cpu>", "<numa>" + strings.Repeat("<cell memory='1024' unit='TiB'/>", 1<<14) + "</numa></cpu>"}, fault.DefinitionInvalid, "NUMA"},
		{"threads without number", [2]string{"<pm>", "<iothreads>4294967295</iothreads><pm>"}, fault.DeviceRefused, "iothreads"},
		{"controllers up to one far away", dev("<controller type='pci' index='4294967295' model='pcie-root-port'/>"), fault.DeviceRefused, "index"},
		{"controllers of an address", dev("<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='drive' controller='4294967295'/></rng>"), fault.DeviceRefused, "controller"},
		{"controllers of an address in hexadecimal", dev("<rng model='virtio'><backend model='random'>/dev/urandom</backend><address type='drive' controller='0xffffffff'/></rng>"), fault.DeviceRefused, "controller"},
		{"ports without number", dev("<controller type='virtio-serial' index='3' ports='4294967295'/>"), fault.DeviceRefused, "ports"},
		{"queues without number", [2]string{"<source bridge='br0'/>", "<source bridge='br0'/><driver queues='4294967295'/>"}, fault.DeviceRefused, "queues"},
		{"negative number", [2]string{"<pm>", "<iothreads>-1</iothreads><pm>"}, fault.DeviceRefused, "iothreads"},
		{"more CPUs than there are", [2]string{"<pm>", "<vcpu>18446744073709551615</vcpu><pm>"}, fault.DeviceRefused, "vcpu"},
		{"screen memory without end", dev("<video><model type='qxl' vram='18446744073709551615'/></video>"), fault.DeviceRefused, "vram"},
		{"devices without number", dev(strings.Repeat("<input type='mouse'/>", maxDevices+1)), fault.DefinitionInvalid, "devices"},
		{"elements without number", dev(strings.Repeat("<a/>", maxNodes)), fault.DefinitionInvalid, "too many"},
		{"name that turns the text round", [2]string{"<name>APP01</name>", "<name>APP\u202e01</name>"}, fault.DeviceRefused, "domain/name"},
		{"name that cannot be seen", [2]string{"<name>APP01</name>", "<name>APP\u200b01</name>"}, fault.DeviceRefused, "domain/name"},
		{"name of two lines", [2]string{"<name>APP01</name>", "<name>APP\u202801</name>"}, fault.DeviceRefused, "domain/name"},
		{"name that steers a terminal", [2]string{"<name>APP01</name>", "<name>APP\u009b31m</name>"}, fault.DeviceRefused, "domain/name"},
		{"title that steers a terminal", [2]string{"<pm>", "<title>\u009b31m</title><pm>"}, fault.DeviceRefused, "title"},
		{"not UTF-8", [2]string{"<on_crash>destroy", "<on_crash>\xff"}, fault.DefinitionInvalid, "UTF-8"},
	}
	base := readTestdata(t, "q35.xml")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.edit[0]) {
				t.Fatalf("the base has no %q", c.edit[0])
			}
			_, err := Domain([]byte(strings.Replace(base, c.edit[0], c.edit[1], 1)), policy())
			if !fault.Is(err, c.want) {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if !strings.Contains(err.Error(), c.in) {
				t.Errorf("message %q does not name %q", err, c.in)
			}
		})
	}
}

// libvirt takes NUMA cells and modules for the size of a VM, whatever <memory> says.
func TestMemoryIsWhatItsPartsAddUpTo(t *testing.T) {
	base := readTestdata(t, "q35.xml")
	for name, c := range map[string]struct {
		edit [2]string
		want uint64
	}{
		"as it says": {[2]string{"<pm>", "<pm>"}, 2 << 30},
		"more cells": {[2]string{"</cpu>", "<numa><cell memory='3' unit='GiB'/><cell memory='4' unit='GiB'/></numa></cpu>"}, 7 << 30},
		"less cells": {[2]string{"</cpu>", "<numa><cell memory='1' unit='GiB'/></numa></cpu>"}, 2 << 30},
		"a module":   {[2]string{"<memballoon model='virtio'/>", "<memory model='dimm'><target><size unit='TiB'>1</size></target></memory>"}, 1 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(base, c.edit[0]) {
				t.Fatalf("the base has no %q", c.edit[0])
			}
			a, err := Domain([]byte(strings.Replace(base, c.edit[0], c.edit[1], 1)), policy())
			if err != nil || a.MemoryBytes != c.want {
				t.Errorf("%v, %v; want %d", a, err, c.want)
			}
		})
	}
}

func TestOfferedDisksAreInTheDefinition(t *testing.T) {
	p := policy()
	p.Disks["vdb"] = DiskFile{"/srv/vm/APP01/b.qcow2", "qcow2"}
	if _, err := Domain([]byte(readTestdata(t, "q35.xml")), p); !fault.Is(err, fault.DefinitionInvalid) || !strings.Contains(err.Error(), "vdb") {
		t.Errorf("a disk that only the offer has: %v", err)
	}
}

func TestFirstLookTakesPathsUnderStorageRootsOnly(t *testing.T) {
	p := policy()
	p.Disks = nil
	base := readTestdata(t, "q35.xml")
	if _, err := Domain([]byte(base), p); !fault.Is(err, fault.StoragePathOutside) {
		t.Errorf("a path outside: %v", err)
	}
	in := strings.Replace(base, "/var/lib/libvirt/images/", "/srv/vm/", 1)
	if a, err := Domain([]byte(in), p); err != nil || a.Disks[0].Path != "/srv/vm/app01.qcow2" {
		t.Errorf("a path inside: %v", err)
	}
	p.StorageRoots = []string{"/srv/vm/app01.qcow2"}
	if _, err := Domain([]byte(in), p); !fault.Is(err, fault.StoragePathOutside) {
		t.Errorf("the root itself as a disk: %v", err)
	}
}

func TestMappedPathMustLieUnderStorageRoots(t *testing.T) {
	p := policy()
	p.Disks = map[string]DiskFile{"vda": {"/etc/x", "qcow2"}}
	if _, err := Domain([]byte(readTestdata(t, "q35.xml")), p); !fault.Is(err, fault.StoragePathOutside) {
		t.Errorf("got %v", err)
	}
}

func TestSerialLogIsPutWhereThisHostWants(t *testing.T) {
	x := readTestdata(t, "q35.xml")
	x = strings.Replace(x, "<serial type='pty'>\n      <source path='/dev/pts/3'/>", "<serial type='file'><source path='/etc/cron.d/x' append='on'/>", 1)
	x = strings.Replace(x, "<console type='pty' tty='/dev/pts/3'>\n      <source path='/dev/pts/3'/>", "<console type='file'><source path='/etc/cron.d/x'/>", 1)
	a, err := Domain([]byte(x), policy())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(a.XML, "cron.d") || strings.Count(a.XML, `path="/var/log/drover/serial/APP01-serial0.log"`) != 2 {
		t.Errorf("serial:\n%s", a.XML)
	}
	p := policy()
	p.SerialLogDir = ""
	if _, err := Domain([]byte(x), p); !fault.Is(err, fault.DeviceRefused) {
		t.Errorf("without a directory for logs: %v", err)
	}
}

// libvirt makes a channel's socket where it wants; the source has no say in it.
func TestChannelsToSocketsOfTheHostLoseThem(t *testing.T) {
	x := strings.Replace(readTestdata(t, "q35.xml"), "<memballoon model='virtio'/>", `<channel type='unix'><source mode='connect' path='/run/docker.sock'/><target type='virtio' name='x'/></channel>`+
		`<channel type='unix'><source mode='bind' path='/etc/cron.d/x'/><target type='virtio' name='y'/></channel>`, 1)
	a, err := Domain([]byte(x), policy())
	if err != nil || strings.Contains(a.XML, "docker") || strings.Contains(a.XML, "cron.d") || !strings.Contains(a.XML, `name="y"`) {
		t.Errorf("%v\n%s", err, a.XML)
	}
}

// cookiePolicy fits the domain of the recorded cookies.
func cookiePolicy() Policy {
	p := policy()
	p.Name, p.UUID = "g1", "11111111-2222-3333-4444-555555555555"
	p.Disks = map[string]DiskFile{"vda": {"/srv/vm/g1/a.qcow2", "qcow2"}, "vdb": {"/srv/vm/g1/b.raw", "raw"}}
	return p
}

func TestCookiesOfLibvirtPass(t *testing.T) {
	files, err := filepath.Glob("testdata/cookie-*.bin")
	if err != nil || len(files) < 8 {
		t.Fatalf("recorded cookies: %d, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			in := []byte(readTestdata(t, filepath.Base(f)))
			out, err := Cookie(in, cookiePolicy())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasSuffix(out, []byte("</qemu-migration>\n\x00")) {
				t.Errorf("libvirt wants a terminating zero: %q", out[max(0, len(out)-40):])
			}
			want, err := parse(bytes.TrimSuffix(in, []byte{0}))
			if err != nil {
				t.Fatal(err)
			}
			got, err := parse(bytes.TrimSuffix(out, []byte{0}))
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range want.kids {
				if g := got.kid(k.name); g == nil {
					t.Errorf("<%s> was lost", k.name)
				} else if k.name == "statistics" && len(g.kids) != len(k.kids) {
					t.Errorf("statistics: %d of %d", len(g.kids), len(k.kids))
				}
			}
		})
	}
}

func TestHostileCookiesAreRefused(t *testing.T) {
	base := readTestdata(t, "cookie-perform-libvirt-9.0.bin")
	for _, c := range []struct {
		name string
		edit [2]string
		want fault.Code
	}{
		{"host device in the definition", [2]string{"<memballoon model='none'/>", "<hostdev mode='subsystem' type='usb'/>"}, fault.DeviceRefused},
		{"disk that was not offered", [2]string{"<memballoon model='none'/>", "<disk type='file'><source file='/etc/shadow'/><target dev='vdz'/></disk>"}, fault.DeviceRefused},
		{"second definition", [2]string{"<statistics>", "<domain type='qemu'/><statistics>"}, fault.DeviceRefused},
		{"another VM's definition", [2]string{"<domain type='qemu'>\n    <name>g1", "<domain type='qemu'>\n    <name>g2"}, fault.DefinitionInvalid},
		{"another VM", [2]string{"<name>g1", "<name>g2"}, fault.DefinitionInvalid},
		{"unknown element", [2]string{"<statistics>", "<lockstate driver='x'/><statistics>"}, fault.DeviceRefused},
		{"unknown feature", [2]string{"<statistics>", "<feature name='other'/><statistics>"}, fault.DeviceRefused},
		{"statistics that are no numbers", [2]string{"<sent>", "<sent>x"}, fault.DeviceRefused},
		{"zero inside", [2]string{"<statistics>", "\x00<statistics>"}, fault.DefinitionInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.edit[0]) {
				t.Fatalf("the base has no %q", c.edit[0])
			}
			if _, err := Cookie([]byte(strings.Replace(base, c.edit[0], c.edit[1], 1)), cookiePolicy()); !fault.Is(err, c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	if out, err := Cookie(nil, cookiePolicy()); out != nil || err != nil {
		t.Errorf("an empty cookie: %q, %v", out, err)
	}
}
