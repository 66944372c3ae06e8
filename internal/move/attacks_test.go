package move_test

import (
	"encoding/json"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
	"drover/internal/wire"
)

// attack is what a source does that was let in, and how it ends: with the fault, and
// with nothing of it left at the destination.
type attack struct {
	before func(*peer)
	kind   wire.Kind
	body   any // json.RawMessage goes as it is
	want   wire.Kind
	code   fault.Code
}

// raw sends a message whose body is not looked at on the way.
func (p *peer) raw(k wire.Kind, body any, want wire.Kind) error {
	_, err := call[json.RawMessage](p, k, body, want)
	return err
}

func offering(change func(*wire.Offer)) wire.Offer {
	o := offer()
	change(&o)
	return o
}

func preparing(change func(*virt.Domain), cookie []byte) wire.Prepare {
	d := vm()
	change(&d)
	return wire.Prepare{Cookie: cookie, XML: definition(d)}
}

// larger is a definition of more memory than the one that was offered.
func larger() string {
	return strings.Replace(definition(vm()), "</uuid>", "</uuid><memory>1000000</memory>", 1)
}

func TestAttacksOfASource(t *testing.T) {
	asIs := func(*virt.Domain) {}
	disks := func(change func(*wire.Disk)) wire.Offer {
		return offering(func(o *wire.Offer) { change(&o.Disks[0]) })
	}
	open := func(change func(*wire.Open)) wire.Open {
		o := opening()
		change(&o)
		return o
	}
	first := func(*peer) {}
	for name, a := range map[string]attack{
		// names that reach files, tables and logs
		"name with a path":                {first, wire.KindOpen, open(func(o *wire.Open) { o.VM = "../../etc/x" }), wire.KindOpened, fault.ProtocolError},
		"name of two lines":               {first, wire.KindOpen, open(func(o *wire.Open) { o.VM = "APP01\nmove ended" }), wire.KindOpened, fault.ProtocolError},
		"name that steers a terminal":     {first, wire.KindOpen, open(func(o *wire.Open) { o.VM = "APP01\x1b[2J" }), wire.KindOpened, fault.ProtocolError},
		"name that turns the text round":  {first, wire.KindOpen, open(func(o *wire.Open) { o.VM = "APP\u202e10" }), wire.KindOpened, fault.ProtocolError},
		"name that is an option":          {first, wire.KindOpen, open(func(o *wire.Open) { o.VM = "--help" }), wire.KindOpened, fault.ProtocolError},
		"name too long for a file":        {first, wire.KindOpen, open(func(o *wire.Open) { o.VM = strings.Repeat("x", 200) }), wire.KindOpened, fault.ProtocolError},
		"query of a path":                 {first, wire.KindQuery, wire.Query{Move: "../../x", UUID: vmUUID}, wire.KindOutcome, fault.MoveNotFound},
		"query of another host's move":    {first, wire.KindQuery, wire.Query{Move: moveID, UUID: vmUUID}, wire.KindOutcome, fault.MoveNotFound},
		"query that abandons a move":      {(*peer).otherPrepares, wire.KindQuery, wire.Query{Move: moveID, UUID: vmUUID, Abandon: true}, wire.KindOutcome, fault.MoveNotFound},
		"open that is a number":           {first, wire.KindOpen, json.RawMessage(`7`), wire.KindOpened, fault.ProtocolError},
		"open with a move of another age": {first, wire.KindOpen, json.RawMessage(`{"move":-1}`), wire.KindOpened, fault.ProtocolError},
		// a manifest that lies
		"disk that the definition lacks": {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) {
			o.Disks = append(o.Disks, wire.Disk{Target: "vdb", Device: "disk", Path: "/vms/b", Format: "raw", VirtualBytes: 1})
		}), wire.KindAdmitted, fault.DefinitionInvalid},
		"disk that the offer lacks":     {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) { o.Disks = nil }), wire.KindAdmitted, fault.DefinitionInvalid},
		"other format than defined":     {(*peer).opens, wire.KindOffer, disks(func(d *wire.Disk) { d.Format = "raw" }), wire.KindAdmitted, fault.DefinitionInvalid},
		"disk of a size that overflows": {(*peer).opens, wire.KindOffer, disks(func(d *wire.Disk) { d.VirtualBytes = 1<<64 - 1 }), wire.KindAdmitted, fault.ProtocolError},
		"disk in use that overflows":    {(*peer).opens, wire.KindOffer, disks(func(d *wire.Disk) { d.AllocatedBytes = 1<<64 - 1 }), wire.KindAdmitted, fault.ProtocolError},
		"disk of a negative size":       {(*peer).opens, wire.KindOffer, json.RawMessage(`{"kind":"live","disks":[{"target":"vda","virtual_bytes":-4096}]}`), wire.KindAdmitted, fault.ProtocolError},
		"disk with a path of two lines": {(*peer).opens, wire.KindOffer, disks(func(d *wire.Disk) { d.Path = "/vms/a\n/etc/x" }), wire.KindAdmitted, fault.ProtocolError},
		"disk with a relative path":     {(*peer).opens, wire.KindOffer, disks(func(d *wire.Disk) { d.Path = "../etc/x" }), wire.KindAdmitted, fault.ProtocolError},
		"disks without number":          {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) { o.Disks = many(wire.MaxDisks + 1) }), wire.KindAdmitted, fault.ProtocolError},
		"mappings without number":       {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) { o.Mappings.Networks = mappings(wire.MaxMappings + 1) }), wire.KindAdmitted, fault.ProtocolError},
		"mapping out of the roots":      {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) { o.Mappings.Disks = map[string]string{"vda": "/etc/"} }), wire.KindAdmitted, fault.StoragePathOutside},
		"mapping that climbs":           {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) { o.Mappings.Storage = map[string]string{"/vms": "/vms/../etc"} }), wire.KindAdmitted, fault.StoragePathOutside},
		"directory of two lines":        {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) { o.StoragePath = "/vms/a\nb" }), wire.KindAdmitted, fault.ProtocolError},
		"definition nested without end": {(*peer).opens, wire.KindOffer, offering(func(o *wire.Offer) { o.XML = strings.Repeat("<a>", 30_000) }), wire.KindAdmitted, fault.DefinitionInvalid},
		"message nested without end":    {(*peer).opens, wire.KindOffer, json.RawMessage(strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000)), wire.KindAdmitted, fault.ProtocolError},
		"connections that overflow":     {(*peer).opens, wire.KindOffer, json.RawMessage(`{"kind":"live","connections":9223372036854775808}`), wire.KindAdmitted, fault.ProtocolError},
		"more memory than offered":      {(*peer).offers, wire.KindPrepare, wire.Prepare{XML: larger()}, wire.KindPrepared, fault.DefinitionInvalid},
		"fewer disks than offered":      {(*peer).offers, wire.KindPrepare, preparing(func(d *virt.Domain) { d.Disks = nil }, nil), wire.KindPrepared, fault.DefinitionInvalid},
		"cookie too large":              {(*peer).offers, wire.KindPrepare, preparing(asIs, make([]byte, wire.MaxCookie+1)), wire.KindPrepared, fault.ProtocolError},
		"cookie of another definition":  {(*peer).offers, wire.KindPrepare, preparing(asIs, []byte("evil")), wire.KindPrepared, fault.DefinitionInvalid},
		"link in the place of a disk":   {(*peer).plantsALink, wire.KindPrepare, preparing(asIs, nil), wire.KindPrepared, fault.StoragePathOutside},
		"handover of a text":            {(*peer).prepares, wire.KindHandover, json.RawMessage(`"now"`), wire.KindOutcome, fault.ProtocolError},
		"handover with lying counts":    {(*peer).prepares, wire.KindHandover, json.RawMessage(`{"stood_ms":1e400}`), wire.KindOutcome, fault.ProtocolError},
		"answer instead of a question":  {(*peer).prepares, wire.KindOutcome, wire.Outcome{Verdict: wire.Running}, wire.KindOutcome, fault.ProtocolError},
		"failure in the middle":         {(*peer).prepares, wire.KindFailure, fault.Problem{Code: fault.Internal}, wire.KindOutcome, fault.ProtocolError},
		"hello in the middle":           {(*peer).offers, wire.KindHello, wire.Hello{Host: "HV01"}, wire.KindHelloReply, fault.ProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, h, p := hostile(t)
			a.before(p)
			err := p.raw(a.kind, a.body, a.want)
			wantFault(t, err, a.code)
			if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("an answer of %d bytes: %.300q", len(text), text)
			}
			for _, c := range append(p.cuts, p) {
				c.p.cut()
			}
			if rec, ok := h.record(moveID); ok {
				wantCode(t, h.over(t, rec.ID), move.Failed)
				h.journal(t, moveID)
			}
			h.fail("Place", nil)
			wantNothing(t, w, h)
		})
	}
}

// otherPrepares has another peer's move under way; p is not its owner.
func (p *peer) otherPrepares() {
	other := p.p.w.peer(p.t, p.p.w.host("HV02"), delegated())
	other.prepares()
	p.cuts = append(p.cuts, other)
}

// plantsALink has the disk's directory lead elsewhere once it was looked at.
func (p *peer) plantsALink() {
	p.offers()
	p.p.w.host("HV02").fail("Place", fault.New(fault.StoragePathOutside, "HV02", "path", disk, "roots", "/vms"))
}

func many(n int) (out []wire.Disk) {
	for i := range n {
		out = append(out, wire.Disk{Target: "vd" + strings.Repeat("a", i%100) + strings.Repeat("b", i/100), Device: "disk", Path: "/vms/x", Format: "raw"})
	}
	return out
}

func mappings(n int) map[string]string {
	out := map[string]string{}
	for i := range n {
		out["br"+strings.Repeat("a", i%100)+strings.Repeat("b", i/100)] = "br0"
	}
	return out
}

func TestNothingIsHeardAfterTheEnd(t *testing.T) {
	w, h, p := hostile(t)
	p.prepares()
	if _, err := call[wire.Outcome](p, wire.KindCancel, wire.Cancel{}, wire.KindOutcome); err != nil {
		t.Fatal(err)
	}
	for _, k := range []wire.Kind{wire.KindHandover, wire.KindPrepare, wire.KindOpen} {
		if err := p.raw(k, wire.Handover{}, wire.KindOutcome); err == nil {
			t.Errorf("%s was answered", k)
		}
	}
	wantCode(t, h.over(t, moveID), move.Cancelled)
	wantNothing(t, w, h)
}

// Whatever a destination answers before the handover, the VM runs at the source
// afterwards, and can move.
func TestAttacksOfADestination(t *testing.T) {
	key := func(change func(*wire.Opened)) wire.Opened {
		o := wire.Opened{Session: make([]byte, 16), Secret: make([]byte, 32), Facts: wire.HostFacts{Host: "HV02", UUID: "u", Incoming: true}}
		change(&o)
		return o
	}
	to := func(a wire.AdmittedDisk) wire.Admitted { return wire.Admitted{Disks: []wire.AdmittedDisk{a}} }
	long := strings.Repeat("x", 100_000)
	for name, a := range map[string]struct {
		kind wire.Kind
		body any
		code fault.Code
	}{
		"session too short":           {wire.KindOpened, key(func(o *wire.Opened) { o.Session = nil }), fault.ProtocolError},
		"facts of two lines":          {wire.KindOpened, key(func(o *wire.Opened) { o.Facts.Host = "HV02\nHV03" }), fault.ProtocolError},
		"facts without end":           {wire.KindOpened, key(func(o *wire.Opened) { o.Facts.QEMUVersion = long }), fault.ProtocolError},
		"less than no CPUs":           {wire.KindOpened, key(func(o *wire.Opened) { o.Facts.CPUs = -1 << 40 }), fault.ProtocolError},
		"memory that overflows":       {wire.KindOpened, json.RawMessage(`{"facts":{"memory_available":18446744073709551616}}`), fault.ProtocolError},
		"roots without number":        {wire.KindOpened, key(func(o *wire.Opened) { o.Facts.StorageRoots = make([]string, 1000) }), fault.ProtocolError},
		"this host itself":            {wire.KindOpened, key(func(o *wire.Opened) { o.Facts.UUID = "uuid-of-HV01" }), fault.SameHost},
		"takes no moves":              {wire.KindOpened, key(func(o *wire.Opened) { o.Facts.Incoming = false }), fault.MigrationDisabled},
		"answer nested without end":   {wire.KindAdmitted, json.RawMessage(strings.Repeat(`{"disks":`, 9000) + "1" + strings.Repeat("}", 9000)), fault.ProtocolError},
		"place of two lines":          {wire.KindAdmitted, to(wire.AdmittedDisk{Target: "vda", Action: wire.Copy, Path: "/vms/a\nb"}), fault.ProtocolError},
		"place that is none":          {wire.KindAdmitted, to(wire.AdmittedDisk{Target: "vda", Action: wire.Copy, Path: "--help"}), fault.ProtocolError},
		"place of 100 KB":             {wire.KindAdmitted, to(wire.AdmittedDisk{Target: "vda", Action: wire.Copy, Path: "/" + long}), fault.ProtocolError},
		"shared without proof":        {wire.KindAdmitted, to(wire.AdmittedDisk{Target: "vda", Action: wire.Shared, Path: "/vms/else"}), fault.ProtocolError},
		"left out without end":        {wire.KindAdmitted, wire.Admitted{Disks: []wire.AdmittedDisk{{Target: "vda", Action: wire.Copy, Path: disk}}, LeftOut: make([]string, 1000)}, fault.ProtocolError},
		"hostile cookie for libvirt":  {wire.KindPrepared, wire.Prepared{Cookie: []byte("evil")}, fault.ProtocolError},
		"prepared that is a number":   {wire.KindPrepared, json.RawMessage(`-1`), fault.ProtocolError},
		"prepared of another message": {wire.KindPrepared, wire.Prepare{XML: "<domain/>"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, src, dst := pair(t, vm())
			done := make(chan struct{})
			w.forge("destination", a.kind, a.body, done)
			rec := src.over(t, src.current().begin(t, request()))
			close(done)
			if a.code == "" { // what it does not know it does not read
				wantCode(t, rec, move.Done)
				return
			}
			wantCode(t, rec, move.Failed, a.code)
			if text := rec.Error.Error(); len(text) > 4000 || strings.ContainsAny(text, "\n\x1b") {
				t.Errorf("an error of %d bytes: %.300q", len(text), text)
			}
			w.runsOnlyOn(t, src, dst)
			w.movesSoon(t, src, dst)
		})
	}
}

// movesSoon is movesNow when the destination may still be busy with the end of the move
// before, of which the source has heard already.
func (w *world) movesSoon(t *testing.T, src, dst *host) {
	t.Helper()
	eventually(t, "the VM can move again", func() bool {
		rec := src.over(t, src.current().begin(t, request()))
		if rec.Error != nil && rec.Error.Code == fault.VMMoving {
			return false
		}
		wantCode(t, rec, move.Done)
		return true
	})
	w.runsOnlyOn(t, dst, src)
}

// A word that decides nothing, or one that comes before its time, decides nothing: the
// source believes of verdicts only what it asked for, and only after the handover.
func TestVerdictsThatContradict(t *testing.T) {
	t.Run("running before the handover", func(t *testing.T) {
		w, src, dst := pair(t, vm())
		done := make(chan struct{})
		w.forge("destination", wire.KindOutcome, wire.Outcome{Verdict: wire.Running}, done) // to the cancel
		src.fail("OutPerform", fault.New(fault.TransferFailed, "HV01", "vm", vmName))
		id := src.current().begin(t, request())
		wantCode(t, src.over(t, id), move.Failed, fault.TransferFailed)
		w.runsOnlyOn(t, src, dst)
		close(done)
		src.fail("OutPerform", nil)
		w.movesSoon(t, src, dst)
	})
	for name, body := range map[string]any{
		"a word of no protocol":      wire.Outcome{Verdict: "perhaps"},
		"no word":                    wire.Outcome{},
		"neither":                    json.RawMessage(`{"verdict":["running","abandoned"]}`),
		"two at once, the last void": json.RawMessage(`{"verdict":"abandoned","verdict":"x"}`),
	} {
		t.Run(name, func(t *testing.T) { // the journal there decides: it runs at the destination
			t.Parallel()
			w, src, dst := pair(t, vm())
			w.forge("destination", wire.KindOutcome, body, make(chan struct{}))
			id := src.current().begin(t, request())
			wantCode(t, src.over(t, id), move.Done)
			w.runsOnlyOn(t, dst, src)
		})
	}
	t.Run("running, with a hostile cookie", func(t *testing.T) {
		w, src, dst := pair(t, vm())
		w.forge("destination", wire.KindOutcome, wire.Outcome{Verdict: wire.Running, Cookie: []byte("evil")}, make(chan struct{}))
		id := src.current().begin(t, request())
		wantCode(t, src.over(t, id), move.Done)
		w.livesOnlyOn(t, dst, src)
	})
}
