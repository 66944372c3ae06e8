package move_test

import (
	"testing"

	"drover/internal/fault"
	"drover/internal/move"
	"drover/internal/virt"
)

const nvram = "/vms/nvram/APP01_VARS.fd"

// UEFI variables are a file of the VM like its disks, whoever makes it.
func TestVariablesGoWithTheVM(t *testing.T) {
	for state, content := range map[virt.State]string{virt.Running: "variables that come with the memory", virt.Shutoff: "stored variables"} {
		for _, what := range []trouble{"", fails, crashes} {
			t.Run(string(state)+" "+string(what), func(t *testing.T) {
				t.Parallel()
				d := vm()
				d.State, d.NVRAM = state, nvram
				w, src, dst := pair(t, d)
				src.disks.put(nvram, "stored variables")
				var id string
				if what == "" {
					id = src.current().begin(t, request())
				} else {
					c := &mishap{t: t, w: w, src: src, at: dst, role: move.Destination, phase: move.Finish, what: what}
					id = c.run()
				}
				rec := src.over(t, id)
				dst.over(t, id)
				here, there := src.disks.take(nvram), dst.disks.take(nvram)
				if what == "" {
					wantCode(t, rec, move.Done)
					if here != "" || there != content {
						t.Errorf("source %q, destination %q", here, there)
					}
					w.livesOnlyOn(t, dst, src)
					return
				}
				wantCode(t, rec, move.Failed)
				if here != "stored variables" || there != "" {
					t.Errorf("source %q, destination %q", here, there)
				}
				w.livesOnlyOn(t, src, dst)
			})
		}
	}
}

func TestVariablesOfAnotherGuestAreNotWrittenOver(t *testing.T) {
	d := vm()
	d.NVRAM = nvram
	w, src, dst := pair(t, d)
	src.disks.put(nvram, "mine")
	dst.disks.put(nvram, "another's")
	id := src.current().begin(t, request())
	wantCode(t, src.over(t, id), move.Failed, fault.DiskExists)
	dst.over(t, id)
	if got := dst.disks.take(nvram); got != "another's" {
		t.Errorf("they are %q", got)
	}
	if got := src.disks.take(nvram); got != "mine" {
		t.Errorf("the source's are %q", got)
	}
	w.runsOnlyOn(t, src, dst)
}
