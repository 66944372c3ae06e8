package lab_test

import (
	"net"
	"strconv"
	"testing"
	"time"

	"drover/lab"
)

// testCapture sends over both migration networks and has each seen where it is, whole, and nowhere
// else.
func testCapture(t *testing.T, l *lab.Lab) {
	const bytes, rate = 20_000_000, 200_000_000
	for _, n := range []lab.Network{lab.Migration, lab.Migration2} {
		listener, err := l.Member(lab.HV02).Listen(t.Context(), "tcp", l.Member(lab.HV02).Address(n)+":0")
		if err != nil {
			t.Fatal(err)
		}
		_, number, _ := net.SplitHostPort(listener.Addr().String())
		_ = listener.Close()
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.SetRate(t.Context(), n, rate); err != nil {
			t.Fatal(err)
		}
		captures := map[lab.Network]*lab.Capture{}
		for _, on := range []lab.Network{lab.Management, lab.Migration, lab.Migration2} {
			if captures[on], err = l.Capture(lab.HV02, on, uint16(port)); err != nil {
				t.Fatal(err)
			}
		}
		took := transferTo(t, l, listener.Addr().String(), bytes)
		for on, c := range captures {
			seen, err := c.End()
			if err != nil {
				t.Fatal(err)
			}
			if on != n {
				if seen.Packets > 0 {
					t.Errorf("sent on %s, and %s has %+v", n, on, seen)
				}
				continue
			}
			// What is cut to fit a slow link may be sent again, but little of it.
			if seen.Received < bytes || seen.Received > bytes*11/10 || seen.Sent > 0 || seen.Packets < 2 {
				t.Errorf("%s: %d packets, %d bytes received and %d sent, want %d received", n, seen.Packets, seen.Received, seen.Sent, bytes)
			}
			first := seen.Slots[0].Start
			if got := seen.Rate(first.Add(100*time.Millisecond), first.Add(600*time.Millisecond)); got < 0.8*rate || got > 1.05*rate {
				t.Errorf("%s: %.0f bit/s of %d, %s for all", n, got, rate, took)
			}
		}
		if err := l.SetRate(t.Context(), n, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Capture(lab.HV01, "nowhere", 1); err == nil {
		t.Error("captured on an interface that is not there")
	}
	if err := l.LinkDown(lab.HV01, lab.Migration2); err != nil {
		t.Fatal(err)
	}
	run(t, l.Member(lab.HV01), "sh", "-c", "test $(cat /sys/class/net/mig2/carrier) = 0 && test $(cat /sys/class/net/mig/carrier) = 1")
	if err := l.LinkUp(lab.HV01, lab.Migration2); err != nil {
		t.Fatal(err)
	}
}
