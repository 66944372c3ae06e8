package move_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
	"drover/internal/wire"
)

func TestDestinationRefusesWhatIsOutOfOrder(t *testing.T) {
	prepare := wire.Prepare{Cookie: []byte("begin"), XML: definition(vm())}
	cases := map[string]struct {
		before func(*peer)
		kind   wire.Kind
		body   any
		want   wire.Kind
	}{
		"prepare before open":    {func(*peer) {}, wire.KindPrepare, prepare, wire.KindPrepared},
		"prepare before offer":   {(*peer).opens, wire.KindPrepare, prepare, wire.KindPrepared},
		"second prepare":         {(*peer).prepares, wire.KindPrepare, prepare, wire.KindPrepared},
		"second offer":           {(*peer).offers, wire.KindOffer, offer(), wire.KindAdmitted},
		"offer after prepare":    {(*peer).prepares, wire.KindOffer, offer(), wire.KindAdmitted},
		"handover before open":   {func(*peer) {}, wire.KindHandover, wire.Handover{}, wire.KindOutcome},
		"handover before offer":  {(*peer).opens, wire.KindHandover, wire.Handover{}, wire.KindOutcome},
		"handover after offer":   {(*peer).offers, wire.KindHandover, wire.Handover{}, wire.KindOutcome},
		"second open":            {(*peer).offers, wire.KindOpen, opening(), wire.KindOpened},
		"query in a move":        {(*peer).offers, wire.KindQuery, wire.Query{Move: moveID, UUID: vmUUID}, wire.KindOutcome},
		"a kind of no protocol":  {(*peer).offers, "surprise", struct{}{}, wire.KindOutcome},
		"a body that is no JSON": {(*peer).opens, wire.KindOffer, "text", wire.KindAdmitted},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, h, p := hostile(t)
			c.before(p)
			_, err := call[map[string]any](p, c.kind, c.body, c.want)
			wantFault(t, err, fault.ProtocolError)
			if rec, ok := h.record(moveID); ok {
				wantCode(t, h.over(t, rec.ID), move.Failed, fault.ProtocolError)
				h.journal(t, moveID)
			}
			wantNothing(t, w, h)
		})
	}
}

func TestDestinationRefusesAnOpen(t *testing.T) {
	asIs := func(*wire.Open, *move.Caller) {}
	cases := map[string]struct {
		edit func(*wire.Open, *move.Caller)
		code fault.Code
	}{
		"no id":                    {func(o *wire.Open, _ *move.Caller) { o.Move = "" }, fault.ProtocolError},
		"short id":                 {func(o *wire.Open, _ *move.Caller) { o.Move = "01HZ" }, fault.ProtocolError},
		"oversized id":             {func(o *wire.Open, _ *move.Caller) { o.Move = strings.Repeat("0", 1<<16) }, fault.ProtocolError},
		"id with a path":           {func(o *wire.Open, _ *move.Caller) { o.Move = "01HZZZZZZZZZZZZ/../../../x" }, fault.ProtocolError},
		"id in small letters":      {func(o *wire.Open, _ *move.Caller) { o.Move = strings.ToLower(moveID) }, fault.ProtocolError},
		"no name":                  {func(o *wire.Open, _ *move.Caller) { o.VM = "" }, fault.ProtocolError},
		"oversized name":           {func(o *wire.Open, _ *move.Caller) { o.VM = strings.Repeat("x", 256) }, fault.ProtocolError},
		"no UUID":                  {func(o *wire.Open, _ *move.Caller) { o.UUID = "" }, fault.ProtocolError},
		"a name for a UUID":        {func(o *wire.Open, _ *move.Caller) { o.UUID = "DB01" }, fault.ProtocolError},
		"UUID in capitals":         {func(o *wire.Open, _ *move.Caller) { o.UUID = "AAAAAAAA-2222-4333-8444-555555555555" }, fault.ProtocolError},
		"UUID without dashes":      {func(o *wire.Open, _ *move.Caller) { o.UUID = strings.ReplaceAll(vmUUID, "-", "") + "0000" }, fault.ProtocolError},
		"UUID with dashes shifted": {func(o *wire.Open, _ *move.Caller) { o.UUID = "1111111-12222-4333-8444-555555555555" }, fault.ProtocolError},
		"not delegated":            {func(_ *wire.Open, c *move.Caller) { c.DelegatedBy = "" }, fault.NotDelegated},
		"fine":                     {asIs, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "HV02")
			h, o, caller := w.host("HV02"), opening(), delegated()
			c.edit(&o, &caller)
			p := w.peer(t, h, caller)
			_, err := call[wire.Opened](p, wire.KindOpen, o, wire.KindOpened)
			if c.code == "" {
				p.must(err)
				return
			}
			wantFault(t, err, c.code)
			wantNothing(t, w, h)
			if list, err := h.current().m.List(context.Background(), storeFilter()); err != nil || len(list) > 0 {
				t.Errorf("journalled %v, %v", list, err)
			}
		})
	}
}

func TestMoveIDIsUsedOnce(t *testing.T) {
	w, h, p := hostile(t)
	p.opens()
	o := opening()
	o.UUID = "99999999-2222-4333-8444-555555555555"
	_, err := call[wire.Opened](w.peer(t, h, delegated()), wire.KindOpen, o, wire.KindOpened)
	wantFault(t, err, fault.ProtocolError) // in use, by another VM
	p.p.cut()
	h.over(t, moveID)
	_, err = call[wire.Opened](w.peer(t, h, delegated()), wire.KindOpen, opening(), wire.KindOpened)
	wantFault(t, err, fault.ProtocolError) // used
	wantNothing(t, w, h)
}

func TestVMComesInOnceAtATime(t *testing.T) {
	w, h, p := hostile(t)
	p.prepares()
	o := opening()
	o.Move = "01HYYYYYYYYYYYYYYYYYYYYYYY"
	_, err := call[wire.Opened](w.peer(t, h, delegated()), wire.KindOpen, o, wire.KindOpened)
	wantFault(t, err, fault.VMMoving)
	p.p.cut()
	wantCode(t, h.over(t, moveID), move.Failed, fault.MoveInterrupted)
	wantNothing(t, w, h)
}

func TestDestinationRefusesAnOffer(t *testing.T) {
	second := func(path string) wire.Disk {
		return wire.Disk{Target: "vdb", Device: "disk", Path: path, Format: "qcow2", VirtualBytes: 1}
	}
	cases := map[string]struct {
		edit func(*wire.Open, *wire.Offer, *move.Caller)
		code fault.Code
	}{
		"unknown kind":              {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.Kind = "teleport" }, fault.ProtocolError},
		"no kind":                   {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.Kind = "" }, fault.ProtocolError},
		"too many connections":      {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.Connections = 1000 }, fault.ProtocolError},
		"fewer connections than no": {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.Connections = -1 }, fault.ProtocolError},
		"one target twice": {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) {
			f.Disks = append(f.Disks, second("/vms/other.qcow2"))
			f.Disks[1].Target = "vda"
		}, fault.ProtocolError},
		"other name in the XML": {func(o *wire.Open, _ *wire.Offer, _ *move.Caller) { o.VM = "DB01" }, fault.DefinitionInvalid},
		"other UUID in the XML": {func(o *wire.Open, _ *wire.Offer, _ *move.Caller) {
			o.UUID = "99999999-2222-4333-8444-555555555555"
		}, fault.DefinitionInvalid},
		"directory outside the roots": {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.StoragePath = "/etc" }, fault.StoragePathOutside},
		"directory that climbs out":   {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.StoragePath = "/vms/../etc" }, fault.StoragePathOutside},
		"file that is there":          {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.Disks[0].Path = "/vms/taken.qcow2" }, fault.DiskExists},
		"two disks become one": {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) {
			f.StoragePath, f.Disks = "/alt", append(f.Disks, second("/vms/b/app01.qcow2"))
		}, fault.DiskExists},
		"storage without its ticket":    {func(_ *wire.Open, _ *wire.Offer, c *move.Caller) { c.Storage = false }, fault.NotDelegated},
		"storage that was not included": {func(o *wire.Open, _ *wire.Offer, _ *move.Caller) { o.IncludeStorage = false }, fault.StorageNotIncluded},
		"format that names other files": {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.Disks[0].Format = "vmdk" }, fault.DiskUnsupported},
		"medium in a drive":             {func(_ *wire.Open, f *wire.Offer, _ *move.Caller) { f.Disks[0].Device = "cdrom" }, fault.DiskMedia},
		"shared without proof": {func(o *wire.Open, f *wire.Offer, _ *move.Caller) {
			o.IncludeStorage, f.Disks[0].Probe = false, &wire.Probe{Name: "probe", Nonce: "guess"}
		}, fault.StorageNotIncluded},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "HV02")
			h, o, f, caller := w.host("HV02"), opening(), offer(), delegated()
			h.disks.put("/vms/taken.qcow2", "another VM's")
			c.edit(&o, &f, &caller)
			p := w.peer(t, h, caller)
			_, err := call[wire.Opened](p, wire.KindOpen, o, wire.KindOpened)
			p.must(err)
			_, err = call[wire.Admitted](p, wire.KindOffer, f, wire.KindAdmitted)
			wantFault(t, err, c.code)
			wantCode(t, h.over(t, moveID), move.Failed, c.code)
			if got := h.disks.list(); len(got) != 1 {
				t.Errorf("files %v", got)
			}
			_ = h.disks.take("/vms/taken.qcow2")
			wantNothing(t, w, h)
		})
	}
}

func TestDestinationRefusesAPrepare(t *testing.T) {
	other := func(f func(*virt.Domain)) string {
		d := vm()
		f(&d)
		return definition(d)
	}
	cases := map[string]struct {
		xml    string
		cookie string
		code   fault.Code
	}{
		"another name":   {other(func(d *virt.Domain) { d.Name = "DB01" }), "", fault.DefinitionInvalid},
		"another UUID":   {other(func(d *virt.Domain) { d.UUID = "99999999-2222-4333-8444-555555555555" }), "", fault.DefinitionInvalid},
		"another disk":   {other(func(d *virt.Domain) { d.Disks[0].Target = "vdb" }), "", fault.DefinitionInvalid},
		"another format": {other(func(d *virt.Domain) { d.Disks[0].Format = "raw" }), "", fault.DefinitionInvalid},
		"one disk more": {other(func(d *virt.Domain) {
			d.Disks = append(d.Disks, virt.Disk{Target: "vdb", Path: "/vms/x", Format: "raw"})
		}), "", fault.DefinitionInvalid},
		"no XML":           {"", "", fault.DefinitionInvalid},
		"a hostile cookie": {definition(vm()), "evil", fault.DefinitionInvalid},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, h, p := hostile(t)
			p.offers()
			_, err := call[wire.Prepared](p, wire.KindPrepare, wire.Prepare{Cookie: []byte(c.cookie), XML: c.xml}, wire.KindPrepared)
			wantFault(t, err, c.code)
			wantCode(t, h.over(t, moveID), move.Failed, c.code)
			wantNothing(t, w, h)
		})
	}
}

func TestFileThatCameAfterTheOfferIsNeitherTakenNorRemoved(t *testing.T) {
	_, h, p := hostile(t)
	p.offers()
	h.disks.put(disk, "another VM's")
	_, err := call[wire.Prepared](p, wire.KindPrepare, wire.Prepare{XML: definition(vm())}, wire.KindPrepared)
	wantFault(t, err, fault.DiskExists)
	h.over(t, moveID)
	if got := h.disks.take(disk); got != "another VM's" {
		t.Errorf("the file is %q", got)
	}
}

func TestCookieOfTheHandoverIsHostileToo(t *testing.T) {
	w, h, p := hostile(t)
	p.prepares()
	o, err := call[wire.Outcome](p, wire.KindHandover, wire.Handover{Cookie: []byte("evil")}, wire.KindOutcome)
	p.must(err)
	if o.Verdict != wire.Abandoned || o.Problem == nil {
		t.Errorf("outcome %+v", o)
	}
	wantCode(t, h.over(t, moveID), move.Failed, fault.DefinitionInvalid)
	wantNothing(t, w, h)
}

func TestHandoverOfAGuestThatHasNotCome(t *testing.T) {
	w, h, p := hostile(t)
	p.prepares()
	o, err := call[wire.Outcome](p, wire.KindHandover, wire.Handover{}, wire.KindOutcome)
	p.must(err)
	if o.Verdict != wire.Abandoned {
		t.Errorf("verdict %s", o.Verdict)
	}
	wantCode(t, h.over(t, moveID), move.Failed, fault.FinishFailed)
	wantNothing(t, w, h)
}

func TestSourceRefusesAPlanThatWasNotOffered(t *testing.T) {
	answer := func(a ...wire.AdmittedDisk) wire.Admitted { return wire.Admitted{Disks: a} }
	cases := map[string]wire.Admitted{
		"no disks":                 answer(),
		"another disk":             answer(wire.AdmittedDisk{Target: "vdb", Action: wire.Copy, Path: disk}),
		"one more":                 answer(wire.AdmittedDisk{Target: "vda", Action: wire.Copy, Path: disk}, wire.AdmittedDisk{Target: "vdb", Action: wire.Copy, Path: "/x"}),
		"a copy to nowhere":        answer(wire.AdmittedDisk{Target: "vda", Action: wire.Copy}),
		"shared elsewhere":         answer(wire.AdmittedDisk{Target: "vda", Action: wire.Shared, Path: "/vms/other.qcow2"}),
		"a disk that is forgotten": answer(wire.AdmittedDisk{Target: "vda", Action: wire.Empty}),
		"an action of no protocol": answer(wire.AdmittedDisk{Target: "vda", Action: "burn", Path: disk}),
	}
	for name, admitted := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			never := make(chan struct{})
			w.forge("destination", wire.KindAdmitted, admitted, never)
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Failed, fault.ProtocolError)
			w.runsOnlyOn(t, src, dst)
			close(never)
			w.movesNow(t, src, dst)
		})
	}
}

func TestSourceSurvivesAnswersThatAreNone(t *testing.T) {
	for _, k := range []wire.Kind{wire.KindOpened, wire.KindAdmitted, wire.KindPrepared, wire.KindOutcome} {
		t.Run(fmt.Sprint(k), func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			never := make(chan struct{})
			defer close(never)
			w.forge("destination", k, []int{1, 2, 3}, never)
			id := src.current().begin(t, request())
			rec := src.over(t, id)
			if k == wire.KindOutcome { // the VM runs there, as the journal then tells
				wantCode(t, rec, move.Done)
				w.runsOnlyOn(t, dst, src)
				return
			}
			wantCode(t, rec, move.Failed, fault.ProtocolError)
			w.runsOnlyOn(t, src, dst)
		})
	}
}
