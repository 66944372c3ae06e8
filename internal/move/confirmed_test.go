package move_test

import (
	"context"
	"slices"
	"testing"

	"drover/internal/move"
)

// What was confirmed is so for good, whatever an administrator does with the VM
// while the agent is down. Its disks are all that is left of it.
func TestAConfirmedVMThatIsGoneByTheRestartKeepsItsDisks(t *testing.T) {
	_, src, dst := pair(t, vm())
	hit := make(chan struct{})
	dst.onceAt(move.Destination, move.Confirm, func(a *agent) error {
		a.crash()
		close(hit)
		return a.gate()
	})
	id := src.current().begin(t, request())
	<-hit
	src.reaches(t, id, move.Unknown)
	for _, err := range []error{dst.fake.Destroy(context.Background(), vmUUID), dst.fake.Undefine(context.Background(), vmUUID, false)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dst.restart()
	wantCode(t, dst.over(t, id), move.Done)
	wantCode(t, src.over(t, id), move.Done)
	if got := dst.disks.list(); !slices.Contains(got, disk) {
		t.Errorf("files %v, without %s", got, disk)
	}
}
