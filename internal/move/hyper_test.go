package move_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
	"drover/internal/virt/virttest"
)

// hyper is one agent's view of its host's fake libvirt. What virttest does not
// keep (disks, autostart) is kept beside it, per host.
type hyper struct {
	a *agent
}

// vmXML is as much of a definition as the state machine's tests need.
type vmXML struct {
	XMLName xml.Name  `xml:"domain"`
	Name    string    `xml:"name"`
	UUID    string    `xml:"uuid"`
	Memory  uint64    `xml:"memory,omitempty"` // GiB, 1 without
	Disks   []diskXML `xml:"disk"`
	NVRAM   string    `xml:"nvram,omitempty"`
}

type diskXML struct {
	Target string `xml:"target,attr"`
	Device string `xml:"device,attr"`
	Path   string `xml:"path,attr"`
	Format string `xml:"format,attr"`
}

func marshal(d vmXML) string {
	b, err := xml.Marshal(d)
	if err != nil {
		panic(err) // strings only
	}
	return string(b)
}

func definition(d virt.Domain) string {
	x := vmXML{Name: d.Name, UUID: d.UUID, NVRAM: d.NVRAM}
	for _, k := range d.Disks {
		x.Disks = append(x.Disks, diskXML{k.Target, k.Device, k.Path, k.Format})
	}
	return marshal(x)
}

func (h hyper) call(name string) error {
	if err := h.a.gate(); err != nil {
		return err
	}
	return h.a.h.fault(name)
}

func (h hyper) Facts(context.Context) (virt.HostFacts, error) {
	return virt.HostFacts{UUID: "uuid-of-" + h.a.h.name, MemoryAvailable: 64 << 30, CPUs: 8}, h.call("Facts")
}

func (h hyper) Domain(ctx context.Context, vm string) (virt.Domain, error) {
	if err := h.call("DomainInfo"); err != nil {
		return virt.Domain{}, err
	}
	d, err := h.a.h.fake.Domain(ctx, vm)
	return h.a.h.dress(d), err
}

func (h hyper) Domains(ctx context.Context) ([]virt.Domain, error) {
	if err := h.call("Domains"); err != nil {
		return nil, err
	}
	var out []virt.Domain
	for _, uuid := range h.a.h.known() {
		d, err := h.a.h.fake.Domain(ctx, uuid)
		if fault.Is(err, fault.VMNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, h.a.h.dress(d))
	}
	return out, nil
}

func (h hyper) MigratableXML(ctx context.Context, uuid string) (string, error) {
	d, err := h.Domain(ctx, uuid)
	return definition(d), err
}

// Admit checks identity and disks, and puts this host's paths in.
func (h hyper) Admit(_ context.Context, text string, vm move.Expected) (move.Definition, error) {
	if err := h.call("Admit"); err != nil {
		return move.Definition{}, err
	}
	refuse := func(why string) (move.Definition, error) {
		return move.Definition{}, fault.New(fault.DefinitionInvalid, h.a.h.name, "vm", vm.Name, "reason", why)
	}
	var x vmXML
	if err := xml.Unmarshal([]byte(text), &x); err != nil {
		return refuse(err.Error())
	}
	if x.Name != vm.Name || x.UUID != vm.UUID {
		return refuse("it is of " + x.Name + " " + x.UUID)
	}
	missing := maps.Clone(vm.Disks)
	for i, d := range x.Disks {
		want, ok := vm.Disks[d.Target]
		if d.Path == "" {
			continue
		}
		if !ok && vm.Eject && d.Device != "disk" {
			x.Disks[i].Path = ""
			continue
		}
		if !ok || want.Format != d.Format {
			return refuse("disk " + d.Target + " was not agreed")
		}
		x.Disks[i].Path = want.Path
		delete(missing, d.Target)
	}
	if len(missing) > 0 {
		return refuse(fmt.Sprintf("it lacks disks that were agreed: %v", missing))
	}
	return move.Definition{XML: marshal(x), MemoryBytes: max(x.Memory, 1) << 30, NVRAM: x.NVRAM}, nil
}

func (h hyper) AdmitCookie(_ context.Context, cookie []byte, _ move.Expected) ([]byte, error) {
	if string(cookie) == "evil" {
		return nil, fault.New(fault.DefinitionInvalid, h.a.h.name, "vm", "?", "reason", "its cookie")
	}
	return cookie, h.call("AdmitCookie")
}

func (h hyper) Define(_ context.Context, text string) error {
	if err := h.call("Define"); err != nil {
		return err
	}
	var x vmXML
	if err := xml.Unmarshal([]byte(text), &x); err != nil {
		return err
	}
	h.a.h.add(virt.Domain{Name: x.Name, UUID: x.UUID, State: virt.Shutoff, Persistent: true, Disks: disksOf(x)})
	h.a.h.ledger.acquire("definition")
	return nil
}

func disksOf(x vmXML) (out []virt.Disk) {
	for _, d := range x.Disks {
		k := virt.Disk{Target: d.Target, Device: d.Device, Path: d.Path, Format: d.Format, VirtualBytes: 1 << 20, Cache: "none"}
		if d.Path != "" {
			k.Type = "file"
		}
		out = append(out, k)
	}
	return out
}

func (h hyper) Resume(ctx context.Context, uuid string) error {
	return errors.Join(h.call("DomainResume"), h.a.h.fake.Resume(ctx, uuid))
}

func (h hyper) Destroy(ctx context.Context, uuid string) error {
	if err := h.call("DomainDestroy"); err != nil {
		return err
	}
	return h.a.h.fake.Destroy(ctx, uuid)
}

func (h hyper) Undefine(ctx context.Context, uuid string) error {
	if err := h.call("DomainUndefine"); err != nil {
		return err
	}
	return h.a.h.fake.Undefine(ctx, uuid, false)
}

func (h hyper) AbortJob(ctx context.Context, uuid string) error {
	if err := h.call("Abort"); err != nil {
		return err
	}
	return h.a.h.fake.AbortJob(ctx, uuid)
}

func (h hyper) SetAutostart(_ context.Context, uuid string, on bool) error {
	if err := h.call("SetAutostart"); err != nil {
		return err
	}
	if h.a.h.setAutostart(uuid, on) {
		if on {
			h.a.h.ledger.release("autostart")
		} else {
			h.a.h.ledger.acquire("autostart")
		}
	}
	return nil
}

func (h hyper) Outgoing(ctx context.Context, p virt.MigrationParams) (move.Outgoing, error) {
	if err := h.call("OpenOutgoing"); err != nil {
		return nil, err
	}
	h.a.h.took(p)
	o, err := h.a.h.fake.Outgoing(ctx, p)
	if err != nil {
		return nil, err
	}
	h.a.h.ledger.acquire("outgoing")
	h.a.opened(o)
	return &outgoing{Outgoing: o, h: h, uuid: p.UUID}, nil
}

type outgoing struct {
	virttest.Outgoing
	h    hyper
	uuid string
	once sync.Once
	job  atomic.Bool // libvirt's, which ends with the connection
}

func (o *outgoing) Begin(ctx context.Context) ([]byte, string, error) {
	if err := o.h.call("OutBegin"); err != nil {
		return nil, "", err
	}
	cookie, _, err := o.Outgoing.Begin(ctx)
	if err != nil {
		return nil, "", err
	}
	o.h.a.h.ledger.acquire("begin")
	o.job.Store(true)
	text, err := o.h.MigratableXML(ctx, o.uuid)
	return cookie, text, err
}

func (o *outgoing) Perform(ctx context.Context, cookie []byte) ([]byte, error) {
	if err := o.h.call("OutPerform"); err != nil {
		return nil, err
	}
	return o.Outgoing.Perform(ctx, cookie, "")
}

func (o *outgoing) Confirm(ctx context.Context, cookie []byte, cancelled bool) error {
	if err := o.h.call("OutConfirm"); err != nil {
		return err
	}
	if err := o.Outgoing.Confirm(ctx, cookie, cancelled); err != nil {
		return err
	}
	o.endJob()
	return nil
}

func (o *outgoing) endJob() {
	if o.job.CompareAndSwap(true, false) {
		o.h.a.h.ledger.release("begin")
	}
}

func (o *outgoing) Stats(ctx context.Context) (virt.JobStats, error) {
	if err := o.h.a.gate(); err != nil {
		return virt.JobStats{}, err
	}
	return o.Outgoing.Stats(ctx)
}

func (o *outgoing) Close() error {
	if err := o.h.a.gate(); err != nil {
		return err
	}
	o.once.Do(func() { o.endJob(); o.h.a.closed(o.Outgoing); o.h.a.h.ledger.release("outgoing") })
	return o.Outgoing.Close()
}

func (h hyper) Incoming(ctx context.Context, p virt.MigrationParams) (move.Incoming, error) {
	if err := h.call("OpenIncoming"); err != nil {
		return nil, err
	}
	h.a.h.took(p)
	i, err := h.a.h.fake.Incoming(ctx, p)
	if err != nil {
		return nil, err
	}
	h.a.h.ledger.acquire("incoming")
	h.a.opened(i)
	return &incoming{Incoming: i, h: h, uuid: p.UUID}, nil
}

type incoming struct {
	virttest.Incoming
	h    hyper
	uuid string
	once sync.Once
	vm   sync.Once // what Prepare made
	made bool
}

// gone notes that the waiting VM is no more, or no longer the connection's.
func (i *incoming) gone() {
	if i.made {
		i.vm.Do(func() { i.h.a.h.ledger.release("incoming VM") })
	}
}

func (i *incoming) Prepare(ctx context.Context, cookie []byte, text string) ([]byte, error) {
	if err := i.h.call("InPrepare"); err != nil {
		return nil, err
	}
	var x vmXML
	if err := xml.Unmarshal([]byte(text), &x); err != nil {
		return nil, fmt.Errorf("definition: %w", err)
	}
	for _, d := range x.Disks { // as QEMU would
		if d.Path != "" && !(storage{i.h.a}).Exists(d.Path) {
			return nil, fmt.Errorf("cannot open %s", d.Path)
		}
	}
	cookie, err := i.Incoming.Prepare(ctx, cookie, text)
	if err == nil {
		i.h.a.h.remember(i.uuid, disksOf(x))
		if x.NVRAM != "" { // libvirt makes it, and leaves it
			i.h.a.h.disks.put(x.NVRAM, "variables that come with the memory")
		}
		i.h.a.h.ledger.acquire("incoming VM")
		i.made = true
	}
	return cookie, err
}

func (i *incoming) Finish(ctx context.Context, cookie []byte, cancelled bool) ([]byte, error) {
	if err := i.h.call("InFinish"); err != nil {
		return nil, err
	}
	cookie, err := i.Incoming.Finish(ctx, cookie, cancelled)
	if err == nil {
		i.gone()
		if !cancelled {
			err = i.h.a.h.fault("InFinishAfter") // it runs, and yet
		}
	}
	return cookie, err
}

func (i *incoming) Close() error {
	if err := i.h.a.gate(); err != nil {
		return err
	}
	i.once.Do(func() { i.gone(); i.h.a.closed(i.Incoming); i.h.a.h.ledger.release("incoming") })
	return i.Incoming.Close()
}
