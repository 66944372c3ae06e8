package move_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
)

// TestFilesThatWereNeverMadeStay: what comes to lie where a file of the move was to be is
// somebody else's, also when cleaning up takes more than one try.
func TestFilesThatWereNeverMadeStay(t *testing.T) {
	const second, third, variables = "/vms/app01-data.qcow2", "/vms/app01-logs.qcow2", "/vms/app01.fd"
	for _, planted := range [][]string{{second}, {second, third}, {variables}} {
		for _, restart := range []bool{false, true} {
			t.Run(strings.Join(planted, " ")+map[bool]string{true: ", after a restart"}[restart], func(t *testing.T) {
				t.Parallel()
				d := vm()
				for target, p := range map[string]string{"vdb": second, "vdc": third} {
					k := d.Disks[0]
					k.Target, k.Path = target, p
					d.Disks = append(d.Disks, k)
				}
				slices.SortFunc(d.Disks, func(a, b virt.Disk) int { return int(a.Target[2]) - int(b.Target[2]) })
				d.NVRAM = variables
				w, src, dst := pair(t, d)
				src.disks.put(variables, "variables")
				dst.onceAt(move.Destination, move.Prepare, func(*agent) error {
					for _, p := range planted {
						dst.disks.put(p, "another's")
					}
					dst.fail("Domains", errors.New("injected"))
					return nil
				})
				id := src.current().begin(t, request())
				wantCode(t, src.over(t, id), move.Failed, fault.DiskExists)
				eventually(t, "the destination says what is wrong", func() bool {
					rec, ok := dst.record(id)
					return ok && rec.Error != nil && rec.Error.Code == fault.LeftoversRemain
				})
				if restart {
					dst.current().end()
					dst.restart()
				}
				dst.fail("Domains", nil)
				wantCode(t, dst.over(t, id), move.Failed, fault.DiskExists, fault.MoveInterrupted)
				if left := dst.disks.list(); !slices.Equal(left, planted) {
					t.Errorf("%s has %v, want %v", dst.name, left, planted)
				}
				if on := w.virt.Running(vmUUID); !slices.Equal(on, []string{src.name}) {
					t.Errorf("it runs on %v", on)
				}
				dst.journal(t, id)
			})
		}
	}
}
