package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func contains(names []string, name string) bool { return slices.Contains(names, name) }

func equalFold(a, b string) bool { return strings.EqualFold(a, b) }

// Directories inside a host that live on the machine's real file system.
const (
	VMDir     = "/srv/vms"        // virtual machines and their disks, one per host
	SharedDir = "/srv/shared"     // the same directory on all hosts
	AgentDir  = "/var/lib/drover" // the agent's journal
	AssetsDir = "/opt/drover"     // programs and guest, the same for all members, read-only
)

const serviceLogDir = "/var/log/lab"

// memberConfig says how a member's PID 1 is to set up its file system.
func (l *Lab) memberConfig(o Options, s spec) (initConfig, error) {
	dir := l.Dir()
	root := &rootConfig{
		Lower:   "/",
		Scratch: filepath.Join(dir, "root", s.name),
		// A lab inside a lab would see this one's files through the overlay.
		Tmpfs: []string{BaseDir},
		// The machine may itself belong to a domain.
		Absent: []string{"/etc/krb5.keytab"},
		Binds:  []bind{{Source: filepath.Join(dir, "logs", s.name), Target: serviceLogDir}},
		Files:  commonFiles(l.state.Name, s),
	}
	if o.Assets != "" {
		root.Binds = append(root.Binds, bind{Source: o.Assets, Target: AssetsDir, ReadOnly: true})
	}
	switch s.role {
	case roleHost:
		if o.Rootfs == rootfsTrixie {
			root.Lower = TrixieRoot
		}
		root.hostDirectories(dir, s)
		root.Files = append(root.Files, libvirtFiles(l.state.Name, o.Libvirt, o.QEMUUser, o.LibvirtTCP, s)...)
		root.Files = append(root.Files, o.qemuCertificates[s.name]...)
	case roleUnjoined:
		if o.Rootfs == rootfsTrixie {
			root.Lower = TrixieRoot
		}
		root.Absent = append(root.Absent, "/etc/sssd", "/var/lib/sss", "/etc/drover", AgentDir)
		root.Tmpfs = append(root.Tmpfs, "/etc/samba", "/var/lib/samba", "/var/cache/samba")
	case roleDC:
		if o.Directory == rootfsTrixie {
			root.Lower = TrixieRoot
		}
		root.Tmpfs = append(root.Tmpfs, "/etc/samba", "/var/lib/samba", "/var/cache/samba", "/var/log/samba")
		files, err := dcFiles()
		if err != nil {
			return initConfig{}, err
		}
		root.Files = append(root.Files, files...)
	}
	return initConfig{Hostname: strings.ToLower(s.name), Socket: controlSocket(dir, s.name), Root: root, LogDir: serviceLogDir}, nil
}

// hostDirectories gives a host empty state directories of its own.
func (r *rootConfig) hostDirectories(dir string, s spec) {
	r.Tmpfs = append(r.Tmpfs, "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/etc/drover")
	r.Binds = append(r.Binds,
		bind{Source: filepath.Join(dir, "disks", s.name, "vms"), Target: VMDir},
		bind{Source: filepath.Join(dir, "disks", s.name, "agent"), Target: AgentDir},
		bind{Source: filepath.Join(dir, "shared"), Target: SharedDir},
		bind{Source: filepath.Join(dir, "logs", s.name, "libvirt"), Target: "/var/log/libvirt"},
	)
}

// commonFiles are those that every member has.
func commonFiles(lab string, self spec) []file {
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, s := range members {
		hosts += fmt.Sprintf("%s %s %s\n", s.address(Management), s.fqdn(), strings.ToLower(s.name))
	}
	return []file{
		{"/etc/hosts", 0o644, hosts},
		{"/etc/hostname", 0o644, strings.ToLower(self.name) + "\n"},
		{"/etc/machine-id", 0o444, machineID(lab, self.name) + "\n"},
		{"/etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"},
		{"/etc/resolv.conf", 0o644, fmt.Sprintf("nameserver %s\nsearch %s\n", members[0].address(Management), Domain)},
		{"/etc/krb5.conf", 0o644, krb5Conf()},
	}
}

func krb5Conf() string {
	return strings.NewReplacer("@REALM@", Realm, "@DOMAIN@", Domain, "@KDC@", members[0].address(Management)).Replace(`[libdefaults]
  default_realm = @REALM@
  dns_lookup_realm = false
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  forwardable = true
  noaddresses = true
[realms]
  @REALM@ = {
    kdc = @KDC@
    admin_server = @KDC@
  }
[domain_realm]
  .@DOMAIN@ = @REALM@
  @DOMAIN@ = @REALM@
`)
}

// machineID is stable for a member of a lab and differs between members and labs, in the form of
// machine-id(5).
func machineID(lab, member string) string {
	sum := sha256.Sum256([]byte("drover-lab/" + lab + "/" + member))
	return hex.EncodeToString(sum[:16])
}

// findAssets looks for the build directory of the source tree around the working directory, then
// beside the running program. "" when there is neither.
func findAssets() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			build := filepath.Join(dir, "build")
			if os.MkdirAll(build, 0o755) != nil {
				return ""
			}
			return build
		}
	}
	if program, err := os.Executable(); err == nil && filepath.Base(filepath.Dir(program)) == "bin" {
		return filepath.Dir(filepath.Dir(program))
	}
	return ""
}
