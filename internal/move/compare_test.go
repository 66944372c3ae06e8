package move_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/internal/virt"
	"drover/internal/wire"
)

// withMedium is the usual guest with a CD that only its host has.
func withMedium() virt.Domain {
	d := vm()
	d.Disks = append(d.Disks, virt.Disk{Target: "sda", Device: "cdrom", Type: "file", Path: "/vms/setup.iso", Format: "raw", ReadOnly: true})
	return d
}

func (h *host) compare(t *testing.T, req move.Request) record.Comparison {
	t.Helper()
	c, err := h.current().m.Compare(t.Context(), move.Operator{Principal: operator}, req)
	if err != nil {
		t.Fatal(err)
	}
	if (c.Plan == nil) != (len(c.Incompatibilities) > 0) {
		t.Errorf("a plan and incompatibilities, or neither: %+v", c)
	}
	return c
}

// cures are the options of a comparison, by code.
func cures(c record.Comparison) map[fault.Code]string {
	out := map[fault.Code]string{}
	for _, i := range c.Incompatibilities {
		out[i.Code] = i.Option
	}
	return out
}

// wantNoTrace asserts that a comparison was none of the host's moves.
func wantNoTrace(t *testing.T, w *world, hosts ...*host) {
	t.Helper()
	w.clean(t, hosts...)
	for _, h := range hosts {
		if recs, err := h.current().m.List(context.Background(), storeFilter()); err != nil || len(recs) > 0 {
			t.Errorf("%s has records of moves: %v, %v", h.name, recs, err)
		}
		if s := h.ledger.unbalanced(); s != "" {
			t.Errorf("%s: %s", h.name, s)
		}
	}
}

func TestCompareNamesAllThatIsInTheWayUntilNothingIs(t *testing.T) {
	w, src, dst := pair(t, withMedium())
	dst.disks.put(disk, "somebody else's")
	dst.fail("Admit", move.Objections{
		fault.New(fault.NetworkMissing, "HV02", "vm", vmName, "kind", "bridge", "name", "virbr0", "available", "br-lan, default"),
		fault.New(fault.DeviceRefused, "HV02", "vm", vmName, "what", "<domain/devices/hostdev>")})
	got := cures(src.compare(t, request()))
	want := map[fault.Code]string{fault.DiskExists: "--vhds vda=/vms/app01-1.qcow2", fault.DiskMedia: "--eject-media",
		fault.NetworkMissing: "--map-network virbr0=br-lan", fault.DeviceRefused: ""}
	if !maps.Equal(got, want) {
		t.Errorf("in the way: %v, want %v", got, want)
	}
	wantNoTrace(t, w, src, dst)

	dst.fail("Admit", nil)
	req := request()
	req.IncludeStorage = false
	if got := cures(src.compare(t, req)); !maps.Equal(got, map[fault.Code]string{fault.StorageNotIncluded: "--include-storage", fault.DiskMedia: "--eject-media"}) {
		t.Errorf("without storage: %v", got)
	}
	req = request()
	req.EjectMedia, req.DiskPaths = true, map[string]string{"vda": "/vms/app01-1.qcow2"}
	c := src.compare(t, req)
	if len(c.Incompatibilities) > 0 || c.Plan.Disks[0].DestinationPath != "/vms/app01-1.qcow2" || c.Plan.Disks[1].Action != wire.Empty {
		t.Fatalf("still in the way: %+v, plan %+v", c.Incompatibilities, c.Plan)
	}
	wantNoTrace(t, w, src, dst)

	id := src.current().begin(t, req)
	wantCode(t, src.over(t, id), move.Done)
	dst.over(t, id)
	if files := dst.disks.list(); !slices.Equal(slices.Sorted(slices.Values(files)), []string{"/vms/app01-1.qcow2", disk}) {
		t.Errorf("HV02 has %v", files)
	}
	if files := src.disks.list(); !slices.Equal(files, []string{"/vms/setup.iso"}) {
		t.Errorf("HV01 has %v; the medium is not the move's", files)
	}
}

func TestCompareTellsOfTheSourceToo(t *testing.T) {
	d := vm()
	d.Snapshots, d.Disks[0].Shareable = 2, true
	w, src, dst := pair(t, d)
	src.change(func(s *settings.Settings) { s.Outgoing = false })
	dst.change(func(s *settings.Settings) { s.Incoming = false })
	req := request()
	req.CPU, req.DiskPaths = "qemu64", map[string]string{"vdz": "/vms/z"}
	c := src.compare(t, req)
	var codes []string
	for _, i := range c.Incompatibilities {
		codes = append(codes, string(i.Code)+"@"+i.Host)
		if i.Object == "" || i.Message == "" || strings.Contains(i.Message, "{") {
			t.Errorf("%s: object %q, message %q", i.Code, i.Object, i.Message)
		}
	}
	want := []string{"migration-disabled@HV01", "usage@HV01", "cpu-fixed@HV01", "vm-busy@HV01", "disk-unsupported@HV01", "migration-disabled@HV02"}
	if !slices.Equal(codes, want) {
		t.Errorf("found %v, want %v", codes, want)
	}
	wantNoTrace(t, w, src, dst)
}

func TestCompareDoesNotAnswerForWhatIsBroken(t *testing.T) {
	w, src, dst := pair(t, vm())
	dst.fail("Facts", errors.New("libvirt does not answer"))
	if c, err := src.current().m.Compare(t.Context(), move.Operator{Principal: operator}, request()); err == nil {
		t.Errorf("compared all the same: %+v", c)
	}
	dst.fail("Facts", nil)
	w.partition(true)
	if c, err := src.current().m.Compare(t.Context(), move.Operator{Principal: operator}, request()); err == nil {
		t.Errorf("compared with nobody: %+v", c)
	}
	w.partition(false)
	wantNoTrace(t, w, src, dst)
}

func TestHostsThatDoNotFitAreAnIncompatibility(t *testing.T) {
	w, src, dst := pair(t, vm())
	src.fail("Negotiate", fault.New(fault.ClockSkew, "HV01", "peer", "HV02", "skew", "10m0s"))
	c := src.compare(t, request())
	if len(c.Incompatibilities) != 1 || c.Incompatibilities[0].Code != fault.ClockSkew || c.Incompatibilities[0].Object != "clock of HV02" {
		t.Errorf("in the way: %+v", c.Incompatibilities)
	}
	wantNoTrace(t, w, src, dst)
}

func TestMappedDisksGoWhereTheOperatorWants(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*move.Request)
		want string
		code fault.Code
	}{
		"target to a file":            {func(r *move.Request) { r.DiskPaths = map[string]string{"vda": "/vms/x.qcow2"} }, "/vms/x.qcow2", ""},
		"path to a file":              {func(r *move.Request) { r.DiskPaths = map[string]string{disk: "/vms/x.qcow2"} }, "/vms/x.qcow2", ""},
		"target to a directory":       {func(r *move.Request) { r.DiskPaths = map[string]string{"vda": "/vms/fast/"} }, "/vms/fast/app01.qcow2", ""},
		"target to one that is there": {func(r *move.Request) { r.DiskPaths = map[string]string{"vda": "/vms/fast"} }, "/vms/fast/app01.qcow2", ""},
		"directory":                   {func(r *move.Request) { r.MapStorage = map[string]string{"/vms": "/vms/fast"} }, "/vms/fast/app01.qcow2", ""},
		"the nearest directory": {func(r *move.Request) {
			r.MapStorage = map[string]string{"/": "/vms/root", "/vms/": "/vms/fast", "/vmss": "/vms/no"}
		}, "/vms/fast/app01.qcow2", ""},
		"disk before directory": {func(r *move.Request) {
			r.MapStorage, r.DiskPaths = map[string]string{"/vms": "/vms/fast"}, map[string]string{"vda": "/vms/x.qcow2"}
		}, "/vms/x.qcow2", ""},
		"directory before all": {func(r *move.Request) {
			r.MapStorage, r.DestinationStoragePath = map[string]string{"/vms": "/vms/fast"}, "/vms/slow"
		}, "/vms/fast/app01.qcow2", ""},
		"outside":          {func(r *move.Request) { r.DiskPaths = map[string]string{"vda": "/etc/passwd.qcow2"} }, "", fault.StoragePathOutside},
		"climbing":         {func(r *move.Request) { r.DiskPaths = map[string]string{"vda": "/vms/../etc/x.qcow2"} }, "", fault.StoragePathOutside},
		"directory beyond": {func(r *move.Request) { r.MapStorage = map[string]string{"/vms": "/etc"} }, "", fault.StoragePathOutside},
	} {
		t.Run(name, func(t *testing.T) {
			_, src, _ := pair(t, vm())
			req := request()
			c.edit(&req)
			got := src.compare(t, req)
			if c.code != "" {
				if len(got.Incompatibilities) != 1 || got.Incompatibilities[0].Code != c.code {
					t.Errorf("in the way: %+v, want %s", got.Incompatibilities, c.code)
				}
				return
			}
			if got.Plan == nil || got.Plan.Disks[0].DestinationPath != c.want {
				t.Errorf("%+v, plan %+v", got.Incompatibilities, got.Plan)
			}
		})
	}
}

func TestHostileMappingsAreRefused(t *testing.T) {
	many := map[string]string{}
	for i := range wire.MaxMappings + 1 {
		many[string(rune('a'+i%26))+strings.Repeat("x", i/26)] = "/vms/x"
	}
	for name, m := range map[string]wire.Mappings{
		"network that is a path": {Networks: map[string]string{"a": "../../etc"}},
		"relative directory":     {Storage: map[string]string{"/a": "b"}},
		"disk to nowhere":        {Disks: map[string]string{"vda": ""}},
		"CPU with markup":        {CPU: "<x/>"},
		"CPU of a running VM":    {CPU: "qemu64"},
		"too many":               {Disks: many},
	} {
		t.Run(name, func(t *testing.T) {
			w, h, p := hostile(t)
			open := opening()
			open.Compare = true
			_, err := call[wire.Opened](p, wire.KindOpen, open, wire.KindOpened)
			p.must(err)
			o := offer()
			o.Mappings = m
			_, err = call[wire.Admitted](p, wire.KindOffer, o, wire.KindAdmitted)
			wantFault(t, err, fault.ProtocolError)
			wantNothing(t, w, h)
		})
	}
}

// TestAskingSetsNothingAside: whoever asks and then says nothing keeps no move out.
func TestAskingSetsNothingAside(t *testing.T) {
	for name, change := range map[string]func(*wire.Open){
		"comparison": func(o *wire.Open) { o.Compare = true },
		"dry run":    func(o *wire.Open) { o.DryRun = true },
	} {
		t.Run(name, func(t *testing.T) {
			_, h, p := hostile(t)
			open := opening()
			change(&open)
			_, err := call[wire.Opened](p, wire.KindOpen, open, wire.KindOpened)
			p.must(err)
			_, err = call[wire.Admitted](p, wire.KindOffer, offer(), wire.KindAdmitted)
			p.must(err)
			if held := h.current().held(); slices.Contains(held, "reservation") {
				t.Errorf("holds %v", held)
			}
		})
	}
}
