package guest

import (
	"encoding/xml"
	"fmt"
	"strings"
	"text/template"
)

// Spec is a domain for the guest, as libvirt is to define it.
type Spec struct {
	Name string
	// UUID may be empty: libvirt then chooses one.
	UUID string
	// MemoryMiB is the domain's memory; the guest needs some 80 MiB beside
	// Params.Memory.
	MemoryMiB int
	// VCPUs is 1 when 0.
	VCPUs int
	// Type is TypeKVM or TypeQEMU (Accel.Type).
	Type string
	// Machine is "pc" or "q35"; "pc" when empty.
	Machine string
	// Boot and Cmdline (Params.Cmdline) start the guest without a boot loader.
	Boot    BootFiles
	Cmdline string
	// Loader is the path of UEFI code (such as /usr/share/OVMF/OVMF_CODE.fd),
	// empty for BIOS. NVRAM is the domain's own variable store, made from
	// NVRAMTemplate.
	Loader, NVRAM, NVRAMTemplate string
	Disks                        []DiskSpec
	// Bridge is the name of a bridge on the host, empty for no network.
	Bridge string
	// MAC may be empty: libvirt then chooses one.
	MAC string
	// Console is a file that gets the serial console's output; empty for a
	// pseudo terminal.
	Console string
}

// DiskSpec is a virtio disk; the first is vda.
type DiskSpec struct {
	Path string
	// Format is "raw" or "qcow2".
	Format string
	// Cache is QEMU's cache mode; "none" when empty.
	Cache string
}

// DomainXML is the domain as XML. Every value is escaped. The error is about a
// Spec that makes no domain.
func DomainXML(s Spec) (string, error) {
	if s.Machine == "" {
		s.Machine = "pc"
	}
	s.VCPUs = max(s.VCPUs, 1)
	if err := s.check(); err != nil {
		return "", fmt.Errorf("domain %q: %w", s.Name, err)
	}
	// Parsed here and not in a variable of the package: templates keep the
	// linker from dropping unused methods, also in cmd/drover-guest.
	t, err := template.New("domain").Funcs(template.FuncMap{
		"x":      escape,
		"target": func(i int) string { return "vd" + string(rune('a'+i)) },
	}).Parse(domainTemplate)
	if err != nil {
		return "", fmt.Errorf("domain template: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, s); err != nil {
		return "", fmt.Errorf("domain template: %w", err)
	}
	return b.String(), nil
}

func (s Spec) check() error {
	switch {
	case s.Name == "":
		return fmt.Errorf("no name")
	case s.MemoryMiB < 64:
		return fmt.Errorf("%d MiB of memory are too few", s.MemoryMiB)
	case s.Type != TypeKVM && s.Type != TypeQEMU:
		return fmt.Errorf("type %q is neither %s nor %s", s.Type, TypeKVM, TypeQEMU)
	case s.Machine != "pc" && s.Machine != "q35":
		return fmt.Errorf("machine %q is neither pc nor q35", s.Machine)
	case s.Boot.Kernel == "" || s.Boot.Initrd == "":
		return fmt.Errorf("no kernel or no initrd")
	case (s.Loader == "") != (s.NVRAM == ""):
		return fmt.Errorf("UEFI needs both loader and nvram")
	case len(s.Disks) > maxDisks:
		return fmt.Errorf("%d disks, the guest reports %d at most", len(s.Disks), maxDisks)
	}
	for _, d := range s.Disks {
		if d.Path == "" || (d.Format != "raw" && d.Format != "qcow2") {
			return fmt.Errorf("disk %q of format %q", d.Path, d.Format)
		}
	}
	return nil
}

func escape(s string) (string, error) {
	var b strings.Builder
	err := xml.EscapeText(&b, []byte(s))
	return b.String(), err
}

const domainTemplate = `<domain type='{{x .Type}}'>
  <name>{{x .Name}}</name>
{{- if .UUID}}
  <uuid>{{x .UUID}}</uuid>
{{- end}}
  <memory unit='MiB'>{{.MemoryMiB}}</memory>
  <vcpu placement='static'>{{.VCPUs}}</vcpu>
  <os>
    <type arch='x86_64' machine='{{x .Machine}}'>hvm</type>
{{- if .Loader}}
    <loader readonly='yes' type='pflash'>{{x .Loader}}</loader>
    <nvram{{if .NVRAMTemplate}} template='{{x .NVRAMTemplate}}'{{end}}>{{x .NVRAM}}</nvram>
{{- end}}
    <kernel>{{x .Boot.Kernel}}</kernel>
    <initrd>{{x .Boot.Initrd}}</initrd>
    <cmdline>{{x .Cmdline}}</cmdline>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
{{- if eq .Type "kvm"}}
  <cpu mode='host-model'/>
{{- else}}
  <cpu mode='custom' match='exact' check='none'>
    <model fallback='forbid'>qemu64</model>
  </cpu>
{{- end}}
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
{{- range $i, $d := .Disks}}
    <disk type='file' device='disk'>
      <driver name='qemu' type='{{x $d.Format}}' cache='{{if $d.Cache}}{{x $d.Cache}}{{else}}none{{end}}'/>
      <source file='{{x $d.Path}}'/>
      <target dev='{{target $i}}' bus='virtio'/>
    </disk>
{{- end}}
{{- if .Bridge}}
    <interface type='bridge'>
{{- if .MAC}}
      <mac address='{{x .MAC}}'/>
{{- end}}
      <source bridge='{{x .Bridge}}'/>
      <model type='virtio'/>
    </interface>
{{- end}}
{{- if .Console}}
    <serial type='file'>
      <source path='{{x .Console}}'/>
      <target port='0'/>
    </serial>
{{- else}}
    <serial type='pty'>
      <target port='0'/>
    </serial>
{{- end}}
  </devices>
</domain>
`
