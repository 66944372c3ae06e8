package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drover/internal/guest"
	"drover/internal/record"
	"drover/lab"
)

// The guest that is moved after each cure. It has no disk, and between two cases it is
// on HV01.
const (
	guestName   = "DOCTOR01"
	guestNumber = 77
	guestMemory = 16 // MiB that it fills and verifies
)

// Boot starts the guest. From then on a case is over when the guest has been moved
// between the hosts concerned, there and back.
func (w *World) Boot(ctx context.Context) error {
	w.moving = true
	p := guest.DefaultParams()
	p.Memory, p.Rewrite, p.Verify, p.Tick = guestMemory<<20, 1<<20, 4<<20, 20*time.Millisecond // the machine is for the doctor
	vm, err := w.DefineVM(ctx, lab.HV01, lab.VMOptions{Name: guestName, Number: guestNumber, MemoryMiB: 128, Params: &p})
	if err != nil {
		return err
	}
	w.guest = vm
	if _, err := w.Virsh(ctx, lab.HV01, "start", vm.Name); err != nil {
		return err
	}
	return w.Alive(ctx)
}

// Alive waits until the guest says that its memory is as it has written it.
func (w *World) Alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	watch, err := w.Observe(w.guest)
	if err != nil {
		return err
	}
	defer func() { _ = watch.Close() }()
	if _, err := watch.Alive(ctx); err != nil {
		return fmt.Errorf("the guest does not answer: %w", err)
	}
	return nil
}

// other is the host to which the guest is moved and from which it comes back.
func (c Case) other() string {
	switch c.On {
	case lab.HV02, lab.HV03:
		return c.On
	}
	return lab.HV02
}

// move moves the guest there and back as the operator, who has signed in anew and has
// the agents forget their tickets: of some changes the findings say that these are what
// they take effect with. The note is why it did not work; the guest is then booted anew.
func (w *World) move(ctx context.Context, c Case) (note string, err error) {
	if w.guest == nil { // it got lost
		if err := w.Boot(ctx); err != nil {
			return "", err
		}
	}
	for _, user := range []string{lab.UserAdmin, lab.UserOperator} {
		if err := w.signIn(ctx, lab.MGMT, user); err != nil {
			return "", err
		}
	}
	ends := []string{lab.HV01, c.other(), lab.HV01}
	for _, h := range ends[:2] {
		if r, err := w.Drover(ctx, lab.UserAdmin, "ticket", "purge", "--host", h); err != nil || r.Status != 0 {
			return "", fmt.Errorf("ticket purge on %s: %v: %s%s", h, err, r.Stdout, r.Stderr)
		}
	}
	for i, from := range ends[:2] {
		if note, err := w.moveOnce(ctx, from, ends[i+1]); err != nil || note != "" {
			w.RemoveVM(ctx, w.guest)
			w.guest = nil
			return note, err
		}
	}
	return "", nil
}

func (w *World) moveOnce(ctx context.Context, from, to string) (note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	r, err := w.Drover(ctx, lab.UserOperator, "move", guestName, "--host", from, "--to", to, "-o", "json", "--no-doctor")
	if err != nil {
		return "", err
	}
	var rec record.Record
	if json.Unmarshal([]byte(r.Stdout), &rec) != nil || r.Status != 0 || rec.Phase != record.Done {
		return fmt.Sprintf("the move from %s to %s: status %d: %s%s", from, to, r.Status, tail(r.Stdout), tail(r.Stderr)), nil
	}
	return "", nil
}

// tail is the end of what a program printed, where it says why.
func tail(s string) string {
	const most = 600
	return s[max(0, len(s)-most):]
}
