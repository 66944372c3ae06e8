package labtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"drover/internal/guest"
	"drover/internal/record"
	"drover/internal/settings"
	"drover/lab"
)

const (
	// limit is far below what these cores carry, and such that a transfer has long
	// stretches in which nothing else decides.
	limit = settings.Rate(50_000_000)
	// begun is how many bytes a transfer has behind it when it is held against its
	// limit: sign-in, plan and first buffers are over then.
	begun = 3_000_000
	// stretch is how long it is held against it.
	stretch = 4 * time.Second
)

// bigger gives a guest so much memory that its transfer has a stretch, in one round:
// it changes little.
func bigger(o *lab.VMOptions) {
	p := guest.DefaultParams()
	p.Memory, p.Rewrite = 112<<20, 256<<10
	o.Params = &p
}

// TestBandwidth holds moves against the limits of hosts, of networks and of their
// own.
func TestBandwidth(t *testing.T) {
	s := startSite(t, lab.Options{Name: "bandwidth", Hosts: twoHosts})
	p := &ping{s, s.newVM(t, lab.HV01, "APP01", 101, bigger), hop{lab.HV01, lab.HV02}}
	for name, flags := range map[string][]string{
		"one stream":               {"--performance", "TCPIP"},
		"four streams":             {"--connections", "4", "--performance", "TCPIP"},
		"four streams, compressed": {"--connections", "4", "--performance", "Compression"},
	} {
		t.Run("of the source, "+name, func(t *testing.T) {
			p.set(t, p.from, settings.Change{Bandwidth: new(limit)})
			p.heldAt(t, limit, flags...)
		})
	}
	t.Run("of the destination", func(t *testing.T) {
		p.set(t, p.to, settings.Change{Bandwidth: new(limit)})
		c := p.tally(t, p.from, lab.Migration)
		p.pass(t, "--connections", "4", "--performance", "TCPIP")
		// A receiver slows a sender down by what it leaves unread, which is less exact
		// downwards: sockets that run empty have to be filled again.
		got, ok := steady(ended(t, c))
		t.Logf("%.2f Mbit/s of %.2f", got/1e6, float64(limit)/1e6)
		if !ok || got > 1.05*float64(limit) || got < 0.8*float64(limit) {
			t.Errorf("%.0f bit/s (%v), the limit is %d", got, ok, limit)
		}
	})
	t.Run("of the move", func(t *testing.T) {
		p.heldAt(t, limit, "--connections", "2", "--performance", "TCPIP", "--bandwidth", fmt.Sprint(uint64(limit)))
	})
	t.Run("of each network", p.testNetworkLimits)
	t.Run("changed while a move runs", p.testLimitChanged)
	p.vm.verify(t)
}

// heldAt moves the VM and measures at the interface.
func (p *ping) heldAt(t *testing.T, want settings.Rate, flags ...string) {
	t.Helper()
	c := p.tally(t, p.from, lab.Migration)
	rec := p.pass(t, flags...)
	held(t, ended(t, c), want)
	t.Logf("%d streams, %d MiB on the wire", len(rec.Summary.Streams), rec.Summary.WireBytes>>20)
}

// held compares what was carried, from when the transfer was well under way, with a
// limit: 5 % at most on either side.
func held(t *testing.T, seen lab.Traffic, want settings.Rate) {
	t.Helper()
	got, ok := steady(seen)
	if !ok {
		t.Errorf("%d bytes in %d slots are no stretch of %s", seen.Sent+seen.Received, len(seen.Slots), stretch)
		return
	}
	t.Logf("%.2f Mbit/s of %.2f", got/1e6, float64(want)/1e6)
	if got < 0.95*float64(want) || got > 1.05*float64(want) {
		t.Errorf("%.2f Mbit/s, the limit is %.2f", got/1e6, float64(want)/1e6)
	}
}

// steady is the rate of a transfer after it has begun; not ok, if it was over too
// soon.
func steady(seen lab.Traffic) (rate float64, ok bool) {
	var sum uint64
	for _, slot := range seen.Slots {
		if sum += slot.Bytes; sum >= begun {
			from := slot.Start.Add(10 * time.Millisecond)
			to := from.Add(stretch)
			return seen.Rate(from, to), !seen.Slots[len(seen.Slots)-1].Start.Before(to)
		}
	}
	return 0, false
}

func (p *ping) testNetworkLimits(t *testing.T) {
	const first, second = limit / 2, limit
	p.both(t, settings.Change{Networks: &[]settings.Network{
		{Subnet: netOf(lab.Migration), Bandwidth: first}, {Subnet: netOf(lab.Migration2), Bandwidth: second},
	}})
	one, other := p.tally(t, p.from, lab.Migration), p.tally(t, p.from, lab.Migration2)
	p.pass(t, "--connections", "4", "--performance", "TCPIP")
	// QEMU deals its pages to the connections in turn, so the slower network decides
	// how fast the other one is.
	held(t, ended(t, one), first)
	if got, ok := steady(ended(t, other)); !ok || got > 1.05*float64(second) || got < 0.5*float64(first) {
		t.Errorf("%.0f bit/s (%v) on the network with %d", got, ok, second)
	}
}

func (p *ping) testLimitChanged(t *testing.T) {
	const low, high = limit / 4, limit
	p.set(t, p.from, settings.Change{Bandwidth: new(low)})
	c := p.tally(t, p.from, lab.Migration)
	id := p.detach(t, p.vm, p.from, p.to, "--connections", "2", "--performance", "TCPIP")
	p.awaitTransfer(t, p.from, id)
	eventually(t, time.Minute, func(context.Context) error {
		if _, ok := steady(c.Seen()); !ok {
			return fmt.Errorf("%d bytes up to now", c.Seen().Sent)
		}
		return nil
	})
	held(t, c.Seen(), low)
	if _, err := p.SetSettings(t.Context(), p.from, settings.Change{Bandwidth: new(high)}); err != nil {
		t.Fatal(err)
	}
	// What is on its way when the limit changes is still of the old one.
	changed := time.Now().Add(500 * time.Millisecond)
	p.awaitPhase(t, p.from, id, 2*time.Minute, record.Done)
	seen := ended(t, c)
	if !seen.Slots[len(seen.Slots)-1].Start.After(changed.Add(stretch)) {
		t.Fatalf("the move was over too soon after the change")
	}
	got := seen.Rate(changed, changed.Add(stretch))
	t.Logf("%.2f Mbit/s of %.2f", got/1e6, float64(high)/1e6)
	if got < 0.95*float64(high) || got > 1.05*float64(high) {
		t.Errorf("%.0f bit/s after the change to %d", got, high)
	}
	p.settled(t, p.vm, p.hop, id, p.to)
	p.turn()
}

// TestUnencrypted: streams are in the clear where both hosts say so, and nowhere
// else.
func TestUnencrypted(t *testing.T) {
	s := startSite(t, lab.Options{Name: "plain", Hosts: twoHosts})
	p := &ping{s, s.newVM(t, lab.HV01, "APP01", 101), hop{lab.HV01, lab.HV02}}
	for _, c := range []struct {
		source, destination settings.Encryption
		plain               bool
	}{
		{settings.Off, settings.Off, true},
		{settings.Off, settings.Allowed, false},
		{settings.Required, settings.Off, false},
		{settings.Allowed, settings.Allowed, false},
	} {
		t.Run(fmt.Sprintf("%s and %s", c.source, c.destination), func(t *testing.T) {
			p.set(t, p.from, settings.Change{Encryption: &c.source})
			p.set(t, p.to, settings.Change{Encryption: &c.destination})
			mig := p.capture(t, p.from, lab.Migration)
			rec := p.pass(t, "--performance", "TCPIP")
			seen := mig.end(t)
			if rec.Summary.Encrypted == c.plain {
				t.Errorf("the summary says encrypted: %v", rec.Summary.Encrypted)
			}
			for _, st := range rec.Summary.Streams {
				// The control stream has cookies and is small: it may stay encrypted.
				if st.Encrypted != (st.Cipher != "") || !st.Encrypted && !c.plain || st.Encrypted && c.plain && st.Kind == "memory" {
					t.Errorf("%s stream: encrypted %v, cipher %q", st.Kind, st.Encrypted, st.Cipher)
				}
			}
			// 64 MiB are 16384 pages, a quarter of them zero.
			if c.plain != (seen.pages > 5000) || !c.plain && seen.textRun > maxTextRun {
				t.Errorf("%d pages of the guest and %d bytes of its text in the clear", seen.pages, seen.textRun)
			}
			if rec.Summary.Operator == "" || rec.Summary.DelegatedService == "" {
				t.Errorf("not authenticated: %+v", rec.Summary)
			}
			p.vm.verify(t)
		})
	}
}
