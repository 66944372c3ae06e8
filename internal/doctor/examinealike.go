package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"drover/internal/fault"
	"drover/internal/finding"
	"drover/internal/settings"
	"drover/internal/version"
)

// Root is a directory under which a host keeps disks. Sizes in bytes.
type Root struct {
	Path        string
	Total, Free uint64
	Problem     string // why no disk can be made there, to be read after the path; "" for none
}

// TimeZone is a host's: minutes east of UTC in January and July.
type TimeZone struct {
	Name           string
	Winter, Summer int
}

// String is the name with what it means, such as Europe/Berlin (UTC+01:00, in July UTC+02:00).
func (z TimeZone) String() string {
	offset := func(m int) string { return fmt.Sprintf("UTC%+03d:%02d", m/60, max(m, -m)%60) }
	s := offset(z.Winter)
	if z.Summer != z.Winter {
		s += ", in July " + offset(z.Summer)
	}
	if z.Name != "" {
		s = z.Name + " (" + s + ")"
	}
	return s
}

// A directory with less than this has no room for the disks of a VM, or soon will not.
const (
	noRoom     = 1 << 30
	littleRoom = 20 << 30
	littlePart = 20 // a part of the whole: 5 %
)

// judgeRoots looks at where disks go that come to the host.
func (x *examination) judgeRoots(h *seenHost) {
	const what = "storage directories"
	if len(h.agent.Roots) == 0 {
		x.didNot(AreaHost, what, h.Name, "its agent tells of none")
		return
	}
	x.did(AreaHost, what, h.Name)
	from := "the agent of " + h.Name
	for _, r := range h.agent.Roots {
		if r.Problem != "" {
			x.tell(finding.Error, h.Name, fault.New(fault.StorageRootUnusable, h.Name, "path", r.Path, "problem", r.Problem), r.Path+" "+r.Problem, from, aboutHost(h))
			continue
		}
		severity := finding.Warning
		switch {
		case r.Free < noRoom:
			severity = finding.Error
		case r.Free >= littleRoom || r.Free >= r.Total/littlePart:
			continue
		}
		x.tell(severity, h.Name, fault.New(fault.StorageRootFull, h.Name, "path", r.Path, "free", humanize.IBytes(r.Free), "total", humanize.IBytes(r.Total)),
			fmt.Sprintf("%d of %d bytes are free", r.Free, r.Total), from, aboutHost(h))
	}
}

// judgeTemplate holds a host's settings against those that it ought to have.
func (x *examination) judgeTemplate(h *seenHost) {
	const what = "settings of the template"
	t := x.q.Template
	if t == nil {
		return
	}
	want, err := h.agent.Settings.Apply(h.Name, t.Settings)
	if err != nil {
		x.didNot(AreaHost, what, h.Name, inWords(err))
		return
	}
	x.did(AreaHost, what, h.Name)
	wrong := settings.Diff(h.agent.Settings, want)
	if len(wrong) == 0 {
		return
	}
	var names, read []string
	var fix, undo strings.Builder
	for _, d := range wrong {
		names = append(names, d.Setting)
		read = append(read, fmt.Sprintf("%s is %s and ought to be %s", d.Setting, d.From, d.To))
		fix.WriteString(flagsFor(d.Setting, d.To))
		undo.WriteString(flagsFor(d.Setting, d.From))
	}
	x.tell(finding.Warning, h.Name, fault.New(fault.SettingsDrifted, h.Name, "file", t.File, "settings", strings.Join(names, ", ")),
		strings.Join(read, "; "), "the agent of "+h.Name, aboutHost(h), hostSetAll(h, fix.String(), undo.String()))
}

// flagsFor is a setting, in words of settings.Value, as `drover host set` takes it. The
// values have nothing in them that a shell would change.
func flagsFor(setting, value string) string {
	flag := map[string]string{"incoming_enabled": "incoming", "outgoing_enabled": "outgoing", "authentication_type": "authentication",
		"performance_option": "performance", "use_any_network": "any-network", "bandwidth_limit": "bandwidth"}[setting]
	if setting == "networks" {
		var out string
		for _, n := range strings.Fields(value) {
			out += " --network " + n
		}
		return out
	}
	if flag == "" {
		flag = strings.ReplaceAll(setting, "_", "-")
	}
	return " --" + flag + " " + value
}

// What Drover is tried with at the least is Debian 12's.
const (
	oldestLibvirt = "9.0.0"
	oldestQEMU    = "7.2.0"
)

// judgeVersions tells of what is older than anything that Drover is tried with.
func (x *examination) judgeVersions(h *seenHost) {
	a := h.agent
	if a.LibvirtVersion == "" {
		return
	}
	x.did(AreaHost, "libvirt and QEMU", h.Name)
	for _, v := range []struct{ program, have, need string }{{"libvirt", a.LibvirtVersion, oldestLibvirt}, {"QEMU", a.QEMUVersion, oldestQEMU}} {
		if version.Older(v.have, v.need) {
			x.tell(finding.Error, h.Name, fault.New(fault.VersionTooOld, h.Name, "program", v.program, "have", v.have, "feature", "Drover", "need", v.need),
				"libvirt "+a.LibvirtVersion+", QEMU "+a.QEMUVersion, "the agent of "+h.Name, aboutHost(h))
		}
	}
}

// libvirtConf are the files of the one daemon and of the modular one, of which a host
// uses one.
const libvirtConf = "/etc/libvirt/libvirtd.conf /etc/libvirt/virtqemud.conf"

// compareMachines tells what hosts have in common that they must not, and what they
// ought to have in common.
func (x *examination) compareMachines(with []*seenHost) {
	if len(with) < 2 {
		return
	}
	x.clones(with, "host UUID", finding.Error, func(a *Agent) string { return a.UUID },
		"touch "+libvirtConf, `sed -i '/^[[:space:]]*host_uuid/d' `+libvirtConf,
		`echo "host_uuid = \"$(cat /proc/sys/kernel/random/uuid)\"" | tee -a `+libvirtConf, "systemctl try-restart libvirtd virtqemud")
	x.clones(with, "machine id", finding.Warning, func(a *Agent) string { return a.MachineID },
		"rm /etc/machine-id", "systemd-machine-id-setup", "systemctl reboot")
	x.zones(with)
	x.kvm(with)
	x.anyNetwork(with)
}

// clones tells of hosts that have something of their own in common, a finding for each
// after the first.
func (x *examination) clones(with []*seenHost, what string, s finding.Severity, value func(*Agent) string, commands ...string) {
	first := map[string]*seenHost{}
	for _, h := range with {
		v := value(h.agent)
		if v == "" {
			x.didNot(AreaHost, what, h.Name, "its agent does not tell it")
			continue
		}
		x.did(AreaHost, what, h.Name)
		peer := first[v]
		if peer == nil {
			first[v] = h
			continue
		}
		var fix []finding.Command
		for _, c := range commands {
			fix = append(fix, finding.Command{Tool: finding.Shell, Line: c})
		}
		x.tell(s, h.Name, fault.New(fault.HostsCloned, h.Name, "peer", peer.Name, "what", what, "command", strings.Join(commands, "; ")),
			fmt.Sprintf("%s and %s both have %s", peer.Name, h.Name, v), "their agents", aboutHost(h), cure("after the restart", fix, nil))
	}
}

// zones holds each host's time zone against that of most.
func (x *examination) zones(with []*seenHost) {
	offsets := func(a *Agent) string { return fmt.Sprint(a.TimeZone.Winter, a.TimeZone.Summer) }
	usual := majority(with, offsets)
	at := slices.IndexFunc(with, func(h *seenHost) bool { return offsets(h.agent) == usual })
	peer := with[at]
	for _, h := range with {
		if offsets(h.agent) == usual {
			continue
		}
		zone := peer.agent.TimeZone.Name
		var more func(*finding.Finding)
		if zone != "" && h.agent.TimeZone.Name != "" {
			more = cure("at once; programs that run go on with the old one until they are started anew",
				[]finding.Command{shell("timedatectl set-timezone %s", zone)}, []finding.Command{shell("timedatectl set-timezone %s", h.agent.TimeZone.Name)})
		} else {
			zone, more = "ZONE", func(*finding.Finding) {}
		}
		x.tell(finding.Warning, h.Name, fault.New(fault.TimeZonesDiffer, h.Name, "have", h.agent.TimeZone.String(), "peer", peer.Name, "want", peer.agent.TimeZone.String(), "zone", zone),
			fmt.Sprintf("%s has %s, %s has %s", h.Name, h.agent.TimeZone, peer.Name, peer.agent.TimeZone), "their agents", aboutHost(h), more)
	}
}

// kvm tells of hosts without KVM where others have it. What all lack keeps no VM from
// moving between them.
func (x *examination) kvm(with []*seenHost) {
	at := slices.IndexFunc(with, func(h *seenHost) bool { return h.agent.KVM })
	if at < 0 {
		return
	}
	for _, h := range with {
		if !h.agent.KVM && h.agent.LibvirtVersion != "" { // an older agent does not tell
			x.tell(finding.Error, h.Name, fault.New(fault.KVMMissing, h.Name, "peer", with[at].Name), "libvirt offers emulation only", "the agent of "+h.Name, aboutHost(h))
		}
	}
}

// anyNetwork tells of hosts that take any network where others keep to those listed.
func (x *examination) anyNetwork(with []*seenHost) {
	on := map[bool][]*seenHost{}
	for _, h := range with {
		on[h.agent.Settings.AnyNetwork] = append(on[h.agent.Settings.AnyNetwork], h)
	}
	if len(on) < 2 {
		return
	}
	for _, h := range on[true] {
		x.tell(finding.Warning, h.Name, fault.New(fault.AnyNetworkDiffers, h.Name, "peer", on[false][0].Name), "use_any_network is on, and off on "+on[false][0].Name,
			"their agents", aboutHost(h), hostSet(h, "any-network", "off", "on"))
	}
}
