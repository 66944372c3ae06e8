package labtest

import (
	"context"
	"testing"

	"drover/lab"
)

// TestSparseDisks: what of a disk travels, and what it then occupies. Both QEMU
// generations ask for zeros in different ways.
func TestSparseDisks(t *testing.T) {
	for name, o := range map[string]lab.Options{"Debian 12": {Name: "sparse12"}, "Debian 13": {Name: "sparse13", Rootfs: "trixie"}} {
		t.Run(name, func(t *testing.T) {
			o.Hosts = []string{lab.HV01, lab.HV02}
			s := startSite(t, o)
			t.Run("running", s.testSparseRunning)
			t.Run("shut off", s.testSparseShutOff)
		})
	}
}

// Of a disk of sparseMiB, the guest itself writes to the beginning only, sparseOwn
// MiB at most while a test runs. Then come sparseRandom MiB of random data,
// sparseZeros MiB of zeros that are written out, and sparseText MiB of text; between
// them are holes.
const sparseMiB, sparseOwn, sparseRandom, sparseZeros, sparseText = 192, 16, 16, 48, 16

func (s *site) fillSparse(t *testing.T, host string, d lab.VMDisk) {
	t.Helper()
	s.run(t, host, "sh", "-c", `head -c 16M /dev/urandom > /srv/random && seq 9999999 | head -c 16M > /srv/text &&
		qemu-io -f "$2" -c "write -s /srv/random 40M 16M" -c "write -P 0 64M 48M" -c "write -s /srv/text 130M 16M" "$1" && rm /srv/random /srv/text`, "-", d.Path, d.Format)
	if got := s.allocated(t, host, d.Path); got < (sparseRandom+sparseZeros+sparseText)<<20 {
		t.Fatalf("%s occupies only %d bytes", d.Path, got)
	}
}

// untouched is a digest of what the guest does not write to.
func (s *site) untouched(t *testing.T, host string, d lab.VMDisk) string {
	t.Helper()
	return s.run(t, host, "sh", "-c", `qemu-img convert -U -f "$2" -O raw "$1" /tmp/content.raw && tail -c +33554433 /tmp/content.raw | sha256sum && stat -c %s /tmp/content.raw && rm /tmp/content.raw`,
		"-", d.Path, d.Format)
}

// checkSparse holds what arrived and what travelled against what was there.
func (s *site) checkSparse(t *testing.T, m *machine, move func()) {
	t.Helper()
	disks, before := m.Disks, make([]string, len(m.Disks))
	for i, d := range disks {
		before[i] = s.untouched(t, lab.HV01, d)
	}
	// Slow enough that compression is worth while, also where the processors are busy.
	s.rate(t, 300_000_000)
	move()
	s.rate(t, 0)
	for i, d := range disks {
		if got := s.untouched(t, lab.HV02, d); got != before[i] {
			t.Errorf("%s: other content: %s, want %s", d.Path, got, before[i])
		}
		if got := s.allocated(t, lab.HV02, d.Path); got > (sparseRandom+sparseText+sparseOwn)<<20 {
			t.Errorf("%s occupies %d bytes: more than its data", d.Path, got)
		}
	}
	recs, err := s.moves(t.Context(), lab.HV01)
	if err != nil || len(recs) == 0 || recs[0].Summary == nil {
		t.Fatalf("the move's record: %v", err)
	}
	var payload, wire uint64
	for _, st := range recs[0].Summary.Streams {
		if st.Kind == "disk" {
			payload, wire = payload+st.PayloadBytes, wire+st.WireBytes
		}
	}
	t.Logf("payload %d KiB, wire %d KiB", payload>>10, wire>>10)
	n := uint64(len(disks))
	if most := n * (sparseRandom + sparseText + sparseOwn) << 20; payload > most {
		t.Errorf("payload of %d bytes, want %d at most", payload, most)
	}
	if most := n * (sparseRandom + sparseText/2 + sparseOwn) << 20; wire > most {
		t.Errorf("%d bytes on the wire, want %d at most", wire, most)
	}
}

func sparseDisks() []lab.VMDisk {
	return []lab.VMDisk{{Format: "qcow2", MiB: sparseMiB}, {Format: "raw", MiB: sparseMiB}}
}

func (s *site) testSparseRunning(t *testing.T) {
	o := smallVM("SPARSE1", 110)
	o.Disks = sparseDisks()
	vm, err := s.DefineVM(t.Context(), lab.HV01, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.RemoveVM(context.Background(), vm) })
	for _, d := range vm.Disks {
		s.fillSparse(t, lab.HV01, d)
	}
	s.virsh(t, lab.HV01, "start", vm.Name)
	m := &machine{VM: vm}
	s.observe(t, m)
	s.checkSparse(t, m, func() { s.mustMove(t, m, lab.HV01, lab.HV02) })
	m.verify(t)
	s.assertClean(t, m, lab.HV01)
}

func (s *site) testSparseShutOff(t *testing.T) {
	vm := s.define(t, lab.HV01, "SPARSE2", sparseDisks()...)
	for _, d := range vm.Disks {
		s.fillSparse(t, lab.HV01, d)
	}
	s.checkSparse(t, &machine{VM: vm}, func() { s.moveOff(t, vm, lab.HV01, lab.HV02) })
}
