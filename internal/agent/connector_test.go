package agent

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"drover/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClocksMayDifferByFiveMinutes(t *testing.T) {
	now := time.Date(2026, 11, 20, 22, 0, 0, 0, time.UTC)
	c := &connector{host: "HV01", now: func() time.Time { return now }}
	for _, d := range []time.Duration{0, 4 * time.Minute, -5 * time.Minute} {
		if err := c.checkClock("HV02", now.Add(d)); err != nil {
			t.Errorf("%v: %v", d, err)
		}
	}
	for _, d := range []time.Duration{6 * time.Minute, -10 * time.Minute} {
		if err := c.checkClock("HV02", now.Add(d)); !fault.Is(err, fault.ClockSkew) || fault.From(err).Args["peer"] != "HV02" {
			t.Errorf("%v: %v", d, err)
		}
	}
}

func TestLeftOutIsWhatAnOperatorWouldMiss(t *testing.T) {
	got := leftOut([]string{"domain/devices/emulator", "domain/metadata", "domain/seclabel", "domain/devices/serial/log"})
	if want := []string{"domain/metadata", "domain/devices/serial/log"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestRelaysWaitForTheirOwnAndTakeNoMoreAfterwards(t *testing.T) {
	var r relays
	r.init()
	began := make(chan struct{})
	ended := false
	r.own(func(ctx context.Context) { close(began); <-ctx.Done(); ended = true })
	<-began
	r.failed(errors.New("first"))
	r.failed(errors.New("second"))
	r.failed(context.Canceled)
	r.close()
	r.close()
	if !ended {
		t.Error("close did not wait")
	}
	if err := r.failure(); err == nil || !strings.Contains(err.Error(), "first") {
		t.Errorf("failure %v, want the first", err)
	}
	if r.own(func(context.Context) { t.Error("ran after close") }) {
		t.Error("own said yes after close")
	}
}

func TestRelaysThatNobodyOpenedClose(t *testing.T) {
	var r relays
	r.close()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if r.own(func(context.Context) {}) {
		t.Error("own after close")
	}
}
